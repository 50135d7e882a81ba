# BARs: how large they are, and on which list of their bus.

#: size BARs and the expansion ROM's
#: mode: 32
#: in: esi bus, ebp function, ecx which dwords from the first BAR on (a bit each)
#: out: -
#: clobbers: eax, ebx, ecx, edx, edi, eflags
#: reads: ram.work.ecam, ram.plan.limits
#: source: PCI Local Bus Specification 3.0, 6.2.5
pci_bars:
    mov ebx, dword ptr [ebp + pci_plan.FUNCTION.config]
    add ebx, pci.HEADER.bar
.next:
    shr ecx, 1
    jnc .skip
    push ecx
    push ebx
    call pci_bar
    pop ebx
    pop ecx
    jnc .skip
    # its upper half is none
    shr ecx, 1
    add ebx, 4
.skip:
    add ebx, 4
    test ecx, ecx
    jnz .next
    ret

#: size one BAR and put it on a list
#: mode: 32
#: in: esi bus, ebp function, ebx configuration address of the BAR
#: out: eflags CF set if it has an upper half
#: clobbers: eax, ebx, ecx, edx, edi
#: reads: ram.work.ecam, ram.plan.limits
#: source: PCI Local Bus Specification 3.0, 6.2.5.1 and 6.2.5.2
pci_bar:
    or eax, -1
    call pci_write32
    call pci_read32
    test eax, eax
    jz .none
    # ECX: pci_plan.List, flags, key, from bit 16 down
    mov ecx, pci_plan.List.MEMORY << 16 | pci_plan.Flag.ROM << 8
    cmp bl, pci.HEADER.rom
    jae .rom
    mov ecx, pci_plan.List.IO << 16 | pci_plan.Flag.IO << 8
    test al, pci.BAR_IO
    jnz .io
    mov ecx, pci_plan.List.MEMORY << 16
    test al, pci.BAR_64
    jz .memory
    # A root bus has no window that wants the wide ones prefetchable.
    mov ch, pci_plan.Flag.WIDE
    cmp dword ptr [esi + pci_plan.BUS.function], 0
    jz .prefetch
    test al, pci.BAR_PREFETCH
    jz .memory
.prefetch:
    add ecx, (pci_plan.List.PREFETCH - pci_plan.List.MEMORY) << 16
.memory:
    and eax, -1 - pci.BAR_MEMORY_FLAGS
    jmp .size
.rom:
    and eax, -1 - pci.ROM_FLAGS
    jmp .size
.io:
    # the upper half need not be there
    and eax, -1 - pci.BAR_IO_FLAGS
    or eax, -pci_plan.IO_END
.size:
    bsf eax, eax
    jnz .sized
    # 4 GiB or more: its upper half tells
    test ch, pci_plan.Flag.WIDE
    jz .none
    push ebx
    add ebx, 4
    or eax, -1
    call pci_write32
    call pci_read32
    pop ebx
    bsf eax, eax
    jz .none
    add al, 32
.sized:
    mov cl, al
    test ch, pci_plan.Flag.IO
    jnz .note
    cmp cl, pci_plan.MEMORY_KEY_MIN
    jae .note
    mov cl, pci_plan.MEMORY_KEY_MIN
.note:
    push ecx
    mov ecx, pci_plan.RESOURCE.sizeof
    call pci_alloc
    pop ecx
    mov dword ptr [edi + pci_plan.RESOURCE.function], ebp
    mov dword ptr [edi + pci_plan.RESOURCE.register], ebx
    mov word ptr [edi + pci_plan.RESOURCE.key], cx
    # a shift counts modulo 32
    mov eax, 1
    shl eax, cl
    test cl, 32
    jnz .large
    mov dword ptr [edi + pci_plan.RESOURCE.size], eax
    dec eax
    mov dword ptr [edi + pci_plan.RESOURCE.mask], eax
    jmp .insert
.large:
    mov dword ptr [edi + pci_plan.RESOURCE.size + 4], eax
    dec eax
    mov dword ptr [edi + pci_plan.RESOURCE.mask + 4], eax
    or dword ptr [edi + pci_plan.RESOURCE.mask], -1
.insert:
    push ecx
    mov eax, ecx
    shr eax, 16
    call pci_insert
    pop ecx
    test ch, pci_plan.Flag.WIDE
    jz .none
    stc
    ret
.none:
    clc
    ret

#: put a resource on the list of its bus; leave it without an address where the bus has no such
#: window, or none can be as large
#: mode: 32
#: in: edi resource, esi bus, eax pci_plan.List
#: out: -
#: clobbers: eax, ebx, ecx, edx, eflags
#: reads: ram.work.ecam, ram.plan.limits
#: source: PCI-to-PCI Bridge Architecture Specification 1.2, 3.2.5
pci_insert:
    # ECX: the list whose limit counts
    mov ecx, eax
    cmp dword ptr [esi + pci_plan.BUS.function], 0
    jnz .behind
    # A root bus has one list of memory; there is a second window for all but 32-bit memory.
    cmp eax, pci_plan.List.MEMORY
    jz .limit
    or byte ptr [edi + pci_plan.RESOURCE.flags], pci_plan.Flag.MOVABLE
    shr eax, 1
    jmp .limit
.behind:
    bt dword ptr [esi + pci_plan.BUS.has], eax
    jc .limit
    test eax, eax
    jz pci_program
    mov eax, pci_plan.List.MEMORY
    mov ecx, eax
.limit:
    mov cl, byte ptr [ecx + ram.plan.limits]
    cmp byte ptr [edi + pci_plan.RESOURCE.key], cl
    ja pci_program
    # Links are the first field, so a bus's head of a list is as good as a resource.
    lea eax, [esi + eax * 4 + pci_plan.BUS.lists]
    mov dl, byte ptr [edi + pci_plan.RESOURCE.key]
.next:
    mov ecx, dword ptr [eax]
    jecxz .here
    cmp byte ptr [ecx + pci_plan.RESOURCE.key], dl
    jb .here
    mov eax, ecx
    jmp .next
.here:
    mov dword ptr [edi], ecx
    mov dword ptr [eax], edi
    ret
