# Kernels, from what QEMU's loader found to their entry.
#
# QEMU has read the kernel's file, told its kind, and chosen where kernel, command line and initrd
# are to lie. Numbered items of fw_cfg say so, and hold the bytes. A boot protocol is a pair of
# routines in a file of its own:
#
#     kernel_read ── which kind is it?
#        ├─ linux_read ─ linux16_read       NAME_read: is it one that this image enters? Then
#        ├─ multiboot_read                  ram.work.enter becomes NAME_enter.
#        └─ PVH: nothing is left to read
#     kernel_check, cmdline_read, initrd_read
#     ACPI, SMBIOS, MP tables               the same for all kinds (main.s)
#     NAME_enter                            read the kernel to its place, complete what it is
#                                           handed, jump to it
#
# QEMU puts an ELF kernel with a PVH note into RAM itself. Any other kernel is read last, so until
# then its place is kept free: from ram.work.kernel_start on, ram.work.kernel_span bytes are all
# that it uses before it looks at the memory map. For a bzImage that is more than its file holds.

#: read what QEMU's loader found, and tell the kernel's kind: a bzImage has no entry here, a
#: Multiboot kernel has its information where QEMU puts it, which is no page as an initrd's place is.
#: ram.work.enter becomes the way into the kernel.
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.high_top, ram.work.item, ram.work.kernel_start, ram.work.kernel_span,
#:   ram.work.file_size, ram.work.segments_end, ram.boot_params.hdr, ram.pvh_area.modules,
#:   region.cmdline, region.head, region.segments
#: writes: ram.work.high_top, ram.work.item, ram.work.kernel_start, ram.work.kernel_span,
#:   ram.work.enter, ram.work.file_size, ram.work.segments_end, ram.work.file_enter,
#:   ram.boot_params, ram.pvh_area.modules, region.head, region.segments
#: source: QEMU hw/i386/x86.c x86_load_linux, hw/i386/multiboot.c
kernel_read:
    mov esi, kernel_items
    mov edi, ram.work.item
    mov ecx, 4
.next:
    lodsd
    call fw_cfg_transfer
    add edi, ecx
    cmp edi, ram.work.item + work.KERNEL_ITEMS.sizeof
    jb .next
    # the initrd's place and size, as the first module has them; ECX is still 4
    mov eax, fw_cfg.Read.INITRD_SIZE
    mov edi, ram.pvh_area.modules.size
    call fw_cfg_transfer
    mov eax, fw_cfg.Read.INITRD_ADDR
    mov edi, ram.pvh_area.modules.paddr
    call fw_cfg_transfer
    # as long as nobody knows better, the kernel uses what it is loaded to
    mov eax, dword ptr [ram.work.item.kernel_addr]
    mov edx, dword ptr [ram.work.item.kernel_size]
    mov dword ptr [ram.work.kernel_start], eax
    mov dword ptr [ram.work.kernel_span], edx
    test edx, edx
.if option.kernel_file
    jz kernel_file_read
.else
    .stop_if z, stop_codes.NO_KERNEL
.endif
    # which kind: EDX is the detail of a stop, too
    mov edx, dword ptr [ram.work.item.kernel_entry]
    mov al, stop_codes.KERNEL_KIND
    test edx, edx
.if option.protocols.linux
    jz linux_read
.else
    jz stop_with
.endif
    # A size of the command line tells nothing: microvm without ACPI gives every kernel one.
    cmp dword ptr [ram.pvh_area.modules.paddr], multiboot.INFO_ADDRESS_QEMU
.if option.protocols.multiboot
    jz multiboot_read
.else
    jz stop_with
.endif
.if option.protocols.pvh
    mov dword ptr [ram.work.enter], pvh_enter
    ret
.else
    jmp stop_with
.endif

#: the items that make work.KERNEL_ITEMS
#: mode: data
kernel_items:
    .long fw_cfg.Read.KERNEL_SIZE, fw_cfg.Read.KERNEL_ENTRY
    .long fw_cfg.Read.KERNEL_ADDR, fw_cfg.Read.CMDLINE_SIZE

