# The kernel, its command line and its initrd: what fw_cfg says, and whether it can be true.

#: read what QEMU's loader found, and tell the kernel's kind: a bzImage has no entry here, a
#: Multiboot kernel has one but no command line, not even an empty one. work.enter becomes the
#: way into the kernel.
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, eflags
#: source: QEMU hw/i386/x86.c x86_load_linux, hw/i386/multiboot.c
kernel_read:
    mov esi, kernel_numbers
    mov edi, work.kernel_size
    push 4
    pop ecx
.next:
    lodsd
    call fw_cfg_transfer
    add edi, ecx
    cmp edi, work.cmdline_size
    jbe .next
    mov eax, fw_cfg.Read.INITRD_SIZE
    mov edi, work.initrd_module.size
    call fw_cfg_transfer
    mov eax, fw_cfg.Read.INITRD_ADDR
    mov edi, work.initrd_module.paddr
    call fw_cfg_transfer
    mov edx, dword ptr [work.kernel_size]
    test edx, edx
    mov al, stop.NO_KERNEL
    jz .stop
    mov edx, dword ptr [work.kernel_entry]
    mov al, stop.KERNEL_KIND
    test edx, edx
.if protocol.linux
    jz linux_read
.else
    jz .stop
.endif
    cmp dword ptr [work.cmdline_size], 0
.if protocol.multiboot
    jz multiboot_read
.else
    jz .stop
.endif
.if protocol.pvh
    mov dword ptr [work.enter], pvh_enter
    ret
.endif
.stop:
    jmp stop_with

#: stop if a kernel that may call the BIOS, or its initrd, lies below 1 MiB, where the BIOS's own
#: memory is; KERNEL_DATA is all that it consists of
#: mode: 32
#: in: -
#: out: edx kernel address
#: clobbers: eax, eflags
#: source: -
kernel_needs_bios:
    mov eax, dword ptr [work.kernel_size]
    mov dword ptr [work.kernel_data_size], eax
    mov edx, dword ptr [work.initrd_module.paddr]
    cmp dword ptr [work.initrd_module.size], 0
    jz .kernel
    mov al, stop.INITRD_OVERLAP
    cmp edx, e820.EXTENDED
    jb .stop
.kernel:
    mov edx, dword ptr [work.kernel_addr]
    mov al, stop.KERNEL_OVERLAP
    cmp edx, e820.EXTENDED
    jb .stop
    ret
.stop:
    jmp stop_with

#: the 32-bit items that kernel_read reads, from work.kernel_size on
#: mode: data
kernel_numbers:
    .long fw_cfg.Read.KERNEL_SIZE, fw_cfg.Read.KERNEL_ENTRY
    .long fw_cfg.Read.KERNEL_ADDR, fw_cfg.Read.CMDLINE_SIZE

#: stop unless the kernel lies in RAM, clear of the firmware, with its entry inside
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ecx, edx, esi, ebp, eflags
#: source: -
kernel_check:
    mov eax, dword ptr [work.kernel_addr]
    mov ecx, dword ptr [work.kernel_size]
    mov edx, eax
    call memmap_covers
    mov al, stop.KERNEL_RANGE
    jc .stop
    mov ebp, dword ptr [work.kernel_entry]
    sub ebp, edx
    cmp ebp, ecx
    mov al, stop.KERNEL_ENTRY
    jae .stop
    cmp edx, ram.end
    mov al, stop.KERNEL_OVERLAP
    jb .stop
    ret
.stop:
    jmp stop_with

#: read the command line, and end it with a zero whatever the host sent
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ecx, edx, edi, eflags
#: source: QEMU hw/i386/x86.c x86_load_linux
cmdline_read:
    mov ecx, dword ptr [work.cmdline_size]
    mov edi, ram.cmdline.base
    mov edx, ecx
    cmp ecx, ram.cmdline.size
    mov al, stop.CMDLINE_SIZE
    jae stop_with
    mov byte ptr [edi], 0
    mov byte ptr [edi + ecx], 0
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
#: source: QEMU hw/i386/x86.c x86_load_linux; Xen docs/misc/pvh.pandoc
initrd_read:
    mov ecx, dword ptr [work.initrd_module.size]
    jecxz .done
    mov eax, dword ptr [work.initrd_module.paddr]
    mov edx, eax
    call memmap_covers
    mov al, stop.INITRD_RANGE
    jc .stop
    mov al, stop.INITRD_OVERLAP
    cmp edx, ram.end
    jb .stop
    mov eax, edx
    mov ebx, dword ptr [work.kernel_addr]
    mov edi, dword ptr [work.kernel_size]
    call ranges_overlap
    mov al, stop.INITRD_OVERLAP
    jb .stop
    mov edi, edx
    inc dword ptr [work.start_info.nr_modules]
    mov dword ptr [work.start_info.modlist_paddr], work.initrd_module
    mov eax, fw_cfg.Read.INITRD_DATA
    jmp fw_cfg_transfer
.done:
    ret
.stop:
    jmp stop_with
