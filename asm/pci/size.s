# How large windows are, and whether all of it fits into the apertures of the root buses.

#: find addresses for everything in one address space. If it does not fit, what may move goes to
#: the second aperture; if that is not enough, the least needed gets none
#: mode: 32
#: in: ecx pci_plan.Kind
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.ecam, ram.plan
#: writes: ram.plan.keys, ram.plan.kind, ram.plan.limit, ram.plan.threshold
#: source: -
pci_fit:
    mov dword ptr [ram.plan.kind], ecx
    or dword ptr [ram.plan.threshold], -1
    # No limit until it is known what fits, but for the last 4 GiB: the lower half is that of ports.
    or dword ptr [ram.plan.limit + 4], -1
    call pci_try
    test eax, eax
    jz .done
    mov ecx, pci_plan.Short.FIRST
    test al, cl
    jz .other
    call pci_drop
.other:
    mov ecx, pci_plan.Short.OTHER
    test al, cl
    jz .left
    call pci_drop
.left:
    jmp pci_place_left
.done:
    ret

#: give windows their sizes and lay out the root buses, without what has lost
#: mode: 32
#: in: -
#: out: eax pci_plan.Short
#: clobbers: ebx, ecx, edx, esi, edi, eflags
#: reads: ram.plan
#: writes: ram.plan.keys
#: source: -
pci_try:
    # From the last bus on: a window is known before the bus that it is on.
    mov esi, dword ptr [ram.plan.bus_last]
.bus:
    cmp dword ptr [esi + pci_plan.BUS.function], 0
    jz pci_try_root
    mov ecx, dword ptr [ram.plan.kind]
    call pci_size_window
    mov ecx, dword ptr [ram.plan.kind]
    jecxz .next
    inc ecx
    call pci_size_window
.next:
    mov esi, dword ptr [esi + pci_plan.BUS.previous]
    jmp .bus

#: give a window its size: what it must hold, or its room if that is more
#: mode: 32
#: in: esi the bridge's secondary bus, ecx pci_plan.List
#: out: -
#: clobbers: eax, ebx, ecx, edx, edi, eflags
#: reads: ram.plan.buckets, ram.plan.keys, ram.plan.limit, ram.plan.threshold
#: writes: ram.plan.keys
#: source: PCI-to-PCI Bridge Architecture Specification 1.2, 3.2.5.6 to 3.2.5.10
pci_size_window:
    mov edi, dword ptr [esi + ecx * 4 + pci_plan.BUS.windows]
    test edi, edi
    jnz .window
    ret
.window:
    push esi
    push edi
    push ecx
    lea esi, [esi + ecx * 4 + pci_plan.BUS.lists]
    call pci_sort
    mov edi, dword ptr [esi]
    # laid out from 0
    xor eax, eax
    xor edx, edx
    xor ecx, ecx
    call pci_place
    pop ecx
    pop edi
    pop esi
    jc .huge
    # EDX:EAX bytes needed, BL the largest alignment
    mov bh, pci_plan.WINDOW_IO_KEY
    jecxz .room
    mov bh, pci_plan.WINDOW_MEMORY_KEY
.room:
    mov ecx, dword ptr [edi + pci_plan.RESOURCE.rank]
    cmp ecx, dword ptr [ram.plan.threshold]
    jae .sized
    cmp eax, dword ptr [edi + pci_plan.WINDOW.room]
    mov ecx, edx
    sbb ecx, dword ptr [edi + pci_plan.WINDOW.room + 4]
    jae .enough
    mov eax, dword ptr [edi + pci_plan.WINDOW.room]
    mov edx, dword ptr [edi + pci_plan.WINDOW.room + 4]
    cmp bl, byte ptr [edi + pci_plan.WINDOW.room_key]
    jae .enough
    mov bl, byte ptr [edi + pci_plan.WINDOW.room_key]
