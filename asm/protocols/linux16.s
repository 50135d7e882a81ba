# A bzImage that is entered at its setup code, in real mode: boot protocol 2.02 to 2.11, as
# payloads that are not Linux still use it.

#: read the setup code to where QEMU wants it; QEMU has filled in its header
#: mode: 32
#: in: edx protocol version
#: out: -
#: clobbers: eax, ecx, edx, edi, eflags
#: reads: ram.work.kernel_addr, ram.boot_params.hdr.loadflags
#: writes: ram.work.kernel_entry, ram.work.setup_size, ram.work.enter, region.setup
#: source: QEMU hw/i386/x86.c x86_load_linux
linux16_read:
    mov al, stop_codes.KERNEL_KIND
    cmp edx, linux_boot.PROTOCOL_CMDLINE
    jb .stop
    test byte ptr [ram.boot_params.hdr.loadflags], linux_boot.LoadFlag.LOADED_HIGH
    jz .stop
    push 4
    pop ecx
    mov edi, ram.work.setup_size
    mov eax, fw_cfg.Read.SETUP_SIZE
    call fw_cfg_transfer
    mov edx, dword ptr [edi]
    mov al, stop_codes.SETUP_SIZE
    cmp edx, linux_boot.SETUP_SIZE_MAX
    ja .stop
    mov ecx, dword ptr [ram.work.kernel_addr]
    mov dword ptr [ram.work.kernel_entry], ecx
    mov dword ptr [ram.work.enter], linux16_enter
    mov ecx, edx
    mov edi, region.setup.base
    mov eax, fw_cfg.Read.SETUP_DATA
    jmp fw_cfg_transfer
.stop:
    jmp stop_with

#: read the kernel to its place and run its setup code
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ecx, edx, esi, edi, eflags
#: reads: ram.work.memmap_end, ram.work.kernel_size, ram.work.kernel_addr, region.cmdline,
#:   region.memmap
#: writes: ram.boot_params.hdr.cmd_line_ptr, region.memmap
#: returns: never
#: source: Linux Documentation/arch/x86/boot.rst "Running the Kernel"
linux16_enter:
    mov eax, fw_cfg.Read.KERNEL_DATA
    mov ecx, dword ptr [ram.work.kernel_size]
    mov edi, dword ptr [ram.work.kernel_addr]
    call fw_cfg_transfer
    mov dword ptr [ram.boot_params.hdr.cmd_line_ptr], region.cmdline.base
    call bios_install
    .att lidtl {real_mode_idtr}
    .att lgdtl {bios_gdtr16}
    .farjmp work.SELECTOR_CODE16, work.BIOS_CODE + bios_enter_setup - group.bios.base

#: GDTR of the GDT for the way to real mode
#: mode: data
bios_gdtr16:
    .pseudo_descriptor bios_gdt, work.BIOS_GDT_LIMIT
