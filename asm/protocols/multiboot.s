# A Multiboot kernel. QEMU hands over one piece that holds the kernel, its modules and its
# texts, and an information structure that lacks the memory.

#: read the information that QEMU prepared; it stands in the initrd's place
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ecx, edx, edi, eflags
#: writes: ram.work.enter, ram.pvh_area.modules.size, ram.multiboot_area.info
#: source: QEMU hw/i386/multiboot.c
multiboot_read:
    # kernel_read took the size of the information for an initrd's. There is no initrd.
    mov dword ptr [ram.pvh_area.modules.size], 0
    mov dword ptr [ram.work.enter], multiboot_enter
    mov eax, fw_cfg.Read.INITRD_DATA
    # if the host's information is too short, the rest reads as zeros
    mov ecx, work.MULTIBOOT_AREA.mmap
    mov edi, ram.multiboot_area.info
    jmp fw_cfg_transfer

#: complete the information, read the kernel to its place, which may be below 1 MiB, and enter it
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.memmap_end, ram.work.item.kernel_size, ram.work.item.kernel_entry,
#:   ram.work.item.kernel_addr, ram.multiboot_area, region.memmap
#: writes: ram.multiboot_area, region.memmap
#: returns: never
#: source: Multiboot Specification 0.6.96, 3.2 and 3.3
multiboot_enter:
    call bios_install
    # EAX: KiB from 1 MiB on
    mov dword ptr [ram.multiboot_area.info.mem_upper], eax
    mov dword ptr [ram.multiboot_area.info.mem_lower], layout.CONVENTIONAL_KIB
    or dword ptr [ram.multiboot_area.info.flags], multiboot.InfoFlag.MEMORY | multiboot.InfoFlag.MMAP
    # the map: each entry has its size in front
    mov esi, region.memmap.base
    mov edi, ram.multiboot_area.mmap
    mov dword ptr [ram.multiboot_area.info.mmap_addr], edi
.range:
    mov eax, multiboot.MMAP_ENTRY_SIZE
    stosd
    .copy_e820_entry
    cmp esi, dword ptr [ram.work.memmap_end]
    jb .range
    sub edi, ram.multiboot_area.mmap
    mov dword ptr [ram.multiboot_area.info.mmap_length], edi
    # Now the kernel: it may overwrite what the firmware needs no more.
    mov eax, fw_cfg.Read.KERNEL_DATA
    mov ecx, dword ptr [ram.work.item.kernel_size]
    mov edi, dword ptr [ram.work.item.kernel_addr]
    call fw_cfg_transfer
    # what the kernel finds: EAX, EBX, flat segments
    .att lidtl {real_mode_idtr}
    mov eax, multiboot.LOADER_MAGIC
    mov ebx, ram.multiboot_area.info
    jmp dword ptr [ram.work.item.kernel_entry]
