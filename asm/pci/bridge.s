# PCI-to-PCI bridges: their bus numbers and which windows they have.

#: number the bus behind a bridge and close its windows
#: mode: 32
#: in: esi bus of the bridge, ebp function, ecx what interrupt pins behind it get added
#: out: esi bus behind it
#: clobbers: eax, ebx, ecx, edx, edi, eflags
#: reads: ram.work.ecam, ram.plan.bus_last, ram.plan.bus_number, ram.plan.roots
#: writes: ram.plan.bus_last, ram.plan.bus_number
#: source: PCI-to-PCI Bridge Architecture Specification 1.2, 3.2.5
pci_open_bus:
    mov ebx, dword ptr [ebp + pci_plan.FUNCTION.config]
    push ecx
    mov ecx, pci_plan.BUS.sizeof
    call pci_alloc
    pop dword ptr [edi + pci_plan.BUS.intx]
    mov dword ptr [edi + pci_plan.BUS.parent], esi
    mov dword ptr [edi + pci_plan.BUS.function], ebp
    mov dword ptr [edi + pci_plan.BUS.has], 1 << pci_plan.List.MEMORY
    mov esi, edi
    xchg dword ptr [ram.plan.bus_last], edi
    mov dword ptr [edi + pci_plan.BUS.next], esi
    or dword ptr [ebp + pci_plan.FUNCTION.command], pci.Command.MASTER
    mov eax, dword ptr [ram.plan.bus_number]
    inc eax
    cmp eax, pci.BUSES
    jae .none
    bt dword ptr [ram.plan.roots], eax
    jc .none
    mov dword ptr [ram.plan.bus_number], eax
    mov ecx, eax
    shl ecx, pci.CONFIG_BUS_SHIFT
    add ecx, pci.CONFIG_ENABLE
    mov dword ptr [esi + pci_plan.BUS.config], ecx
    # primary, secondary, and all that may come behind it
    mov ah, al
    bswap eax
    mov ecx, ebx
    shr ecx, pci.CONFIG_BUS_SHIFT
    shr eax, 8
    mov al, cl
    or eax, (pci.BUSES - 1) << 16
    mov bl, pci.BRIDGE.primary
    call pci_write32
    mov bl, pci.BRIDGE.io_base
    mov eax, pci.CLOSED_IO
    call pci_write16
    call pci_read32
    # a base that does not take it is none
    and al, -1 - pci.WINDOW_FLAGS
    cmp al, pci.CLOSED_IO
    jnz .no_io
    or dword ptr [esi + pci_plan.BUS.has], 1 << pci_plan.List.IO
.no_io:
    mov bl, pci.BRIDGE.memory_base
    mov eax, pci.CLOSED_MEMORY
    call pci_write32
    mov bl, pci.BRIDGE.prefetch_base
    call pci_write32
    call pci_read32
    and eax, pci.WINDOW_FLAGS
    cmp eax, pci.WINDOW_WIDE
    jnz .no_prefetch
    or dword ptr [esi + pci_plan.BUS.has], 1 << pci_plan.List.PREFETCH
.no_prefetch:
    call pci_is_port
    mov ecx, pci.FUNCTIONS << pci.CONFIG_DEVFN_SHIFT
    jc .end
    mov ecx, 1 << pci.CONFIG_BUS_SHIFT
.end:
    add ecx, dword ptr [esi + pci_plan.BUS.config]
    mov dword ptr [esi + pci_plan.BUS.config_end], ecx
    ret
.none:
    mov edx, ebx
    mov al, stop_codes.PCI_BUSES
    jmp stop_with

#: set CF if a function is an express port that has only device 0 behind it. Without ECAM there
#: are none
#: mode: 32
#: in: ebx configuration address of any register of it
#: out: eflags CF
#: clobbers: eax, ebx, ecx, edx
#: reads: ram.work.ecam
#: source: PCI Express Base Specification 3.0, 7.8.2
pci_is_port:
.if option.machines.q35
    cmp dword ptr [ram.work.ecam], 0
    jz .no
    mov bl, pci.BRIDGE.capabilities
    call pci_read32
    mov ecx, pci.CAPABILITIES_MAX
.next:
    and al, pci.CAPABILITY_MASK
    jz .no
    mov bl, al
    call pci_read32
    cmp al, pci.Capability.EXPRESS
    jz .express
    mov al, ah
    loop .next
    jmp .no
.express:
    shr eax, pci.EXPRESS_TYPE_SHIFT
    and eax, pci.EXPRESS_TYPE_MASK
    cmp al, pci.EXPRESS_TYPE_ROOT_PORT
    jz .yes
    cmp al, pci.EXPRESS_TYPE_DOWNSTREAM
    jnz .no
.yes:
    stc
    ret
.no:
.endif
    clc
    ret

