# The chipsets of pc and q35: power management, interrupt routing, the F segment, ECAM.
# QEMU makes its ACPI tables from these registers when they are first read, so this comes before.

# the next pair of a list to the ports of configuration space: address, value; EDX is one of them
.macro write_config_pair
    mov dl, pci.CONFIG_ADDRESS & 0xff
    lodsd
    out dx, eax
    mov dl, pci.CONFIG_DATA & 0xff
    lodsd
    out dx, eax
.endm

#: program the chipset, and note which one it is
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ecx, edx, esi, eflags
#: writes: ram.work.ecam, ram.work.host_bridge
#: source: -
chipset_init:
    call chipset_program
    mov dword ptr [ram.work.host_bridge], ecx
    mov dword ptr [ram.work.ecam], eax
    ret

.if option.one_machine
#: stop: the image is for one machine, and this is another
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, edx, eflags
#: returns: never
#: source: -
machine_other:
    xor edx, edx                # no detail
    .stop stop_codes.MACHINE

.if option.machines.microvm | option.machines.pc
#: stop unless this is the image's machine. It shows in the F segment, at no access to a device:
#: on microvm that is the image's own memory; pc has RAM there once its registers say so, which
#: no other chipset has at the same place. (q35 shows by its ECAM.)
#: mode: 32
#: in: -
#: out: -
#: clobbers: edx, eflags
#: reads: region.f_segment
#: writes: region.f_segment
#: source: QEMU hw/i386/x86.c x86_bios_rom_init, hw/pci-host/pam.c
machine_check:
    push eax
    mov edx, dword ptr [region.rom.base]
    mov eax, dword ptr [region.f_segment.base]
    not eax
    mov dword ptr [region.f_segment.base], eax
    cmp dword ptr [region.f_segment.base], eax
    jnz machine_other
    cmp dword ptr [region.rom.base], edx
.if option.machines.microvm
    jz machine_other
.else
    jnz machine_other
.endif
    pop eax
    ret
.endif
.endif

#: find out which chipset there is, and program what ACPI's tables and the kernel rely on; all
#: that it writes to is the chipset
#: mode: 32
#: in: -
#: out: eax address of ECAM or 0, ecx PCI device ID of the host bridge
#: clobbers: edx, esi, eflags
#: source: Intel 82441FX, 82371AB, Q35 and ICH9 data sheets; QEMU hw/i386/acpi-build.c
chipset_program:
.if option.one_machine & option.machines.microvm
    mov ecx, pci.NO_VENDOR
    xor eax, eax
    ret
.else
.if option.one_machine
    mov edx, pci.CONFIG_ADDRESS
.if option.machines.pc
    mov ecx, chipset.Device.I440FX
    mov esi, chipset_i440fx
.endif
.if option.machines.q35
    mov ecx, chipset.Device.Q35
    mov esi, chipset_q35
.endif
.else
    # vendor and device of the host bridge, bus 0, device 0
    mov eax, pci.CONFIG_ENABLE
    mov edx, pci.CONFIG_ADDRESS
    out dx, eax
    mov dl, pci.CONFIG_DATA & 0xff
    in eax, dx
    # ECX: its device alone, all ones where there is no PCI, as on microvm
    mov ecx, eax
    shr ecx, 16
.if option.machines.pc
    mov esi, chipset_i440fx
    cmp eax, chipset.Device.I440FX << 16 | chipset.VENDOR_INTEL
    jz .ports
.endif
.if option.machines.q35
    mov esi, chipset_q35
    cmp eax, chipset.Device.Q35 << 16 | chipset.VENDOR_INTEL
    jz .memory
.endif
    xor eax, eax
    ret
.endif
.if option.machines.pc
.ports:
    .write_config_pair
    cmp esi, chipset_i440fx + pc.CONFIG_WRITES * 8
    jb .ports
    xor eax, eax
    ret
.endif
.if option.machines.q35
.memory:
    # the first pair opens ECAM, the others are addresses there
    .write_config_pair
.if option.one_machine
    cmp dword ptr [chipset.ECAM_BASE], chipset.Device.Q35 << 16 | chipset.VENDOR_INTEL
    jnz machine_other
.endif
.next:
    lodsd
    mov edx, eax
    lodsd
    mov dword ptr [edx], eax
    cmp esi, chipset_q35 + (1 + q35.ECAM_WRITES) * 8
    jb .next
    mov eax, chipset.ECAM_BASE
    ret
.endif
.endif

#: how far the interrupt pins of a device are rotated on their way to PIRQ A to D. From device 25
#: on q35's pins have their own routes, whatever the device
#: mode: 32
#: in: ecx device of bus 0
#: out: ecx what is added to a pin that counts from 0
#: clobbers: eflags
#: reads: ram.work.ecam
#: source: QEMU hw/i386/pc_piix.c pc_pci_slot_get_pirq(), hw/isa/lpc_ich9.c ich9_cc_reset()
pirq_rotation:
.if option.machines.q35
    cmp dword ptr [ram.work.ecam], 0
    jz .piix
    cmp ecx, chipset.ICH9_FIXED_PINS
    jb .done
    xor ecx, ecx
.done:
    ret
.piix:
.endif
    dec ecx
    ret

#: the IRQ that a rotated pin is routed to
#: mode: 32
#: in: eax pin from 0 and its rotation
#: out: eax IRQ
#: clobbers: eflags
#: source: chipset.PIRQ_ROUTES, as chipset_init programs it
pirq_irq:
    push ecx
    and eax, chipset.PIRQ_COUNT - 1
    lea ecx, [eax * 8]
    mov eax, chipset.PIRQ_ROUTES
    shr eax, cl
    movzx eax, al
    pop ecx
    ret
