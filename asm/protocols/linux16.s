# A bzImage that is entered at its setup code, in real mode: boot protocol 2.02 to 2.11, as
# payloads that are not Linux still use it.

#: read the setup code to where QEMU wants it; QEMU has filled in its header
#: mode: 32
#: in: edx protocol version
#: out: -
#: clobbers: eax, ecx, edx, edi, eflags
#: reads: ram.boot_params.hdr.loadflags
#: writes: ram.work.setup_size, ram.work.enter, region.setup
#: source: QEMU hw/i386/x86.c x86_load_linux
linux16_read:
    # EDX is the detail of these two stops: without a command line pointer, or loaded below 1 MiB
    cmp edx, linux_boot.PROTOCOL_CMDLINE
    .stop_if b, stop_codes.KERNEL_KIND
    test byte ptr [ram.boot_params.hdr.loadflags], linux_boot.LoadFlag.LOADED_HIGH
    jz stop_with                # with the same code
    # how long the setup code is
    mov ecx, 4
    mov edi, ram.work.setup_size
    mov eax, fw_cfg.Read.SETUP_SIZE
    call fw_cfg_transfer
    mov edx, dword ptr [edi]    # the stop's detail
    lea ecx, [edx - linux_boot.SETUP_SIZE_MIN]
    cmp ecx, linux_boot.SETUP_SIZE_MAX - linux_boot.SETUP_SIZE_MIN
    .stop_if a, stop_codes.SETUP_SIZE
    # all of it over the header that linux_read has read
    mov dword ptr [ram.work.enter], linux16_enter
    mov ecx, edx
    mov edi, region.setup.base
    mov eax, fw_cfg.Read.SETUP_DATA
    jmp fw_cfg_transfer

#: read the kernel to its place and run its setup code
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ecx, edx, esi, edi, eflags
#: reads: ram.work.memmap_end, ram.work.item.kernel_size, ram.work.item.kernel_addr, region.cmdline,
#:   region.memmap
#: writes: ram.boot_params.hdr.cmd_line_ptr, region.memmap
#: returns: never
#: source: Linux Documentation/arch/x86/boot.rst "Running the Kernel"
linux16_enter:
    mov eax, fw_cfg.Read.KERNEL_DATA
    mov ecx, dword ptr [ram.work.item.kernel_size]
    mov edi, dword ptr [ram.work.item.kernel_addr]
    call fw_cfg_transfer
    mov dword ptr [ram.boot_params.hdr.cmd_line_ptr], region.cmdline.base
    call bios_install
    # by way of 16-bit protected mode, so that the segments' limits are those of real mode
    .att lidtl {real_mode_idtr}
    .att lgdtl {real_gdtr}
    .farjmp work.SELECTOR_BIOS16, work.BIOS_CODE + bios_enter_setup - group.bios.base
