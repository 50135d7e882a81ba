# The kernel, its command line and its initrd: what fw_cfg says, and whether it can be true.

#: read what QEMU's loader found, and tell the kernel's kind: a bzImage has no entry here, a
#: Multiboot kernel has one but no command line, not even an empty one. ram.work.enter becomes the
#: way into the kernel.
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, eflags
#: reads: ram.work.kernel_size, ram.work.kernel_entry, ram.work.kernel_addr, ram.work.cmdline_size,
#:   ram.boot_params.hdr, ram.pvh_area.modules, region.cmdline
#: writes: ram.work.kernel_size, ram.work.kernel_entry, ram.work.kernel_addr, ram.work.cmdline_size,
#:   ram.work.enter, ram.boot_params, ram.pvh_area.modules
#: source: QEMU hw/i386/x86.c x86_load_linux, hw/i386/multiboot.c
kernel_read:
    mov esi, kernel_numbers
    mov edi, ram.work.kernel_size
    push 4
    pop ecx
.next:
    lodsd
    call fw_cfg_transfer
    add edi, ecx
    cmp edi, ram.work.cmdline_size
    jbe .next
    mov eax, fw_cfg.Read.INITRD_SIZE
    mov edi, ram.pvh_area.modules.size
    call fw_cfg_transfer
    mov eax, fw_cfg.Read.INITRD_ADDR
    mov edi, ram.pvh_area.modules.paddr
    call fw_cfg_transfer
    mov edx, dword ptr [ram.work.kernel_size]
    test edx, edx
    mov al, stop_codes.NO_KERNEL
    jz .stop
    mov edx, dword ptr [ram.work.kernel_entry]
    mov al, stop_codes.KERNEL_KIND
    test edx, edx
.if option.protocols.linux
    jz linux_read
.else
    jz .stop
.endif
    cmp dword ptr [ram.work.cmdline_size], 0
.if option.protocols.multiboot
    jz multiboot_read
.else
    jz .stop
.endif
.if option.protocols.pvh
    mov dword ptr [ram.work.enter], pvh_enter
    ret
.endif
.stop:
    jmp stop_with

#: the 32-bit items that kernel_read reads, from ram.work.kernel_size on
#: mode: data
kernel_numbers:
    .long fw_cfg.Read.KERNEL_SIZE, fw_cfg.Read.KERNEL_ENTRY
    .long fw_cfg.Read.KERNEL_ADDR, fw_cfg.Read.CMDLINE_SIZE

#: stop unless the kernel lies in RAM, clear of the firmware, with its entry inside
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ecx, edx, esi, ebp, eflags
#: reads: ram.work.memmap_end, ram.work.kernel_size, ram.work.kernel_entry, ram.work.kernel_addr,
#:   ram.work.enter, region.memmap
#: source: -
kernel_check:
    mov eax, dword ptr [ram.work.kernel_addr]
    mov ecx, dword ptr [ram.work.kernel_size]
    mov edx, eax
    call memmap_covers
    mov al, stop_codes.KERNEL_RANGE
    jc .stop
    mov ebp, dword ptr [ram.work.kernel_entry]
    sub ebp, edx
    cmp ebp, ecx
    mov al, stop_codes.KERNEL_ENTRY
    jae .stop
    cmp edx, e820.EXTENDED
    jae .done
    mov al, stop_codes.KERNEL_OVERLAP
.if option.protocols.multiboot
    # Such a kernel is read last, over all but what is in use until then.
    cmp dword ptr [ram.work.enter], multiboot_enter
    jnz .stop
    cmp edx, layout.MULTIBOOT_LOW
    jb .stop
    add ecx, edx
    cmp ecx, layout.MULTIBOOT_HIGH
    ja .stop
.else
    jmp .stop
.endif
.done:
    ret
.stop:
    jmp stop_with

#: read the command line, and end it with zeros whatever the host sent: NetBSD copies it up to a
#: dword of them
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ecx, edx, edi, eflags
#: reads: ram.work.cmdline_size
#: writes: region.cmdline
#: source: QEMU hw/i386/x86.c x86_load_linux
cmdline_read:
    mov ecx, dword ptr [ram.work.cmdline_size]
    mov edi, region.cmdline.base
    mov edx, ecx
    cmp ecx, region.cmdline.size - 4
    mov al, stop_codes.CMDLINE_SIZE
    ja stop_with
    mov dword ptr [edi], 0
    mov dword ptr [edi + ecx], 0
    # one byte is the zero of an empty one
    dec ecx
    jle .done
    inc ecx
    mov eax, fw_cfg.Read.CMDLINE_DATA
    jmp fw_cfg_transfer
.done:
    ret

#: read the initrd to where QEMU wants it, if there is one, and make it the first module
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.memmap_end, ram.work.kernel_size, ram.work.kernel_addr,
#:   ram.pvh_area.start_info.nr_modules, ram.pvh_area.modules, region.memmap
#: writes: ram.pvh_area.start_info.nr_modules, ram.pvh_area.start_info.modlist_paddr
#: source: QEMU hw/i386/x86.c x86_load_linux; Xen docs/misc/pvh.pandoc
initrd_read:
    mov ecx, dword ptr [ram.pvh_area.modules.size]
    jecxz .done
    mov eax, dword ptr [ram.pvh_area.modules.paddr]
    mov edx, eax
    call memmap_covers
    mov al, stop_codes.INITRD_RANGE
    jc .stop
    mov al, stop_codes.INITRD_OVERLAP
    cmp edx, e820.EXTENDED
    jb .stop
    mov eax, edx
    mov ebx, dword ptr [ram.work.kernel_addr]
    mov edi, dword ptr [ram.work.kernel_size]
    call ranges_overlap
    mov al, stop_codes.INITRD_OVERLAP
    jb .stop
    mov edi, edx
    inc dword ptr [ram.pvh_area.start_info.nr_modules]
    mov dword ptr [ram.pvh_area.start_info.modlist_paddr], ram.pvh_area.modules
    mov eax, fw_cfg.Read.INITRD_DATA
    jmp fw_cfg_transfer
.done:
    ret
.stop:
    jmp stop_with
