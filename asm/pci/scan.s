# The walk over PCI's buses, depth first: every function is met once.

#: find the extra root buses: as many as the host says there are. Device 0 of each bus is tried
#: first, which all but empty expanders have
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, ebp, edi, eflags
#: reads: ram.work.ecam, ram.plan.roots, region.scratch
#: writes: ram.plan.roots, region.scratch
#: source: QEMU hw/pci-bridge/pci_expander_bridge.c; hw/i386/pc.c (etc/extra-pci-roots)
pci_find_roots:
    push esi
    mov esi, name_extra_roots
    call pci_read_number
    pop esi
    mov ebp, eax
    # devices in EDI, buses in ECX
    xor edi, edi
.device:
    mov ecx, 1
.bus:
    test ebp, ebp
    jz .done
    bt dword ptr [ram.plan.roots], ecx
    jc .next
    mov ebx, ecx
    shl ebx, pci.CONFIG_BUS_SHIFT
    lea ebx, [ebx + edi + pci.CONFIG_ENABLE]
    call pci_read32
    cmp ax, pci.NO_VENDOR
    jz .next
    bts dword ptr [ram.plan.roots], ecx
    dec ebp
.next:
    inc ecx
    cmp ecx, pci.BUSES
    jb .bus
    add edi, pci.FUNCTIONS << pci.CONFIG_DEVFN_SHIFT
    cmp edi, pci.DEVFNS << pci.CONFIG_DEVFN_SHIFT
    jb .device
.done:
    ret

#: find all functions, on the root buses and downstream of bridges
#: mode: 32
#: in: esi root bus
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.ecam, ram.plan.bus_last, ram.plan.bus_number, ram.plan.functions,
#:   ram.plan.limits, ram.plan.roots, region.scratch
#: writes: ram.plan.bus_last, ram.plan.bus_number, ram.plan.functions, region.scratch
#: source: PCI-to-PCI Bridge Architecture Specification 1.2, 12
pci_scan:
.function:
    mov ebx, dword ptr [esi + pci_plan.BUS.config]
    call pci_read32
    cmp ax, pci.NO_VENDOR
    jz .absent
    call pci_function
    jmp .more
.absent:
    xor eax, eax
    call pci_step
.more:
    mov eax, dword ptr [esi + pci_plan.BUS.config]
    cmp eax, dword ptr [esi + pci_plan.BUS.config_end]
    jb .function
    cmp dword ptr [esi + pci_plan.BUS.function], 0
    jz .root
    call pci_close_bus
    jmp .more
.root:
    # The extra root buses share bus 0's lists.
    movzx eax, byte ptr [ram.plan.bus_number]
.next:
    inc eax
    cmp eax, pci.BUSES
    jae .done
    bt dword ptr [ram.plan.roots], eax
    jnc .next
    mov dword ptr [ram.plan.bus_number], eax
    shl eax, pci.CONFIG_BUS_SHIFT
    add eax, pci.CONFIG_ENABLE
    mov dword ptr [esi + pci_plan.BUS.config], eax
    add eax, 1 << pci.CONFIG_BUS_SHIFT
    mov dword ptr [esi + pci_plan.BUS.config_end], eax
    jmp .function
.done:
    ret

#: go on to the function after one: the next of its device, or the next device
#: mode: 32
#: in: esi bus, ebx configuration address, eax dword of the header type or 0 for no function
#: out: -
#: clobbers: ecx, eflags
#: source: PCI Local Bus Specification 3.0, 6.2.1
pci_step:
    mov ecx, 1 << pci.CONFIG_DEVFN_SHIFT
    test bh, pci.FUNCTIONS - 1
    jnz .step
    bt eax, pci.TYPE_SHIFT + pci.TYPE_MULTIFUNCTION_BIT
    jc .step
    mov ecx, pci.FUNCTIONS << pci.CONFIG_DEVFN_SHIFT
.step:
    add dword ptr [esi + pci_plan.BUS.config], ecx
    ret

