# A Multiboot kernel. QEMU hands over one piece that holds the kernel, its modules and its
# texts, and an information structure that lacks the memory. A kernel that the firmware loads itself
# gets all of the structure from here.

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
#: reads: ram.work.memmap_end, ram.work.item.kernel_size, ram.work.item.kernel_addr,
#:   ram.multiboot_area, region.memmap
#: writes: ram.multiboot_area, region.memmap
#: returns: never
#: source: Multiboot Specification 0.6.96, 3.2
multiboot_enter:
    call multiboot_memory
    # Now the kernel: it may overwrite what the firmware needs no more.
    mov eax, fw_cfg.Read.KERNEL_DATA
    mov ecx, dword ptr [ram.work.item.kernel_size]
    mov edi, dword ptr [ram.work.item.kernel_addr]
    call fw_cfg_transfer
    jmp multiboot_jump

#: put the BIOS calls into RAM, and complete the information by what it says of memory
#: mode: 32
#: in: -
#: out: ebx information
#: clobbers: eax, ecx, edx, esi, edi, eflags
#: reads: ram.work.memmap_end, ram.multiboot_area, region.memmap
#: writes: ram.multiboot_area, region.memmap
#: source: Multiboot Specification 0.6.96, 3.3
multiboot_memory:
    call bios_install
    # EAX: KiB from 1 MiB on
    mov ebx, ram.multiboot_area.info
    mov dword ptr [ebx + multiboot.INFO.mem_upper], eax
    mov dword ptr [ebx + multiboot.INFO.mem_lower], layout.CONVENTIONAL_KIB
    or byte ptr [ebx + multiboot.INFO.flags], multiboot.InfoFlag.MEMORY | multiboot.InfoFlag.MMAP
    # the map: each entry has its size in front
    mov esi, region.memmap.base
    mov edi, ram.multiboot_area.mmap
    mov dword ptr [ebx + multiboot.INFO.mmap_addr], edi
.range:
    mov eax, multiboot.MMAP_ENTRY_SIZE
    stosd
    .copy_e820_entry
    cmp esi, dword ptr [ram.work.memmap_end]
    jb .range
    sub edi, dword ptr [ebx + multiboot.INFO.mmap_addr]
    mov dword ptr [ebx + multiboot.INFO.mmap_length], edi
    ret

#: enter the kernel. It finds EAX, EBX, flat segments
#: mode: 32
#: in: ebx information
#: out: -
#: clobbers: eax, eflags
#: returns: never
#: source: Multiboot Specification 0.6.96, 3.2
multiboot_jump:
    mov eax, multiboot.LOADER_MAGIC
    jmp kernel_jump

.if option.kernel_file
#: take the file for a Multiboot kernel if it has the header, and find its segments: those of ELF,
#: or the one that the header itself describes
#: mode: 32
#: in: -
#: out: edx entry, eflags CF set if there is no header
#: clobbers: eax, ebx, ecx, esi, edi, ebp
#: reads: ram.work.file_size, ram.work.segments_end, region.head, region.segments
#: writes: ram.work.segments_end, ram.work.file_enter, region.segments
#: source: Multiboot Specification 0.6.96, 3.1
multiboot_file_read:
    mov eax, multiboot.HEADER_MAGIC
    mov edi, region.head.base
    mov ecx, (multiboot.HEADER_SEARCH - multiboot.HEADER.sizeof) // 4
.search:
    repne scasd
    stc
    jnz .none
    # EDI is behind the magic, ESI is the header
    lea esi, [edi - 4]
    mov edx, dword ptr [esi + multiboot.HEADER.flags]  # a stop's detail, too
    lea ebx, [eax + edx]
    add ebx, dword ptr [esi + multiboot.HEADER.checksum]
    jnz .search
    test dx, multiboot.HEADER_REQUIRED & ~(multiboot.HeaderFlag.ALIGN_MODULES | multiboot.HeaderFlag.MEMORY_INFO)
    .stop_if nz, stop_codes.KERNEL_WANTS
    mov dword ptr [ram.work.file_enter], multiboot_file_enter
    test edx, multiboot.HeaderFlag.ADDRESSES
    jz elf_entry
    # what follows the addresses is the entry
    mov ebx, esi
    add esi, multiboot.HEADER.header_addr
    call multiboot_segment
    mov edx, dword ptr [esi + multiboot.HEADER.entry_addr - multiboot.HEADER.header_addr]
