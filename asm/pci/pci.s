# PCI as firmware leaves it: bus numbers, BARs, bridge windows, interrupt lines, decoding on.
#
#   1. Walk over the buses, depth first, from device 0 up (scan.s). Each function notes what it
#      needs, a *resource* a BAR, on a list of its bus (bar.s). A bridge opens a new bus, which is
#      walked next, and gets a resource for each window on the list of the bus above (bridge.s).
#
#          root buses      [NIC's BAR] [window of A ........] [disk's BAR]     apertures
#                                           |
#          bus below A           [BAR] [window of B] [BAR]                     window of A
#                                           |
#          bus below B                   [BAR]                                 window of B
#
#   2. Sizes, from the last bus to the first (size.s): a list is sorted by alignment, the largest
#      first, and laid out from 0. So no hole arises, and where it ends is the window's size, or the
#      room that it keeps for devices that come later, if that is more.
#   3. The root buses share two apertures of memory, below 4 GiB and above all RAM. If the first is
#      too small, what has 64 bits moves to the second, the largest first.
#   4. If it still does not fit, the least needed loses (rank.s): a binary search for the rank
#      from which on all must lose, with steps 2 and 3 for each guess.
#   5. Addresses, from the root buses down (assign.s): the same layout, now from a real start. What
#      has lost gets what is left. Then all is written, and functions decode (program.s).
#
# firmware/pci_plan.py has the tables. A *window* is a bridge's, an *aperture* the host's.

#: give every function of pc and q35 its addresses
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.ecam, ram.work.host_bridge, ram.work.memmap_end, ram.plan,
#:   region.memmap, region.scratch
#: writes: ram.plan, region.scratch
#: source: PCI Local Bus Specification 3.0, 6; PCI-to-PCI Bridge Architecture Specification 1.2, 3
pci_init:
    mov eax, dword ptr [ram.work.host_bridge]
    # Function 0 of device 1, PIIX3, is known to be there.
    mov edi, chipset.Config.PIIX3_IDE
.if option.machines.pc
    cmp eax, chipset.Device.I440FX
    jz .begin
.endif
.if option.machines.q35
    mov edi, chipset.Config.PIIX3_ISA
    cmp eax, chipset.Device.Q35
    jz .begin
.endif
    ret
.begin:
    push edi
    # nothing is known yet
    mov edi, ram.plan
    mov ecx, pci_plan.PLAN.buckets // 4
    xor eax, eax
    rep stosd
    call pci_apertures
    # bus 0, without what is known to be its first function
    mov esi, ram.plan.root
    mov dword ptr [ram.plan.bus_last], esi
    pop dword ptr [esi + pci_plan.BUS.config]
    mov dword ptr [esi + pci_plan.BUS.config_end], pci.CONFIG_ENABLE + (1 << pci.CONFIG_BUS_SHIFT)
    mov dword ptr [ram.plan.next], ram.plan + pci_plan.PLAN.sizeof
    call pci_find_roots
    call pci_scan
    jmp pci_assign

#: take zeroed memory for one of the tables
#: mode: 32
#: in: ecx bytes, ebx configuration address to stop with
#: out: edi address
#: clobbers: ecx, edx, eflags
#: reads: ram.plan.next
#: writes: ram.plan.next
#: source: fwbuild/firmware/pci_plan.py
pci_alloc:
    push eax
    mov edi, dword ptr [ram.plan.next]
    lea edx, [edi + ecx]
    cmp edx, region.pci.end
    ja .full
    # EDX: where the next one begins; EDI: this one, zeroed
    mov dword ptr [ram.plan.next], edx
    push edi
    shr ecx, 2
    xor eax, eax
    rep stosd
    pop edi
    pop eax
    ret
.full:
    mov edx, ebx
    mov al, stop_codes.PCI_FUNCTIONS
    jmp stop_with

#: find the apertures for memory: one below 4 GiB, and one above all RAM
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.memmap_end, ram.plan.memory.start, region.memmap,
#:   region.scratch
#: writes: ram.plan.limits, ram.plan.memory.end, ram.plan.memory.other_end,
#:   ram.plan.memory.other_start, ram.plan.memory.start, region.scratch
#: source: QEMU hw/i386/pc.c pc_pci_hole64_start(), hw/pci-host/i440fx.c and q35.c
pci_apertures:
    call device_window
    mov dword ptr [ram.plan.memory.start], esi
    mov byte ptr [ram.plan.limits + pci_plan.List.IO], pci_plan.IO_KEY_MAX
    mov esi, name_reserved_memory_end
    call pci_read_number
    call pci_bounds
    mov dword ptr [ram.plan.memory.other_start], eax
    mov dword ptr [ram.plan.memory.other_start + 4], edx
    # No farther than the CPU's addresses reach.
    push eax
    push edx
    call phys_bits
    pop edx
    lea ecx, [edi - 32]
    mov edi, 1
    shl edi, cl
    mov ebx, chipset.DEVICE_WINDOW_END
    mov dword ptr [ram.plan.memory.end], ebx
    # An aperture of no bytes has no place for any key.
    xor ecx, ecx
    sub ebx, dword ptr [ram.plan.memory.start]
    jbe .none
    bsr ecx, ebx