.enough:
.sized:
    # whole units of the bridge's registers, and aligned to one at least
    mov cl, bh
    cmp bl, bh
    jae .key
    mov bl, bh
.key:
    mov byte ptr [edi + pci_plan.RESOURCE.key], bl
    mov ebx, 1
    shl ebx, cl
    dec ebx
    add eax, ebx
    adc edx, 0                  # no wrap: the limit is less
    not ebx
    and eax, ebx
.store:
    mov dword ptr [edi + pci_plan.RESOURCE.size], eax
    mov dword ptr [edi + pci_plan.RESOURCE.size + 4], edx
    ret
.huge:
    # more than any aperture has
    or eax, -1
    or edx, -1
    jmp .store

#: sort a list by key, the largest first, and mark what has lost
#: mode: 32
#: in: esi address of the list's head
#: out: ebx the largest key of those that have not lost; 0 without one
#: clobbers: eax, ecx, edx, edi, eflags
#: reads: ram.plan.buckets, ram.plan.keys, ram.plan.threshold
#: writes: ram.plan.keys
#: source: -
pci_sort:
    xor ebx, ebx
    mov edi, dword ptr [esi]
    jmp .first
.mark:
    and byte ptr [edi + pci_plan.RESOURCE.flags], -1 - pci_plan.Flag.MOVED - pci_plan.Flag.DROPPED & 0xff
    movzx ecx, byte ptr [edi + pci_plan.RESOURCE.key]
    # what a window must hold does not lose with its room
    test byte ptr [edi + pci_plan.RESOURCE.flags], pci_plan.Flag.WINDOW
    jnz .kept
    mov eax, dword ptr [edi + pci_plan.RESOURCE.rank]
    cmp eax, dword ptr [ram.plan.threshold]
    jae .dropped
.kept:
    cmp bl, cl
    jae .bucket
    mov bl, cl
    jmp .bucket
.dropped:
    or byte ptr [edi + pci_plan.RESOURCE.flags], pci_plan.Flag.DROPPED
.bucket:
    # a list for each key, and a bit that says whether it has begun
    lea eax, [ram.plan.buckets + ecx * 4]
    bts dword ptr [ram.plan.keys], ecx
    jc .push
    and dword ptr [eax], 0
.push:
    mov edx, dword ptr [edi]
    mov ecx, dword ptr [eax]
    mov dword ptr [edi], ecx
    mov dword ptr [eax], edi
    mov edi, edx
.first:
    test edi, edi
    jnz .mark
    # EDX: the sorted list, which grows in front, from the smallest key on
    xor edx, edx
.key:
    bsf ecx, dword ptr [ram.plan.keys]
    jnz .found
    bsf ecx, dword ptr [ram.plan.keys + 4]
    jz .done
    add ecx, 32
.found:
    btr dword ptr [ram.plan.keys], ecx
    mov edi, dword ptr [ram.plan.buckets + ecx * 4]
.pop:
    mov eax, dword ptr [edi]
    mov dword ptr [edi], edx
    mov edx, edi
    mov edi, eax
    test edi, edi
    jnz .pop
    jmp .key
.done:
    mov dword ptr [esi], edx
    ret

#: where the root buses' list of one kind is, and its apertures
#: mode: 32
#: in: -
#: out: esi address of the list's head, ebx pci_plan.APERTURES
#: clobbers: eflags
#: reads: ram.plan.kind, ram.plan.memory, ram.plan.root
#: source: -
pci_root_list:
    mov esi, ram.plan.root + pci_plan.BUS.lists + 4 * pci_plan.List.IO
    mov ebx, pci_io_apertures
    cmp dword ptr [ram.plan.kind], pci_plan.Kind.IO
    jz .done
    mov esi, ram.plan.root + pci_plan.BUS.lists + 4 * pci_plan.List.MEMORY
    mov ebx, ram.plan.memory
.done:
    ret

