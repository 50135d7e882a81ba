# Addresses, from the root buses down, and what is written to the functions.

#: give everything on the lists its address, write it, and let the functions decode
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.ecam, ram.plan.functions, ram.plan.limit, ram.plan.memory, ram.plan.root
#: writes: ram.plan.limit, ram.plan.root
#: source: PCI Local Bus Specification 3.0, 6.2.2 and 6.2.5
pci_assign:
    mov esi, ram.plan.root + pci_plan.BUS.lists + 4 * pci_plan.List.IO
    mov ebx, pci_io_windows
    call pci_place_root
    mov esi, ram.plan.root + pci_plan.BUS.lists + 4 * pci_plan.List.MEMORY
    mov ebx, ram.plan.memory
    call pci_place_root
    # A bus comes before those behind it.
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
    # What was found last comes first, so a bridge is on after all behind it.
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

#: give a list of the root buses its addresses. When the first window is too small, what may
#: move goes to the second, the largest first, until the rest fits
#: mode: 32
#: in: esi address of the list's head, ebx pci_plan.WINDOWS
#: out: -
#: clobbers: eax, ecx, edx, edi, eflags
#: reads: ram.plan.limit
#: writes: ram.plan.limit
#: source: -
pci_place_root:
    mov ecx, 0
    call pci_place_window
    jnc .rest
    mov edi, esi
.find:
    mov edi, dword ptr [edi]
    test edi, edi
    jz .rest
    test byte ptr [edi + pci_plan.RESOURCE.flags], pci_plan.Flag.MOVABLE
    jz .find
    xor byte ptr [edi + pci_plan.RESOURCE.flags], pci_plan.Flag.MOVABLE | pci_plan.Flag.MOVED
    jmp pci_place_root
.rest:
    mov ecx, pci_plan.Flag.MOVED
    push ebx
    add ebx, pci_plan.WINDOWS.other_start
    call pci_place_window
    pop ebx
    ret

#: place a list of the root buses in one window
#: mode: 32
#: in: esi address of the list's head, ebx start and end, ecx pci_plan.Flag.MOVED or 0
#: out: eax end of the last low, edx high, eflags CF set if not all of it fits
#: clobbers: edi
#: reads: ram.plan.limit
#: writes: ram.plan.limit
#: source: -
pci_place_window:
    mov eax, dword ptr [ebx + pci_plan.WINDOWS.end]
    mov dword ptr [ram.plan.limit], eax
    mov eax, dword ptr [ebx + pci_plan.WINDOWS.end + 4]
    mov dword ptr [ram.plan.limit + 4], eax
    mov eax, dword ptr [ebx + pci_plan.WINDOWS.start]
    mov edx, dword ptr [ebx + pci_plan.WINDOWS.start + 4]
    mov edi, dword ptr [esi]
    jmp pci_place

#: place resources one behind the other, each on its alignment, up to ram.plan.limit; one that
#: does not fit gets address 0
#: mode: 32
#: in: edi first resource or 0, eax where to begin low, edx high, ecx pci_plan.Flag.MOVED to
#:   place those that have it or 0 for the others
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
    and ebx, pci_plan.Flag.MOVED
    cmp ebx, ecx
    jnz .skip
    push eax
    push edx
    mov ebx, dword ptr [edi + pci_plan.RESOURCE.mask]
    mov esi, dword ptr [edi + pci_plan.RESOURCE.mask + 4]
    add eax, ebx
    adc edx, esi
    not ebx
    not esi
    and eax, ebx
    and edx, esi
    mov dword ptr [edi + pci_plan.RESOURCE.address], eax
    mov dword ptr [edi + pci_plan.RESOURCE.address + 4], edx
    add eax, dword ptr [edi + pci_plan.RESOURCE.size]
    adc edx, dword ptr [edi + pci_plan.RESOURCE.size + 4]
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
    mov dword ptr [edi + pci_plan.RESOURCE.address], 0
    mov dword ptr [edi + pci_plan.RESOURCE.address + 4], 0
    inc ebp
    jmp .skip
.done:
    neg ebp
    pop ebp
    pop esi
    pop ebx
    ret