#: leave a bus: all numbers behind its bridge are given, and what its windows must hold is known
#: mode: 32
#: in: esi bus
#: out: esi the bus of its bridge
#: clobbers: eax, ebx, ecx, edx, edi, ebp, eflags
#: reads: ram.work.ecam, ram.plan.bus_number, ram.plan.limits, ram.plan.limit, ram.plan.root
#: writes: ram.plan.limit
#: source: PCI-to-PCI Bridge Architecture Specification 1.2, 3.2.5
pci_close_bus:
    mov ebp, dword ptr [esi + pci_plan.BUS.function]
    mov ebx, dword ptr [ebp + pci_plan.FUNCTION.config]
    mov bl, pci.BRIDGE.subordinate
    mov eax, dword ptr [ram.plan.bus_number]
    call pci_write8
    xor ecx, ecx
.list:
    cmp dword ptr [esi + ecx * 4 + pci_plan.BUS.lists], 0
    jnz .window
    # QEMU gives an extra root bus no more memory than its windows have by now, and no guest can
    # open one there later. I/O is too scarce for that.
    jecxz .next
    mov eax, dword ptr [ram.plan.root + pci_plan.BUS.config_end]
    cmp eax, pci.CONFIG_ENABLE + (1 << pci.CONFIG_BUS_SHIFT)
    jbe .next
    bt dword ptr [esi + pci_plan.BUS.has], ecx
    jnc .next
.window:
    push ecx
    call pci_window
    pop ecx
.next:
    inc ecx
    cmp ecx, pci_plan.LISTS
    jb .list
    mov esi, dword ptr [esi + pci_plan.BUS.parent]
    ret

#: make the window for a list, or for hot-plug if that is empty, and let it ask for room on the bus
#: above
#: mode: 32
#: in: esi bus, ebp its bridge, ecx pci_plan.List
#: out: -
#: clobbers: eax, ebx, ecx, edx, edi, eflags
#: reads: ram.work.ecam, ram.plan.limits, ram.plan.limit
#: writes: ram.plan.limit
#: source: PCI-to-PCI Bridge Architecture Specification 1.2, 3.2.5.6 to 3.2.5.10
pci_window:
    push esi
    push ecx
    mov ebx, dword ptr [ebp + pci_plan.FUNCTION.config]
    mov ecx, pci_plan.RESOURCE.sizeof
    call pci_alloc
    pop ecx
    push ecx
    mov dword ptr [esi + ecx * 4 + pci_plan.BUS.windows], edi
    mov dword ptr [edi + pci_plan.RESOURCE.function], ebp
    lea eax, [ebx + ecx * 4 + pci.BRIDGE.io_base]
    mov dword ptr [edi + pci_plan.RESOURCE.register], eax
    mov ebx, dword ptr [esi + ecx * 4 + pci_plan.BUS.lists]
    push edi
    test ebx, ebx
    jnz .sum
    # for want of others the window itself
    mov ebx, edi
    mov dword ptr [edi + pci_plan.RESOURCE.size], pci_plan.HOT_PLUG_SIZE
.sum:
    mov edi, ebx
    or eax, -1
    mov dword ptr [ram.plan.limit], eax
    mov dword ptr [ram.plan.limit + 4], eax
    xor eax, eax
    xor edx, edx
    mov ecx, eax
    call pci_place
    pop edi
    pop ecx
    # EDX:EAX bytes needed; the list's first has the largest alignment
    mov esi, pci_plan.WINDOW_IO_MASK
    mov word ptr [edi + pci_plan.RESOURCE.key], (pci_plan.Flag.WINDOW | pci_plan.Flag.IO) << 8
    jecxz .mask
    mov esi, pci.WINDOW_MEMORY_ALIGN - 1
    mov byte ptr [edi + pci_plan.RESOURCE.flags], pci_plan.Flag.WINDOW
    push ecx
    mov cl, byte ptr [ebx + pci_plan.RESOURCE.key]
    # What is for hot-plug alone comes last: it takes no room from what is there.
    test cl, cl
    jz .key
    cmp cl, pci_plan.WINDOW_KEY
    jae .key
    mov cl, pci_plan.WINDOW_KEY
.key:
    mov byte ptr [edi + pci_plan.RESOURCE.key], cl
    pop ecx
.mask:
    add eax, esi
    adc edx, 0
    not esi
    and eax, esi
    not esi
    mov dword ptr [edi + pci_plan.RESOURCE.size], eax
    mov dword ptr [edi + pci_plan.RESOURCE.size + 4], edx
    or esi, dword ptr [ebx + pci_plan.RESOURCE.mask]
    mov dword ptr [edi + pci_plan.RESOURCE.mask], esi
    mov eax, dword ptr [ebx + pci_plan.RESOURCE.mask + 4]
    mov dword ptr [edi + pci_plan.RESOURCE.mask + 4], eax
    pop esi
    push esi
    mov esi, dword ptr [esi + pci_plan.BUS.parent]
    mov eax, ecx
    call pci_insert
    pop esi
    ret
