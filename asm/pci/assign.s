# Addresses, from the root buses down.

#: give everything on the lists its address, write it, and let the functions decode
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.ecam, ram.plan, region.scratch
#: writes: ram.plan.kind, ram.plan.limit, ram.plan.root, ram.plan.threshold, region.scratch
#: source: PCI Local Bus Specification 3.0, 6.2.2 and 6.2.5
pci_assign:
    mov ecx, pci_plan.Kind.IO
    call pci_fit
    mov ecx, pci_plan.Kind.MEMORY
    call pci_fit
    # A bus comes before its downstream buses.
    mov esi, ram.plan.root
.bus:
    xor ecx, ecx
.list:
    push ecx
    call pci_place_list
    pop ecx
    inc ecx
    cmp ecx, pci_plan.LISTS
    jb .list
    mov esi, dword ptr [esi + pci_plan.BUS.next]
    test esi, esi
    jnz .bus
    # The last function found comes first, so a bridge is enabled after everything downstream of it.
    mov esi, dword ptr [ram.plan.functions]
.function:
    test esi, esi
    jz .done
    mov ebx, dword ptr [esi + pci_plan.FUNCTION.config]
    add ebx, pci.HEADER.command
    mov eax, dword ptr [esi + pci_plan.FUNCTION.command]
    call pci_write16
    mov esi, dword ptr [esi + pci_plan.FUNCTION.next]
    jmp .function
.done:
    ret

#: place resources one after the other, each on its alignment, up to ram.plan.limit; one that
#: does not fit gets address 0
#: mode: 32
#: in: edi first resource or 0, eax where to begin low, edx high, ecx which of pci_plan.Flag.MOVED
#:   and DROPPED those to place have
#: out: eax end of the last low, edx high, eflags CF set if not all fit
#: clobbers: edi
#: reads: ram.plan.limit
#: source: -
pci_place:
    push ebx
    push esi
    push ebp
    # how many do not fit
    xor ebp, ebp
.next:
    test edi, edi
    jz .done
    movzx ebx, byte ptr [edi + pci_plan.RESOURCE.flags]
    and ebx, pci_plan.Flag.MOVED | pci_plan.Flag.DROPPED
    cmp ebx, ecx
    jnz .skip
    # A window of nothing takes no room.
    mov ebx, dword ptr [edi + pci_plan.RESOURCE.size]
    or ebx, dword ptr [edi + pci_plan.RESOURCE.size + 4]
    jz .nowhere
    push eax
    push edx
    push ecx
    # ESI:EBX: the bits of an address; a shift counts modulo 32
    mov cl, byte ptr [edi + pci_plan.RESOURCE.key]
    or ebx, -1
    or esi, -1
    shl ebx, cl
    test cl, 32
    jz .mask
    mov esi, ebx
    xor ebx, ebx
.mask:
    pop ecx
    not ebx
    not esi
    # up to the next address of that alignment
    add eax, ebx
    adc edx, esi
    jc .full
    not ebx
    not esi
    and eax, ebx
    and edx, esi
    # its place; EDX:EAX goes on to its end
    mov dword ptr [edi + pci_plan.RESOURCE.address], eax
    mov dword ptr [edi + pci_plan.RESOURCE.address + 4], edx
    add eax, dword ptr [edi + pci_plan.RESOURCE.size]
    adc edx, dword ptr [edi + pci_plan.RESOURCE.size + 4]
    jc .full
    # is the end within the limit?
    mov ebx, dword ptr [ram.plan.limit]
    mov esi, dword ptr [ram.plan.limit + 4]
    sub ebx, eax
    sbb esi, edx
    jb .full
    pop ebx
    pop ebx
.skip:
    mov edi, dword ptr [edi]
    jmp .next
.full:
    pop edx
    pop eax
    inc ebp
.nowhere:
    and dword ptr [edi + pci_plan.RESOURCE.address], 0
    and dword ptr [edi + pci_plan.RESOURCE.address + 4], 0
    jmp .skip
