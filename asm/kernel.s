# The kernel, its command line and its initrd: what fw_cfg says, and whether it can be true.

#: read what QEMU's loader found, and stop if this is no PVH kernel
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ecx, edx, edi, eflags
#: source: QEMU hw/i386/x86.c x86_load_linux, hw/i386/multiboot.c
kernel_read:
    mov eax, fw_cfg.Key.KERNEL_SIZE
    mov edi, work.kernel_size
    call fw_cfg_read_u32
    mov eax, fw_cfg.Key.KERNEL_ENTRY
    mov edi, work.kernel_entry
    call fw_cfg_read_u32
    mov eax, fw_cfg.Key.KERNEL_ADDR
    mov edi, work.kernel_addr
    call fw_cfg_read_u32
    # QEMU's loader gives a setup part to bzImage and PVH, none to multiboot.
    mov eax, fw_cfg.Key.SETUP_SIZE
    mov edi, work.setup_size
    call fw_cfg_read_u32
    mov edx, dword ptr [work.kernel_size]
    test edx, edx
    mov al, stop.NO_KERNEL
    jz stop_with
    mov edx, dword ptr [work.kernel_entry]
    mov al, stop.KERNEL_KIND
    test edx, edx
    jz stop_with
    cmp dword ptr [work.setup_size], 0
    jz stop_with
    ret

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
    jc stop_with
    mov ebp, dword ptr [work.kernel_entry]
    sub ebp, edx
    cmp ebp, ecx
    jae stop_with
    cmp edx, ram.end
    mov al, stop.KERNEL_OVERLAP
    jb stop_with
    ret

#: read the command line, and end it with a zero whatever the host sent
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ecx, edx, edi, eflags
#: source: QEMU hw/i386/x86.c x86_load_linux
cmdline_read:
    mov eax, fw_cfg.Key.CMDLINE_SIZE
    mov edi, work.cmdline_size
    call fw_cfg_read_u32
    mov ecx, dword ptr [work.cmdline_size]
    mov edi, ram.cmdline.base
    mov edx, ecx
    cmp ecx, ram.cmdline.size
    mov al, stop.CMDLINE_SIZE
    jae stop_with
    mov byte ptr [edi + ecx], 0
    jecxz .done
    mov eax, fw_cfg.Key.CMDLINE_DATA
    jmp fw_cfg_read
.done:
    ret

#: read the initrd to where QEMU wants it, if there is one, and make it the first module
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ecx, edx, esi, edi, ebp, eflags
#: source: QEMU hw/i386/x86.c x86_load_linux; Xen docs/misc/pvh.pandoc
initrd_read:
    mov eax, fw_cfg.Key.INITRD_SIZE
    mov edi, work.initrd_module.size
    call fw_cfg_read_u32
    cmp dword ptr [edi], 0
    jz .done
    mov eax, fw_cfg.Key.INITRD_ADDR
    mov edi, work.initrd_module.paddr
    call fw_cfg_read_u32
    mov ecx, dword ptr [work.initrd_module.size]
    mov edi, dword ptr [work.initrd_module.paddr]
    mov eax, edi
    mov edx, edi
    call memmap_covers
    mov al, stop.INITRD_RANGE
    jc stop_with
    mov al, stop.INITRD_OVERLAP
    cmp edx, ram.end
    jb stop_with
    # distance from the lower of the two to the upper must be at least the lower one's size
    sub edx, dword ptr [work.kernel_addr]
    jb .below
    cmp edx, dword ptr [work.kernel_size]
    mov edx, edi
    jb stop_with
    jmp .read
.below:
    neg edx
    cmp edx, ecx
    mov edx, edi
    jb stop_with
.read:
    mov dword ptr [work.start_info.nr_modules], 1
    mov dword ptr [work.start_info.modlist_paddr], work.initrd_module
    mov eax, fw_cfg.Key.INITRD_DATA
    jmp fw_cfg_read
.done:
    ret