.none:
    ret

#: describe a kernel by the addresses in its header, as a segment
#: mode: 32
#: in: esi the header's addresses from header_addr on, ebx the header
#: out: eflags CF clear
#: clobbers: eax, ebx, ecx, edx, edi, ebp
#: reads: ram.work.file_size
#: writes: ram.work.segments_end, region.segments
#: source: Multiboot Specification 0.6.96, 3.1.3
multiboot_segment:
    # EDX: where it is loaded, EBX: its offset in the file. One that is negative lies in no file.
    mov edx, dword ptr [esi + 4]
    mov eax, edx
    sub eax, dword ptr [esi]
    ja .damaged
    lea ebx, [ebx + eax - region.head.base]
    # ECX: bytes in the file, EBP: in memory
    mov ecx, dword ptr [esi + 8]
    sub ecx, edx
    mov eax, ecx
    add eax, edx
    jnz .size
    mov ecx, dword ptr [ram.work.file_size]
    sub ecx, ebx
.size:
    mov ebp, dword ptr [esi + 12]
    test ebp, ebp
    jz .no_bss
    sub ebp, edx
    sub ebp, ecx
.no_bss:
    add ebp, ecx
    # a work.SEGMENT: type and offset, both addresses, sizes; the upper halves are 0
    mov edi, region.segments.base
    mov eax, elf.PT_LOAD
    stosd
    xchg ebx, eax
    stosd
    # its virtual address is the physical one
    mov eax, edx
    stosd
    stosd
    # bytes in the file, and in memory
    xchg ecx, eax
    stosd
    xchg ebp, eax
    stosd
    xor eax, eax
    mov ecx, work.SEGMENT_FIELDS
    rep stosd
    mov dword ptr [ram.work.segments_end], edi
    ret
.damaged:
    .stop stop_codes.KERNEL_ELF

#: make the information, and enter the kernel that lies in its place
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.high_top, ram.work.memmap_end, ram.work.kernel_start, ram.work.kernel_span,
#:   ram.pvh_area.start_info.nr_modules, ram.pvh_area.modules, ram.multiboot_area, region.memmap,
#:   region.cmdline
#: writes: ram.work.high_top, ram.pvh_area.start_info.nr_modules,
#:   ram.pvh_area.start_info.modlist_paddr, ram.pvh_area.modules, ram.multiboot_area, region.memmap
#: returns: never
#: source: Multiboot Specification 0.6.96, 3.3
multiboot_file_enter:
    call modules_load
    # EBX: the information
    xor eax, eax
    mov edi, ram.multiboot_area.info
    mov ebx, edi
    mov ecx, work.MULTIBOOT_AREA.mmap // 4
    rep stosd
    # what multiboot_memory does not know
    mov dword ptr [ebx + multiboot.INFO.flags], multiboot.InfoFlag.CMDLINE | multiboot.InfoFlag.MODULES | multiboot.InfoFlag.BOOT_LOADER_NAME
    mov dword ptr [ebx + multiboot.INFO.cmdline], region.cmdline.base
    mov dword ptr [ebx + multiboot.INFO.boot_loader_name], ram.multiboot_area.loader
    mov dword ptr [ebx + work.MULTIBOOT_AREA.loader], work.LOADER_LOW
    mov dword ptr [ebx + work.MULTIBOOT_AREA.loader + 4], work.LOADER_HIGH
    # The modules. PVH's list becomes Multiboot's in its place: an entry takes half the bytes.
    mov esi, ram.pvh_area.modules
    mov edi, esi
    mov ecx, dword ptr [ram.pvh_area.start_info.nr_modules]
    mov dword ptr [ebx + multiboot.INFO.mods_count], ecx
    mov dword ptr [ebx + multiboot.INFO.mods_addr], edi
    jecxz .modules
.module:
    lodsd
    stosd
    mov edx, eax
    lodsd
    lodsd
    add eax, edx
    stosd
    lodsd
    movsd                       # its command line
    movsd                       # 0
    add esi, 8
    loop .module
.modules:
    call multiboot_memory
    jmp multiboot_jump
.endif
