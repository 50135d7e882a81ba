# Suspend to RAM (S3). QEMU wakes a guest by a reset: RAM is as the guest left it, the chipset and
# the CPUs are as at power-on. The firmware puts the chipset back and goes where the guest wants
# to wake. Until then all of RAM is the guest's, so the wake has its variables and its stack in
# the EBDA, which the map reserves; no routine that it calls writes anywhere else.

#: let the next reset see that it is not the first, and note what a wake would need
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, eflags
#: reads: ram.work.host_bridge, ram.work.enter, ram.pvh_area.start_info.rsdp_paddr
#: writes: ram.ebda
#: source: ACPI 6.5, 16.1.3
wake_arm:
    # microvm has no S3
    cmp word ptr [ram.work.host_bridge], pci.NO_VENDOR
    jz .done
    mov dword ptr [ram.ebda.mark], work.WAKE_MARK
    mov eax, dword ptr [ram.pvh_area.start_info.rsdp_paddr]
    mov dword ptr [ram.ebda.rsdp], eax
    mov eax, dword ptr [ram.work.enter]
    mov dword ptr [ram.ebda.enter], eax
.done:
    ret

#: after a reset that is not the first: go on with a wake if it is one, else with a boot
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, esp, eflags
#: returns: never
#: source: QEMU hw/rtc/mc146818rtc.c rtc_notify_suspend
wake_check:
    mov al, legacy.CMOS_SHUTDOWN
    out legacy.CMOS_INDEX, al
    in al, legacy.CMOS_DATA
    cmp al, legacy.CMOS_SHUTDOWN_S3
    jnz main
    mov esp, region.ebda.end
    jmp wake

#: wake the guest: chipset and memory types as at the handoff, then to its waking vector. Other
#: CPUs wait for the guest, which starts them again by itself
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, eflags
#: reads: ram.ebda
#: returns: never
#: source: ACPI 6.5, 16.3
wake:
    # the next reset is a boot, unless QEMU says otherwise
    xor eax, eax
    out legacy.CMOS_DATA, al
.if option.protocols.pvh
    # QEMU has loaded an ELF kernel's segments again, over what the guest had made of them
    xor edx, edx                # the stop's detail
    cmp dword ptr [ram.ebda.enter], pvh_enter
    .stop_if z, stop_codes.WAKE_VMLINUX
.endif
    call chipset_program
    # ACPI mode: a guest takes it for granted after S3
    mov eax, chipset.PM_CONTROL_SCI_ENABLE
    mov edx, chipset.PM_BASE + chipset.Pm.CONTROL
    out dx, ax
    mov esi, dword ptr [ram.ebda.devices]
    call mtrr_set
.if option.wake_cpus
    call feature_control_set
.endif
    call waking_vector
    .att lidtl {real_mode_idtr}
    .att lgdtl {real_gdtr}
    .farjmp work.SELECTOR_ROM16, wake_real - region.rom.base

#: find the waking vector: RSDP, RSDT, FADT, FACS
#: mode: 32
#: in: -
#: out: eax address
#: clobbers: ecx, edx, esi, eflags
#: reads: ram.ebda.rsdp
#: source: ACPI 6.5, 5.2.5 to 5.2.10
waking_vector:
    mov edx, dword ptr [ram.ebda.rsdp]
    test edx, edx
    jz .none
    cmp dword ptr [edx], acpi.RSDP_SIGNATURE_LOW
    jnz .none
    mov esi, dword ptr [edx + acpi.RSDP.rsdt_address]
    cmp dword ptr [esi], acpi.RSDT_SIGNATURE
    jnz .none
    # ECX: addresses of tables that are left
    mov ecx, dword ptr [esi + acpi.TABLE_HEADER.length]
    sub ecx, acpi.TABLE_HEADER.sizeof
    jb .none
    shr ecx, 2
    add esi, acpi.TABLE_HEADER.sizeof
.table:
    jecxz .none
    dec ecx
    lodsd
    cmp dword ptr [eax], acpi.FADT_SIGNATURE
    jnz .table
    # the FADT leads to the FACS, and there is the vector
    mov eax, dword ptr [eax + acpi.FADT.firmware_ctrl]
    cmp dword ptr [eax], acpi.FACS_SIGNATURE
    jnz .none
    mov eax, dword ptr [eax + acpi.FACS.firmware_waking_vector]
    test eax, eax
    jz .none
    cmp eax, e820.EXTENDED
    jae .none
    ret
.none:
    # EDX is the stop's detail
    .stop stop_codes.WAKE_VECTOR

#: enter real mode at the waking vector
#: mode: 16
#: in: eax address
#: out: -
#: clobbers: eax, ebx, ecx, ds, es, fs, gs, ss, esp, cr0, eflags
#: returns: never
#: source: ACPI 6.5, 5.2.10 (CS and IP); Intel SDM volume 3A, 10.9.2
wake_real:
.code16
    # limits of 64 KiB for every segment, then out of protected mode
    mov cx, work.SELECTOR_DATA16
    mov ds, cx
    mov es, cx
    mov fs, cx
    mov gs, cx
    mov ss, cx
    mov ecx, cr0
    and cl, ~x86.Cr0.PE
    mov cr0, ecx
    # CS still leads to the ROM, as after a reset
    xor cx, cx
    mov ds, cx
    mov es, cx
    mov fs, cx
    mov gs, cx
    mov cx, layout.EBDA_SEGMENT
    mov ss, cx
    mov esp, layout.EBDA_SIZE
    # onto the stack: segment and offset
    mov ebx, eax
    shr eax, 4
    and bx, 15
    push ax
    push bx
    .att lretw
