# PCI configuration space: memory-mapped where the machine has ECAM, else by ports 0xcf8, 0xcfc.

#: read a dword of configuration space
#: mode: 32
#: in: ebx configuration address in the form of port 0xcf8
#: out: eax value
#: clobbers: edx, eflags
#: reads: ram.work.ecam, ram.plan.config_address
#: writes: ram.plan.config_address
#: source: PCI Local Bus Specification 3.0, 3.2.2.3.2; PCI Express Base Specification 7.2.2
pci_read32:
    call pci_select
    jz .memory
    in eax, dx
    ret
.memory:
    mov eax, dword ptr [edx]
    ret

#: write a dword of configuration space
#: mode: 32
#: in: ebx configuration address, eax value
#: out: -
#: clobbers: edx, eflags
#: reads: ram.work.ecam, ram.plan.config_address
#: writes: ram.plan.config_address
#: source: PCI Local Bus Specification 3.0, 3.2.2.3.2; PCI Express Base Specification 7.2.2
pci_write32:
    call pci_select
    jz .memory
    out dx, eax
    ret
.memory:
    mov dword ptr [edx], eax
    ret

#: write a word of configuration space
#: mode: 32
#: in: ebx configuration address, eax value in ax
#: out: -
#: clobbers: edx, eflags
#: reads: ram.work.ecam, ram.plan.config_address
#: writes: ram.plan.config_address
#: source: PCI Local Bus Specification 3.0, 3.2.2.3.2; PCI Express Base Specification 7.2.2
pci_write16:
    call pci_select
    jz .memory
    out dx, ax
    ret
.memory:
    mov word ptr [edx], ax
    ret

#: write a byte of configuration space
#: mode: 32
#: in: ebx configuration address, eax value in al
#: out: -
#: clobbers: edx, eflags
#: reads: ram.work.ecam, ram.plan.config_address
#: writes: ram.plan.config_address
#: source: PCI Local Bus Specification 3.0, 3.2.2.3.2; PCI Express Base Specification 7.2.2
pci_write8:
    call pci_select
    jz .memory
    out dx, al
    ret
.memory:
    mov byte ptr [edx], al
    ret

#: where a configuration register is to be accessed: memory with ZF set, else a port. The
#: address port is written only when it does not hold the address already
#: mode: 32
#: in: ebx configuration address
#: out: edx memory address or port, eflags ZF
#: clobbers: -
#: reads: ram.work.ecam, ram.plan.config_address
#: writes: ram.plan.config_address
#: source: PCI Local Bus Specification 3.0, 3.2.2.3.2; PCI Express Base Specification 7.2.2
pci_select:
    push eax
.if option.machines.q35
    cmp dword ptr [ram.work.ecam], 0
    jz .port
    # bus, device and function move up by 4 bits, the register stays
    movzx edx, bl
    mov eax, ebx
    sub eax, edx
    shl eax, pci.ECAM_DEVFN_SHIFT - pci.CONFIG_DEVFN_SHIFT
    lea edx, [eax + edx + chipset.ECAM_BASE]
    xor eax, eax
    pop eax
    ret
.port:
.endif
    mov eax, ebx
    and eax, -4
    cmp eax, dword ptr [ram.plan.config_address]
    jz .selected
    mov dword ptr [ram.plan.config_address], eax
    mov edx, pci.CONFIG_ADDRESS
    out dx, eax
.selected:
    mov edx, ebx
    and edx, 3
    # no port is 0: ZF is clear
    add edx, pci.CONFIG_DATA
    pop eax
    ret