.none:
    mov ch, cl
    mov word ptr [ram.plan.limits + pci_plan.List.MEMORY], cx
    pop eax
    cmp ebp, edi
    jb .end
    mov ebp, edi
    xor esi, esi
.end:
    mov dword ptr [ram.plan.memory.other_end], esi
    mov dword ptr [ram.plan.memory.other_end + 4], ebp
    sub esi, eax
    sbb ebp, edx
    jb .done
    # the largest key in it, if it has a byte
    bsr eax, ebp
    lea eax, [eax + 32]
    jnz .other
    bsr eax, esi
    jz .done
.other:
    mov byte ptr [ram.plan.limits + pci_plan.List.PREFETCH], al
.done:
    ret

#: raise the start of the aperture below 4 GiB past what the map has there. Find where the one above
#: begins, past RAM and the memory hot-plug region, and where it ends, at the next range of the
#: map
#: mode: 32
#: in: eax the least start low, edx high
#: out: eax start low (all ones where there is no room), edx high, esi end low (all ones without
#:   one), ebp high
#: clobbers: ebx, ecx, edi, eflags
#: reads: ram.work.memmap_end, ram.plan.memory.start, region.memmap
#: writes: ram.plan.memory.start
#: source: QEMU hw/i386/pc.c
pci_bounds:
    mov edi, region.memmap.base
    test edx, edx
    jnz .align
    # 4 GiB at least
    xor eax, eax
    inc edx
.align:
    add eax, pci_plan.MEMORY_64_ALIGN - 1
    adc edx, 0
    jc .nowhere
    and eax, -pci_plan.MEMORY_64_ALIGN
.unbounded:
    or ebp, -1
    or esi, -1
.entry:
    cmp edi, dword ptr [ram.work.memmap_end]
    jae .done
    mov ebx, dword ptr [edi + pvh.MEMMAP_ENTRY.addr]
    mov ecx, dword ptr [edi + pvh.MEMMAP_ENTRY.addr + 4]
    add edi, pvh.MEMMAP_ENTRY.sizeof
    test ecx, ecx
    jz .low
    # above 4 GiB: RAM raises the start, anything else is the end
    cmp dword ptr [edi + pvh.MEMMAP_ENTRY.type - pvh.MEMMAP_ENTRY.sizeof], e820.Type.RAM
    jz .below
    cmp ecx, edx
    jb .below
    ja .bound
    cmp ebx, eax
    jbe .below
.bound:
    # The first of these is the nearest: the map is sorted.
    cmp ebp, ecx
    jbe .entry
    mov esi, ebx
    mov ebp, ecx
    jmp .entry
.below:
    add ebx, dword ptr [edi + pvh.MEMMAP_ENTRY.size - pvh.MEMMAP_ENTRY.sizeof]
    adc ecx, dword ptr [edi + pvh.MEMMAP_ENTRY.size + 4 - pvh.MEMMAP_ENTRY.sizeof]
.compare:
    cmp ecx, edx
    jb .entry
    ja .above
    cmp ebx, eax
    jbe .entry
.above:
    mov eax, ebx
    mov edx, ecx
    jmp .align
.low:
    cmp ebx, chipset.DEVICE_WINDOW_END
    jae .below
    add ebx, dword ptr [edi + pvh.MEMMAP_ENTRY.size - pvh.MEMMAP_ENTRY.sizeof]
    adc ecx, dword ptr [edi + pvh.MEMMAP_ENTRY.size + 4 - pvh.MEMMAP_ENTRY.sizeof]
    jnz .over
    cmp ebx, dword ptr [ram.plan.memory.start]
    jbe .entry
    mov dword ptr [ram.plan.memory.start], ebx
    jmp .entry
.over:
    or dword ptr [ram.plan.memory.start], -1
    jmp .compare
.nowhere:
    # the end of all addresses: what lies below 4 GiB still counts
    or eax, -1
    or edx, -1
    jmp .unbounded
.done:
    ret

#: read a file that holds one number
#: mode: 32
#: in: esi name in the form of name_equal
#: out: eax the number (0 without such a file) low, edx high
#: clobbers: ecx, esi, edi, eflags
#: reads: region.scratch
#: writes: region.scratch
#: source: QEMU docs/specs/fw_cfg.rst
pci_read_number:
    call files_find
    mov edx, ecx
    jecxz .none
    mov ecx, 8
    mov edi, region.scratch.base
    call fw_cfg_transfer
    mov eax, dword ptr [edi]
    mov edx, dword ptr [edi + 4]
    ret
.none:
    xor eax, eax
    ret
