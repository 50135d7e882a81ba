# BARs: how large they are, and on which list of their bus.

#: size BARs and the expansion ROM's
#: mode: 32
#: in: esi bus, ebp function, ebx its configuration address, ecx which dwords from the first BAR on
#:   (a bit each)
#: out: -
#: clobbers: eax, ebx, ecx, edx, edi, eflags
#: reads: ram.work.ecam, ram.plan.limits, region.scratch
#: writes: region.scratch
#: source: PCI Local Bus Specification 3.0, 6.2.5
pci_bars:
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
#: in: esi bus, ebp function, ebx configuration address of the BAR, ecx bit 0 set if the dword
#:   after it is a BAR's too
#: out: eflags CF set if it has an upper half
#: clobbers: eax, ebx, ecx, edx, edi
#: reads: ram.work.ecam, ram.plan.limits, region.scratch
#: writes: region.scratch
#: source: PCI Local Bus Specification 3.0, 6.2.5.1 and 6.2.5.2
pci_bar:
    mov edi, ecx
    or eax, -1
    call pci_write32
    call pci_read32
    test eax, eax
    jnz .present
    ret
.present:
    # ECX: pci_plan.List, flags, key, from bit 16 down
    mov ecx, pci_plan.List.MEMORY << 16 | pci_plan.Flag.ROM << 8
    cmp bl, pci.HEADER.rom
    jae .rom
    # I/O by its lowest bit
    mov ecx, pci_plan.List.IO << 16 | pci_plan.Flag.IO << 8
    test al, pci.BAR_IO
    jnz .io
    mov ecx, pci_plan.List.MEMORY << 16
    # 64 bits wide? Only where a second register follows
    mov edx, eax
    and edx, pci.BAR_MEMORY_TYPE
    cmp edx, pci.BAR_64
    jnz .memory
    test edi, 1
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
    and eax, -1 - pci.BAR_IO_FLAGS
    jz .none
    # the upper half need not be there
    or eax, -pci_plan.IO_END
.size:
    call pci_size_bits
    jc .broken
    jnz .sized
    # 4 GiB or more: its upper half tells
    test ch, pci_plan.Flag.WIDE
    jz .none
    push ebx
    add ebx, 4
    or eax, -1
    call pci_write32
    call pci_read32
    call pci_size_bits
    jc .gap
    pop ebx
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
    jmp .insert
.large:
    mov dword ptr [edi + pci_plan.RESOURCE.size + 4], eax
.insert:
    push ecx
    mov eax, ecx
    shr eax, 16
    call pci_insert
    pop ecx
.none:
    test ch, pci_plan.Flag.WIDE
    jz .absent
    stc
.absent:
    ret
.gap:
    # in the upper half, which gets 0 as the lower one does
    xor eax, eax
    call pci_write32
    pop ebx
.broken:
    # The bits that take a one do not reach to the top without a gap: only address 0 surely sticks.
    xor eax, eax
    call pci_write32
    mov al, -1 - pci.Command.MEMORY & 0xff
    test ch, pci_plan.Flag.IO
    jz .off
    mov al, -1 - pci.Command.IO & 0xff
.off:
    and byte ptr [ebp + pci_plan.FUNCTION.command], al
    jmp .none

#: the size that a BAR's mask stands for
#: mode: 32
#: in: eax the bits that take a one
#: out: eax the lowest, eflags ZF set if there is none; CF set if one above it is missing
#: clobbers: edx
#: source: PCI Local Bus Specification 3.0, 6.2.5.1
pci_size_bits:
    mov edx, eax
    neg edx
    and edx, eax
    # EDX: the lowest; from there up all ones make 0 with it
    add edx, eax
    cmp edx, 1
    cmc
    jc .done
    bsf eax, eax
    clc
.done:
    ret

#: put a resource on the list of its bus; leave it without an address where the bus has no such
#: window, or none can be as large
#: mode: 32
#: in: edi resource, esi bus, eax pci_plan.List
#: out: -
#: clobbers: eax, ebx, ecx, edx, eflags
#: reads: ram.work.ecam, ram.plan.limits, region.scratch
#: writes: region.scratch
#: source: PCI-to-PCI Bridge Architecture Specification 1.2, 3.2.5
pci_insert:
    # ECX: the list whose limit counts
    mov ecx, eax
    cmp dword ptr [esi + pci_plan.BUS.function], 0
    jz .root
    bt dword ptr [esi + pci_plan.BUS.has], eax
    jc .limit
    test eax, eax
    jz pci_program
    mov eax, pci_plan.List.MEMORY
    mov ecx, eax
    jmp .limit
.root:
    # A root bus has one list of memory; there is a second aperture for all but 32-bit memory.
    cmp eax, pci_plan.List.PREFETCH
    jnz .limit
    mov eax, pci_plan.List.MEMORY
.limit:
    cmp ecx, pci_plan.List.MEMORY
    jz .fixed
    or byte ptr [edi + pci_plan.RESOURCE.flags], pci_plan.Flag.MOVABLE
.fixed:
    mov cl, byte ptr [ecx + ram.plan.limits]
    cmp byte ptr [edi + pci_plan.RESOURCE.key], cl
    ja pci_program
    lea eax, [esi + eax * 4 + pci_plan.BUS.lists]
    mov ecx, dword ptr [eax]
    mov dword ptr [edi + pci_plan.RESOURCE.next], ecx
    mov dword ptr [eax], edi
    ret