#: note a function and what it needs; set its interrupt line; go through it, if it is a bridge
#: mode: 32
#: in: esi bus, ebx its configuration address, eax vendor and device
#: out: esi bus to go on with
#: clobbers: eax, ebx, ecx, edx, edi, ebp, eflags
#: reads: ram.work.ecam, ram.plan.bus_last, ram.plan.bus_number, ram.plan.functions,
#:   ram.plan.limits, ram.plan.roots, region.scratch
#: writes: ram.plan.bus_last, ram.plan.bus_number, ram.plan.functions, region.scratch
#: source: PCI Local Bus Specification 3.0, 6.1 and 6.2
pci_function:
    mov edi, pci_known - pci_plan.KNOWN.sizeof
.known:
    add edi, pci_plan.KNOWN.sizeof
    cmp dword ptr [edi + pci_plan.KNOWN.config], 0
    jz .unknown
    cmp dword ptr [edi + pci_plan.KNOWN.config], ebx
    jnz .known
    cmp dword ptr [edi + pci_plan.KNOWN.id], eax
    jnz .known
    # one of the chipset's: its BARs are known; the walk may skip functions
    mov eax, pci.TYPE_MULTIFUNCTION << pci.TYPE_SHIFT
    call pci_step
    mov ecx, dword ptr [edi + pci_plan.KNOWN.bars]
    xor eax, eax
    jecxz .done
    jmp .note
.unknown:
    mov bl, pci.HEADER.type & -4
    call pci_read32
    xor bl, bl
    call pci_step
    mov ecx, pci_plan.BARS_NORMAL
    and eax, pci.TYPE_MASK << pci.TYPE_SHIFT
    jz .note
    mov ecx, pci_plan.BARS_BRIDGE
    cmp eax, pci.TYPE_BRIDGE << pci.TYPE_SHIFT
    jnz .done
.note:
    push eax
    push ecx
    mov ecx, pci_plan.FUNCTION.sizeof
    call pci_alloc
    mov ebp, edi
    mov dword ptr [ebp + pci_plan.FUNCTION.config], ebx
    mov dword ptr [ebp + pci_plan.FUNCTION.command], pci.Command.IO | pci.Command.MEMORY
    # in front of the list of all functions
    mov eax, ebp
    xchg dword ptr [ram.plan.functions], eax
    mov dword ptr [ebp + pci_plan.FUNCTION.next], eax
    pop ecx
    call pci_bars
    call pci_interrupt
    pop eax
    test eax, eax
    jnz pci_open_bus
.done:
    ret

#: set the interrupt line of a function that has an interrupt pin
#: mode: 32
#: in: esi bus, ebp function
#: out: ecx offset added to pins downstream on their way to the host
#: clobbers: eax, ebx, edx, eflags
#: reads: ram.work.ecam
#: source: PCI-to-PCI Bridge Architecture Specification 1.2, 9.1
pci_interrupt:
    mov ebx, dword ptr [ebp + pci_plan.FUNCTION.config]
    movzx ecx, bh
    shr ecx, pci.DEVFN_DEVICE_SHIFT
    cmp dword ptr [esi + pci_plan.BUS.function], 0
    jnz .downstream
    call pirq_rotation
.downstream:
    # a root bus has 0
    add ecx, dword ptr [esi + pci_plan.BUS.intx]
    mov bl, pci.HEADER.interrupt_line
    call pci_read32
    movzx eax, ah
    dec eax
    js .done
    add eax, ecx
    call pirq_irq
    call pci_write8
.done:
    ret

#: the chipsets' own functions, which are not probed: pci_plan.KNOWN, 0 ends the list. The power
#: management function and the ISA bridge have no BARs
#: mode: data
pci_known:
.if option.machines.pc
    .long chipset.Config.PIIX3_IDE, chipset.Device.PIIX3_IDE << 16 | chipset.VENDOR_INTEL, 1 << 4
    .long chipset.Config.PIIX4_PM, chipset.Device.PIIX4_PM << 16 | chipset.VENDOR_INTEL, 0
.endif
.if option.machines.q35
    .long chipset.Config.ICH9_LPC, chipset.Device.ICH9_LPC << 16 | chipset.VENDOR_INTEL, 0
    .long chipset.Config.ICH9_SATA, chipset.Device.ICH9_SATA << 16 | chipset.VENDOR_INTEL, 3 << 4
    .long chipset.Config.ICH9_SMBUS, chipset.Device.ICH9_SMBUS << 16 | chipset.VENDOR_INTEL, 1 << 4
.endif
    .long 0