#: place a list inside the window of its bridge, if it has one, and write it to the functions
#: mode: 32
#: in: esi bus, ecx pci_plan.List
#: out: -
#: clobbers: eax, ebx, ecx, edx, edi, eflags
#: reads: ram.work.ecam, ram.plan.limit
#: writes: ram.plan.limit
#: source: PCI-to-PCI Bridge Architecture Specification 1.2, 3.2.5
pci_place_list:
    mov edi, dword ptr [esi + ecx * 4 + pci_plan.BUS.lists]
    mov ebx, dword ptr [esi + ecx * 4 + pci_plan.BUS.windows]
    # a root bus has none
    test ebx, ebx
    jz .write
    push edi
    mov eax, dword ptr [ebx + pci_plan.RESOURCE.address]
    mov edx, dword ptr [ebx + pci_plan.RESOURCE.address + 4]
    # All of it fits, unless the window has no address: then nothing may.
    mov ecx, eax
    or ecx, edx
    neg ecx
    sbb ecx, ecx
    mov dword ptr [ram.plan.limit], ecx
    mov dword ptr [ram.plan.limit + 4], ecx
    xor ecx, ecx
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

#: write a resource's address to its function. Without one a BAR is 0, and the function does not
#: decode what it is for; a window stays closed
#: mode: 32
#: in: edi resource
#: out: -
#: clobbers: eax, ebx, ecx, edx, eflags
#: reads: ram.work.ecam
#: source: PCI Local Bus Specification 3.0, 6.2.2
pci_program:
    mov ebx, dword ptr [edi + pci_plan.RESOURCE.register]
    mov eax, dword ptr [edi + pci_plan.RESOURCE.address]
    mov ecx, dword ptr [edi + pci_plan.RESOURCE.address + 4]
    test byte ptr [edi + pci_plan.RESOURCE.flags], pci_plan.Flag.WINDOW
    jnz pci_program_window
    call pci_write32
    or eax, ecx
    jz .nowhere
    jecxz .done
.upper:
    mov eax, ecx
    add ebx, 4
    jmp pci_write32
.nowhere:
    mov edx, dword ptr [edi + pci_plan.RESOURCE.function]
    mov al, byte ptr [edi + pci_plan.RESOURCE.flags]
    test al, pci_plan.Flag.ROM
    jnz .done
    test al, pci_plan.Flag.IO
    jnz .io
    and dword ptr [edx + pci_plan.FUNCTION.command], -1 - pci.Command.MEMORY
    test al, pci_plan.Flag.WIDE
    jnz .upper
.done:
    ret
.io:
    and dword ptr [edx + pci_plan.FUNCTION.command], -1 - pci.Command.IO
    ret

#: open a bridge's window
#: mode: 32
#: in: edi resource, ebx configuration address of the base, eax its address low, ecx high
#: out: -
#: clobbers: eax, ebx, ecx, edx, eflags
#: reads: ram.work.ecam
#: source: PCI-to-PCI Bridge Architecture Specification 1.2, 3.2.5.6 to 3.2.5.10
pci_program_window:
    push ebp
    mov edx, ecx
    or edx, eax
    jz .done
    # EBP:EDX: its last byte
    mov edx, eax
    mov ebp, ecx
    add edx, dword ptr [edi + pci_plan.RESOURCE.size]
    adc ebp, dword ptr [edi + pci_plan.RESOURCE.size + 4]
    sub edx, 1
    sbb ebp, 0
    test byte ptr [edi + pci_plan.RESOURCE.flags], pci_plan.Flag.IO
    jz .memory
    # base in bits 7:4, limit in 15:12
    and edx, -pci.WINDOW_IO_ALIGN
    shr eax, pci.WINDOW_IO_SHIFT
    or eax, edx
    call pci_write16
    jmp .done
.memory:
    # base in bits 15:4, limit in 31:20
    and edx, -pci.WINDOW_MEMORY_ALIGN
    shr eax, pci.WINDOW_MEMORY_SHIFT
    or eax, edx
    call pci_write32
    jecxz .done
    add ebx, pci.BRIDGE.prefetch_base_high - pci.BRIDGE.prefetch_base
    mov eax, ecx
    call pci_write32
    add ebx, pci.BRIDGE.prefetch_limit_high - pci.BRIDGE.prefetch_base_high
    mov eax, ebp
    call pci_write32
.done:
    pop ebp
    ret

#: pci_plan.WINDOWS of I/O ports
#: mode: data
pci_io_windows:
    .quad pci_plan.IO_START, pci_plan.IO_END, pci_plan.IO_OTHER_START, pci_plan.IO_OTHER_END