.done:
    neg ebp
    pop ebp
    pop esi
    pop ebx
    ret

#: place what has lost on the root buses where there is room left
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, eflags
#: reads: ram.plan.kind, ram.plan.limit, ram.plan.memory, ram.plan.root
#: writes: ram.plan.limit
#: source: -
pci_place_left:
    call pci_root_list
    xor ecx, ecx
    call pci_fill
    # where something was short the list is not empty
    mov edi, dword ptr [esi]
.resource:
    mov al, byte ptr [edi + pci_plan.RESOURCE.flags]
    and al, pci_plan.Flag.MOVABLE | pci_plan.Flag.DROPPED
    cmp al, pci_plan.Flag.MOVABLE | pci_plan.Flag.DROPPED
    jnz .next
    mov eax, dword ptr [edi + pci_plan.RESOURCE.address]
    or eax, dword ptr [edi + pci_plan.RESOURCE.address + 4]
    jnz .next
    or byte ptr [edi + pci_plan.RESOURCE.flags], pci_plan.Flag.MOVED
.next:
    mov edi, dword ptr [edi]
    test edi, edi
    jnz .resource
    mov ecx, pci_plan.Flag.MOVED
    add ebx, pci_plan.APERTURES.other_start
    jmp pci_fill

#: place a list of the root buses in an aperture; resources that have lost go after all others
#: mode: 32
#: in: esi address of the list's head, ebx start and end of the aperture, ecx pci_plan.Flag.MOVED
#:   or 0
#: out: -
#: clobbers: eax, ecx, edx, edi, eflags
#: reads: ram.plan.limit
#: writes: ram.plan.limit
#: source: -
pci_fill:
    mov eax, dword ptr [ebx + pci_plan.APERTURES.end]
    mov dword ptr [ram.plan.limit], eax
    mov eax, dword ptr [ebx + pci_plan.APERTURES.end + 4]
    mov dword ptr [ram.plan.limit + 4], eax
    mov eax, dword ptr [ebx + pci_plan.APERTURES.start]
    mov edx, dword ptr [ebx + pci_plan.APERTURES.start + 4]
    mov edi, dword ptr [esi]
    call pci_place
    or ecx, pci_plan.Flag.DROPPED
    mov edi, dword ptr [esi]
    jmp pci_place

#: place a list inside the window of its bridge, if it has one, and write it to the functions
#: mode: 32
#: in: esi bus, ecx pci_plan.List
#: out: -
#: clobbers: eax, ebx, ecx, edx, edi, eflags
#: reads: ram.work.ecam, ram.plan.limit, region.scratch
#: writes: ram.plan.limit, region.scratch
#: source: PCI-to-PCI Bridge Architecture Specification 1.2, 3.2.5
pci_place_list:
    mov edi, dword ptr [esi + ecx * 4 + pci_plan.BUS.lists]
    mov ebx, dword ptr [esi + ecx * 4 + pci_plan.BUS.windows]
    # a root bus has none
    test ebx, ebx
    jz .write
    push edi
    push edi
    # from the window's start to its end
    mov eax, dword ptr [ebx + pci_plan.RESOURCE.address]
    mov edx, dword ptr [ebx + pci_plan.RESOURCE.address + 4]
    mov ecx, eax
    add ecx, dword ptr [ebx + pci_plan.RESOURCE.size]
    mov dword ptr [ram.plan.limit], ecx
    mov ecx, edx
    adc ecx, dword ptr [ebx + pci_plan.RESOURCE.size + 4]
    mov dword ptr [ram.plan.limit + 4], ecx
    # first what keeps its place, then what has lost, in the room that is left
    xor ecx, ecx
    call pci_place
    pop edi
    mov ecx, pci_plan.Flag.DROPPED
    call pci_place
    pop edi
.write:
    test edi, edi
    jz .done
    call pci_program
    mov edi, dword ptr [edi]
    jmp .write
.done:
    ret
