# The chipsets of pc and q35: power management, interrupt routing, the F segment, ECAM.
# QEMU makes its ACPI tables from these registers when they are first read, so this comes before.

#: find out which chipset there is, and program what ACPI's tables and the kernel rely on
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, eflags
#: source: Intel 82441FX, 82371AB, Q35 and ICH9 data sheets; QEMU hw/i386/acpi-build.c
chipset_init:
    mov ebx, chipset.PCI_CONFIG_ENABLE
    call pci_read32
    mov ecx, eax
    shr ecx, 16
    mov dword ptr [work.host_bridge], ecx
.if machine.pc
    mov esi, chipset_i440fx
    cmp eax, chipset.DEVICE_I440FX << 16 | chipset.VENDOR_INTEL
    jz .program
.endif
.if machine.q35
    mov esi, chipset_q35
    cmp eax, chipset.DEVICE_Q35 << 16 | chipset.VENDOR_INTEL
    jnz .done
    mov ebx, chipset.Q35.PCIEXBAR
    mov eax, chipset.ECAM_BASE | chipset.PCIEXBAR_ENABLE
    call pci_write32
    mov dword ptr [work.ecam], chipset.ECAM_BASE
    jmp .program
.endif
    jmp .done
.program:
    mov ebx, dword ptr [esi]
    mov eax, dword ptr [esi + 4]
    add esi, 8
    test ebx, ebx
    js .dword
    jz .done
    or ebx, chipset.PCI_CONFIG_ENABLE
    call pci_write8
    jmp .program
.dword:
    call pci_write32
    jmp .program
.done:
    ret

#: configuration address and value of each register to write; without the enable bit a byte
#: is written, with it a dword; 0 ends a list
#: mode: data
.if machine.pc
chipset_i440fx:
    .long chipset.I440fx.PMBASE, chipset.PM_BASE | chipset.PM_IO_SPACE
    .long chipset.I440fx.PMREGMISC - chipset.PCI_CONFIG_ENABLE, chipset.PMREGMISC_PMIOSE
    .long chipset.I440fx.PIRQ_ROUTE, chipset.PIRQ_ROUTES
    .long chipset.I440fx.PAM0 - chipset.PCI_CONFIG_ENABLE, chipset.PAM_F_SEGMENT
    .long 0
.endif

#: the same
#: mode: data
.if machine.q35
chipset_q35:
    .long chipset.Q35.PMBASE, chipset.PM_BASE | chipset.PM_IO_SPACE
    .long chipset.Q35.ACPI_CTRL - chipset.PCI_CONFIG_ENABLE, chipset.ACPI_CTRL_ENABLE
    .long chipset.Q35.PIRQ_ROUTE_A, chipset.PIRQ_ROUTES
    .long chipset.Q35.PIRQ_ROUTE_E, chipset.PIRQ_ROUTES
    .long chipset.Q35.PAM0 - chipset.PCI_CONFIG_ENABLE, chipset.PAM_F_SEGMENT
    .long 0
.endif
