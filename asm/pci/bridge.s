# PCI-to-PCI bridges: their bus numbers and which windows they have.

#: number the secondary bus of a bridge and close its windows, which get their sizes later
#: mode: 32
#: in: esi bus of the bridge, ebp function, ecx offset added to interrupt pins downstream
#: out: esi its secondary bus
#: clobbers: eax, ebx, ecx, edx, edi, eflags
#: reads: ram.work.ecam, ram.plan.bus_last, ram.plan.bus_number, ram.plan.limits, ram.plan.roots,
#:   region.scratch
#: writes: ram.plan.bus_last, ram.plan.bus_number, region.scratch
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
    mov dword ptr [esi + pci_plan.BUS.previous], edi
    # A bridge forwards, whatever becomes of its own BARs.
    mov dword ptr [ebp + pci_plan.FUNCTION.command], pci.Command.IO | pci.Command.MEMORY | pci.Command.MASTER
    mov eax, dword ptr [ram.plan.bus_number]
    inc eax
    cmp eax, pci.BUSES
    jae .none
    bt dword ptr [ram.plan.roots], eax
    jnc .free
.none:
    mov edx, ebx
    mov al, stop_codes.PCI_BUSES
    jmp stop_with
.free:
    mov dword ptr [ram.plan.bus_number], eax
    mov ecx, eax
    shl ecx, pci.CONFIG_BUS_SHIFT
    add ecx, pci.CONFIG_ENABLE
    mov dword ptr [esi + pci_plan.BUS.config], ecx
    # primary, secondary, and every bus that may come downstream
    mov ah, al
    bswap eax
    mov ecx, ebx
    shr ecx, pci.CONFIG_BUS_SHIFT
    shr eax, 8
    mov al, cl
    or eax, (pci.BUSES - 1) << 16
    mov bl, pci.BRIDGE.primary
    call pci_write32
    # the I/O window: closed; what it reads back as tells whether it is there
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
    # A window that the bus above has not is none, but for a root bus, which has them all.
    mov eax, dword ptr [esi + pci_plan.BUS.parent]
    cmp dword ptr [eax + pci_plan.BUS.function], 0
    jz .capabilities
    mov eax, dword ptr [eax + pci_plan.BUS.has]
    and dword ptr [esi + pci_plan.BUS.has], eax
.capabilities:
    call pci_capabilities
    # Below a port there is only device 0.
    mov ecx, pci.FUNCTIONS << pci.CONFIG_DEVFN_SHIFT
    mov eax, dword ptr [esi + pci_plan.BUS.express]
    cmp al, pci.EXPRESS_TYPE_ROOT_PORT
    jz .end
    cmp al, pci.EXPRESS_TYPE_DOWNSTREAM
    jz .end
    mov ecx, 1 << pci.CONFIG_BUS_SHIFT
.end:
    add ecx, dword ptr [esi + pci_plan.BUS.config]
    mov dword ptr [esi + pci_plan.BUS.config_end], ecx
    xor ecx, ecx
.window:
    bt dword ptr [esi + pci_plan.BUS.has], ecx
    jnc .next
    call pci_window
.next:
    inc ecx
    cmp ecx, pci_plan.LISTS
    jb .window
    ret

#: note what a bridge's capabilities tell: which kind of express port it is, and where QEMU's hints
#: are
#: mode: 32
#: in: esi its secondary bus, ebx configuration address of any register of it
#: out: -
#: clobbers: eax, ebx, ecx, edx, eflags
#: reads: ram.work.ecam
#: source: PCI Express Base Specification 3.0, 7.8.2; QEMU docs/pcie_pci_bridge.txt
pci_capabilities:
    mov bl, pci.BRIDGE.capabilities
    call pci_read32
    mov ecx, pci.CAPABILITIES_MAX
.next:
    and al, pci.CAPABILITY_MASK
    jz .done
    mov bl, al
    call pci_read32
    cmp al, pci.Capability.VENDOR
    jz .vendor
    cmp al, pci.Capability.EXPRESS
    jnz .more
    mov edx, eax
    shr edx, pci.EXPRESS_TYPE_SHIFT
    and edx, pci.EXPRESS_TYPE_MASK
    mov dword ptr [esi + pci_plan.BUS.express], edx
.more:
    mov al, ah
    loop .next
.done:
    ret
.vendor:
    mov edx, eax
    shr edx, 16
    cmp edx, pci.RESERVE_TYPE << 8 | pci.RESERVE_LENGTH
    jnz .more
    push eax
    push ebx
    xor bl, bl
    call pci_read32
    pop ebx
    cmp ax, pci.VENDOR_REDHAT
    jnz .other
    mov dword ptr [esi + pci_plan.BUS.hints], ebx
.other:
    pop eax
    jmp .more