#: stop unless the kernel lies in RAM, clear of the firmware, with its entry inside
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ecx, edx, esi, ebp, eflags
#: reads: ram.work.memmap_end, ram.work.item.kernel_entry, ram.work.kernel_start,
#:   ram.work.kernel_span, ram.work.enter, region.memmap
#: source: -
kernel_check:
    mov eax, dword ptr [ram.work.kernel_start]
    mov ecx, dword ptr [ram.work.kernel_span]
    mov edx, eax                # the detail of every stop here
    call memmap_covers
    .stop_if c, stop_codes.KERNEL_RANGE
    # the entry's distance from the start: less than the span?
    mov ebp, dword ptr [ram.work.item.kernel_entry]
    sub ebp, edx
    cmp ebp, ecx
    jae .outside
.inside:
    cmp edx, e820.EXTENDED
    jae .done
.if option.protocols.multiboot
    # Such a kernel is read last, over all but what is in use until then.
    mov al, stop_codes.KERNEL_OVERLAP
    cmp dword ptr [ram.work.enter], multiboot_enter
    jnz stop_with
    cmp edx, layout.MULTIBOOT_LOW
    jb stop_with
    add ecx, edx
    cmp ecx, layout.MULTIBOOT_HIGH
    ja stop_with
.else
    .stop stop_codes.KERNEL_OVERLAP
.endif
.done:
    ret
.outside:
    # A bzImage has no entry item: it is entered where it starts, or at its setup code.
    cmp dword ptr [ram.work.item.kernel_entry], 0
    jz .inside
    .stop stop_codes.KERNEL_ENTRY

#: enter a kernel at its entry item; an exception of its own is none of the firmware's
#: mode: 32
#: in: -
#: out: -
#: clobbers: -
#: reads: ram.work.item.kernel_entry
#: returns: never
#: source: -
kernel_jump:
    .att lidtl {real_mode_idtr}
    jmp dword ptr [ram.work.item.kernel_entry]

#: read the command line, and end it with zeros whatever the host sent: NetBSD copies it up to a
#: dword of them
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ecx, edx, edi, eflags
#: reads: ram.work.item.cmdline_size
#: writes: region.cmdline
#: source: QEMU hw/i386/x86.c x86_load_linux
cmdline_read:
    mov eax, fw_cfg.Read.CMDLINE_DATA
    mov ecx, dword ptr [ram.work.item.cmdline_size]
    # one byte is the zero of an empty one; four more follow it, as they follow any
    cmp ecx, 1
    ja cmdline_take
    xor eax, eax
    mov dword ptr [region.cmdline.base], eax
    mov dword ptr [region.cmdline.base + 1], eax
    ret

#: read a command line, and end it with zeros
#: mode: 32
#: in: eax control word that reads it, ecx bytes
#: out: -
#: clobbers: eax, edx, edi, eflags
#: writes: region.cmdline
#: source: -
cmdline_take:
    mov edi, region.cmdline.base
    mov edx, ecx                # the stop's detail
    cmp ecx, layout.CMDLINE_MAX
    ja .too_long
    and dword ptr [edi + ecx], 0
    jmp fw_cfg_transfer
.too_long:
    .stop stop_codes.CMDLINE_SIZE

#: read the initrd to where QEMU wants it, if there is one, and make it the first module
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.memmap_end, ram.work.kernel_start, ram.work.kernel_span,
#:   ram.pvh_area.start_info.nr_modules, ram.pvh_area.modules, region.memmap
#: writes: ram.pvh_area.start_info.nr_modules, ram.pvh_area.start_info.modlist_paddr
#: source: QEMU hw/i386/x86.c x86_load_linux; Xen docs/misc/pvh.pandoc
initrd_read:
    mov ecx, dword ptr [ram.pvh_area.modules.size]
    jecxz .done
    mov eax, dword ptr [ram.pvh_area.modules.paddr]
    mov edx, eax                # the detail of every stop here
    call memmap_covers
    .stop_if c, stop_codes.INITRD_RANGE
    cmp edx, e820.EXTENDED
    .stop_if b, stop_codes.INITRD_OVERLAP
    # it must not lie where the kernel is going to be, either
    mov eax, edx
    mov ebx, dword ptr [ram.work.kernel_start]
    mov edi, dword ptr [ram.work.kernel_span]
    call ranges_overlap
    .stop_if b, stop_codes.INITRD_OVERLAP
    # [EDX, EDX + ECX) is its place
    mov edi, edx
    inc dword ptr [ram.pvh_area.start_info.nr_modules]
    mov dword ptr [ram.pvh_area.start_info.modlist_paddr], ram.pvh_area.modules
    mov eax, fw_cfg.Read.INITRD_DATA
    jmp fw_cfg_transfer
.done:
    ret