#: lay out the root buses' list. When the first aperture is too small, what may move goes to the
#: second, the largest first, until the rest fits
#: mode: 32
#: in: -
#: out: eax pci_plan.Short
#: clobbers: ebx, ecx, edx, esi, edi, eflags
#: reads: ram.plan.buckets, ram.plan.keys, ram.plan.kind, ram.plan.limit, ram.plan.limits,
#:   ram.plan.memory, ram.plan.root, ram.plan.threshold
#: writes: ram.plan.keys
#: source: -
pci_try_root:
    call pci_root_list
    call pci_sort
    call pci_root_list
    push 0
.first:
    xor ecx, ecx
    call pci_lay
    jnc .other
    # EDX:EAX bytes too many; CH: 1 if anything more has moved, 2 if that could never stay
    mov edi, dword ptr [esi]
    xor ecx, ecx
.move:
    test edi, edi
    jz .end
    mov cl, byte ptr [edi + pci_plan.RESOURCE.flags]
    and cl, pci_plan.Flag.MOVABLE | pci_plan.Flag.MOVED | pci_plan.Flag.DROPPED
    cmp cl, pci_plan.Flag.MOVABLE
    jnz .next
    # Larger than the aperture? Without those that are it may not be too much: look again
    mov cl, byte ptr [edi + pci_plan.RESOURCE.key]
    cmp cl, byte ptr [ram.plan.limits + pci_plan.List.MEMORY]
    ja .larger
    cmp ch, 2
    jz .first
    # it moves, and takes its size off what is too much
    or byte ptr [edi + pci_plan.RESOURCE.flags], pci_plan.Flag.MOVED
    mov ch, 1
    sub eax, dword ptr [edi + pci_plan.RESOURCE.size]
    sbb edx, dword ptr [edi + pci_plan.RESOURCE.size + 4]
    jb .first
    push eax
    or eax, edx
    pop eax
    jz .first
.next:
    mov edi, dword ptr [edi]
    jmp .move
.larger:
    or byte ptr [edi + pci_plan.RESOURCE.flags], pci_plan.Flag.MOVED
    mov ch, 2
    jmp .next
.end:
    test ch, ch
    jnz .first
    mov dword ptr [esp], pci_plan.Short.FIRST
.other:
    mov ecx, pci_plan.Flag.MOVED
    add ebx, pci_plan.APERTURES.other_start
    call pci_lay
    jnc .fits
    or dword ptr [esp], pci_plan.Short.OTHER
.fits:
    pop eax
    ret

#: place a list of the root buses from the start of an aperture on, as far as it takes
#: mode: 32
#: in: esi address of the list's head, ebx start and end of the aperture, ecx flags of those to
#:   place as in pci_place
#: out: eax bytes after the end low, edx high (all ones for more than can be), eflags CF set if
#:   there are any
#: clobbers: edi
#: reads: ram.plan.limit
#: source: -
pci_lay:
    mov eax, dword ptr [ebx + pci_plan.APERTURES.start]
    mov edx, dword ptr [ebx + pci_plan.APERTURES.start + 4]
    mov edi, dword ptr [esi]
    call pci_place
    jc .huge
    # an aperture of no bytes still holds nothing
    cmp eax, dword ptr [ebx + pci_plan.APERTURES.start]
    jnz .some
    cmp edx, dword ptr [ebx + pci_plan.APERTURES.start + 4]
    jz .fits
.some:
    sub eax, dword ptr [ebx + pci_plan.APERTURES.end]
    sbb edx, dword ptr [ebx + pci_plan.APERTURES.end + 4]
    jb .fits
    mov edi, eax
    or edi, edx
    jz .fits
    stc
    ret
.huge:
    or eax, -1
    or edx, -1
    stc
    ret
.fits:
    clc
    ret

#: I/O ports: pci_plan.APERTURES
#: mode: data
pci_io_apertures:
    .quad pci_plan.IO_START, pci_plan.IO_END, pci_plan.IO_OTHER_START, pci_plan.IO_OTHER_END