#: make a window of a bridge, with room for what comes later, and put it on a list of the bus above
#: mode: 32
#: in: esi its secondary bus, ebp the bridge, ecx pci_plan.List
#: out: -
#: clobbers: eax, ebx, edx, edi, eflags
#: reads: ram.work.ecam, ram.plan.limits, region.scratch
#: writes: region.scratch
#: source: PCI-to-PCI Bridge Architecture Specification 1.2, 3.2.5.6 to 3.2.5.10
pci_window:
    push ecx
    mov ebx, dword ptr [ebp + pci_plan.FUNCTION.config]
    mov ecx, pci_plan.WINDOW.sizeof
    call pci_alloc
    pop ecx
    mov dword ptr [esi + ecx * 4 + pci_plan.BUS.windows], edi
    # the base registers of the three windows follow each other
    lea eax, [ebx + ecx * 4 + pci.BRIDGE.io_base]
    mov dword ptr [edi + pci_plan.RESOURCE.register], eax
    mov byte ptr [edi + pci_plan.RESOURCE.flags], pci_plan.Flag.WINDOW
    test ecx, ecx
    jnz .room
    mov byte ptr [edi + pci_plan.RESOURCE.flags], pci_plan.Flag.WINDOW | pci_plan.Flag.IO
.room:
    call pci_room
    mov dword ptr [edi + pci_plan.WINDOW.room], eax
    mov dword ptr [edi + pci_plan.WINDOW.room + 4], edx
    bsr ebx, edx
    lea ebx, [ebx + 32]
    jnz .key
    bsr ebx, eax
    jz .insert
.key:
    mov byte ptr [edi + pci_plan.WINDOW.room_key], bl
    # No window can be that large.
    cmp bl, byte ptr [ecx + ram.plan.limits]
    jbe .insert
    mov dword ptr [edi + pci_plan.RESOURCE.rank], pci_plan.NEVER
.insert:
    push esi
    push ecx
    mov eax, ecx
    mov esi, dword ptr [esi + pci_plan.BUS.parent]
    call pci_insert
    pop ecx
    pop esi
    ret

#: how much room a window has for what comes later
#: mode: 32
#: in: esi bus, edi window, ecx pci_plan.List
#: out: eax bytes low, edx high
#: clobbers: ebx, eflags
#: reads: ram.work.ecam
#: source: QEMU docs/pcie_pci_bridge.txt; PCI Express Base Specification 3.0, 1.3.2.2 (no need of
#:   I/O)
pci_room:
    mov ebx, dword ptr [esi + pci_plan.BUS.hints]
    test ebx, ebx
    jz .default
    test ecx, ecx
    jz .io
    cmp ecx, pci_plan.List.MEMORY
    jz .memory
    # prefetchable memory has two hints: the 64-bit one counts, if there is one
    add ebx, pci.RESERVE.prefetch_64
    call pci_read32
    cmp eax, -1
    jz .prefetch_32
    push eax
    add ebx, 4
    call pci_read32
    mov edx, eax
    pop eax
    jmp .hint
.prefetch_32:
    add ebx, pci.RESERVE.prefetch_32 - pci.RESERVE.prefetch_64
    jmp .dword
.io:
    add ebx, pci.RESERVE.io
    jmp .dword
.memory:
    add ebx, pci.RESERVE.memory
.dword:
    call pci_read32
    xor edx, edx
    cmp eax, -1
    jz .default
.hint:
    or byte ptr [edi + pci_plan.RESOURCE.flags], pci_plan.Flag.HINT
    ret
.default:
    xor edx, edx
    mov eax, pci_plan.ROOM_MEMORY
    test ecx, ecx
    jnz .done
    mov eax, dword ptr [esi + pci_plan.BUS.express]
    sub eax, pci.EXPRESS_TYPE_ROOT_PORT
    cmp eax, pci.EXPRESS_TYPE_DOWNSTREAM - pci.EXPRESS_TYPE_ROOT_PORT
    mov eax, 0
    jbe .done
    mov eax, pci_plan.ROOM_IO
.done:
    ret

#: leave a bus: every number downstream is given, and those that the host asks for are spared
#: mode: 32
#: in: esi bus
#: out: esi the bus of its bridge
#: clobbers: eax, ebx, ecx, edx, edi, ebp, eflags
#: reads: ram.work.ecam, ram.plan.bus_number, ram.plan.roots
#: writes: ram.plan.bus_number
#: source: PCI-to-PCI Bridge Architecture Specification 1.2, 3.2.5.4
pci_close_bus:
    mov ebx, dword ptr [esi + pci_plan.BUS.hints]
    test ebx, ebx
    jz .last
    add ebx, pci.RESERVE.bus
    call pci_read32
    cmp eax, -1
    jz .last
    # EAX: the last number asked for; there are not more
    cmp eax, pci.BUSES
    jae .most
    mov ecx, dword ptr [esi + pci_plan.BUS.config_end]
    dec ecx
    shr ecx, pci.CONFIG_BUS_SHIFT
    movzx ecx, cl
    add eax, ecx
    cmp eax, pci.BUSES
    jb .spare
.most:
    mov eax, pci.BUSES - 1
.spare:
    # up to the next extra root bus
    mov ecx, dword ptr [ram.plan.bus_number]
    cmp ecx, eax
    jae .last
    inc ecx
    bt dword ptr [ram.plan.roots], ecx
    jc .last
    mov dword ptr [ram.plan.bus_number], ecx
    jmp .spare
.last:
    mov ebp, dword ptr [esi + pci_plan.BUS.function]
    mov ebx, dword ptr [ebp + pci_plan.FUNCTION.config]
    mov bl, pci.BRIDGE.subordinate
    mov eax, dword ptr [ram.plan.bus_number]
    call pci_write8
    mov esi, dword ptr [esi + pci_plan.BUS.parent]
    ret
