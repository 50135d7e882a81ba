# Who loses where space runs out: pci_plan.Rank.

#: let as few lose as must, from the highest rank down
#: mode: 32
#: in: ecx pci_plan.Short
#: out: eax what is too small then
#: clobbers: ebx, ecx, edx, esi, edi, eflags
#: reads: ram.work.ecam, ram.plan
#: writes: ram.plan.short, ram.plan.threshold
#: source: -
pci_drop:
    mov dword ptr [ram.plan.short], ecx
    call pci_rank
    # The threshold lies between one with which all fits and one with which it does not.
    push 1
    push pci_plan.RANK_END
.halve:
    mov eax, dword ptr [esp]
    add eax, dword ptr [esp + 4]
    shr eax, 1
    cmp eax, dword ptr [esp + 4]
    jz .found
    mov dword ptr [ram.plan.threshold], eax
    call pci_try
    test dword ptr [ram.plan.short], eax
    mov eax, dword ptr [ram.plan.threshold]
    jz .fits
    mov dword ptr [esp], eax
    jmp .halve
.fits:
    mov dword ptr [esp + 4], eax
    jmp .halve
.found:
    mov dword ptr [ram.plan.threshold], eax
    pop ecx
    pop ecx
    jmp pci_try

#: rank everything that takes room where there is too little. What has lost stays so
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, eflags
#: reads: ram.work.ecam, ram.plan.bus_last, ram.plan.kind, ram.plan.threshold
#: source: -
pci_rank:
    mov esi, dword ptr [ram.plan.bus_last]
.bus:
    mov ecx, dword ptr [ram.plan.kind]
.list:
    mov edi, dword ptr [esi + ecx * 4 + pci_plan.BUS.lists]
.resource:
    test edi, edi
    jz .next
    call pci_rank_one
    mov edi, dword ptr [edi]
    jmp .resource
.next:
    # List.IO is alone, List.MEMORY is not
    dec ecx
    jnz .last
    mov ecx, pci_plan.List.PREFETCH
    jmp .list
.last:
    mov esi, dword ptr [esi + pci_plan.BUS.previous]
    test esi, esi
    jnz .bus
    ret

#: rank a BAR, or the room in a window
#: mode: 32
#: in: edi resource
#: out: -
#: clobbers: eax, ebx, edx, eflags
#: reads: ram.work.ecam, ram.plan.threshold
#: source: PCI Code and ID Assignment Specification 1.11, 1
pci_rank_one:
    push ecx
    mov eax, dword ptr [edi + pci_plan.RESOURCE.rank]
    cmp eax, dword ptr [ram.plan.threshold]
    jae .never
    # What may move is too much for the second aperture, all else for the first.
    mov cl, byte ptr [edi + pci_plan.RESOURCE.flags]
    mov eax, pci_plan.Short.FIRST
    test cl, pci_plan.Flag.MOVABLE
    jz .short
    mov al, pci_plan.Short.OTHER
.short:
    test dword ptr [ram.plan.short], eax
    mov eax, 0
    jz .rank
    mov ch, byte ptr [edi + pci_plan.RESOURCE.key]
    test cl, pci_plan.Flag.WINDOW
    jz .bar
    mov ch, byte ptr [edi + pci_plan.WINDOW.room_key]
    mov al, pci_plan.Rank.HINT
    test cl, pci_plan.Flag.HINT
    jnz .key
    mov al, pci_plan.Rank.ROOM
    jmp .key
.bar:
    mov al, pci_plan.Rank.ROM
    test cl, pci_plan.Flag.ROM
    jnz .key
    # a BAR, by its function's base class
    mov ebx, dword ptr [edi + pci_plan.RESOURCE.function]
    mov ebx, dword ptr [ebx + pci_plan.FUNCTION.config]
    add ebx, pci.HEADER.revision
    call pci_read32
    shr eax, 24
    mov ebx, eax
    mov eax, pci_plan.Rank.BOOT
    # a guest cannot boot without these
    cmp bl, pci.Class.STORAGE
    jz .key
    cmp bl, pci.Class.NETWORK
    jz .key
    cmp bl, pci.Class.BRIDGE
    jz .key
    mov al, pci_plan.Rank.DEVICE
.key:
    shl eax, pci_plan.RANK_SHIFT
    movzx ebx, ch
    shl ebx, pci_plan.RANK_KEY_SHIFT
    add eax, ebx
    lea ebx, [edi - region.pci.base]
    shr ebx, 2
    add eax, ebx
.rank:
    mov dword ptr [edi + pci_plan.RESOURCE.rank], eax
    pop ecx
    ret
.never:
    or eax, -1
    jmp .rank
