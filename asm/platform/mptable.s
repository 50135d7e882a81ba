# The MP table, for a guest without ACPI: its CPUs, and where its interrupts go.
#
# A pointer that guests look for, a header, and entries: CPUs, buses, the I/O APIC, interrupts.
# What is the same for every guest is made by Python (firmware/mptable_data.py). The CPUs' APIC IDs
# are not 0, 1, 2, ...: QEMU gives each level of the topology whole bits, so there are gaps.

#: build the table in the F segment
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.ecam, ram.work.host_bridge, ram.work.cpus, ram.work.topology,
#:   ram.work.topology_end
#: writes: ram.work.cpus, ram.work.topology, ram.work.topology_end
#: source: Intel MultiProcessor Specification 1.4, chapter 4
mptable_build:
    # how many CPUs, and so how large the table is at most
    mov eax, fw_cfg.Read.NB_CPUS
    mov ecx, 2
    mov edi, ram.work.cpus
    and dword ptr [edi], 0
    call fw_cfg_transfer
    imul ecx, dword ptr [ram.work.cpus], mptable.PROCESSOR.sizeof
    add ecx, mptable_data.SIZE_MAX
    mov edx, mptable.POINTER_ALIGN
    call f_segment_alloc
    mov edx, ecx                # the stop's detail
    mov ebp, eax
    mov edi, eax
    .stop_if c, stop_codes.NO_ROOM
    # EBP: the pointer, EDI: where to go on
    mov esi, mptable_head
    mov ecx, mptable_data.HEAD_SIZE // 4
    rep movsd
    call mptable_processors
    mov esi, mptable_fixed
    mov ecx, mptable_data.FIXED_SIZE // 4
    rep movsd
    # ECX: how many entries there are
    mov ecx, dword ptr [ram.work.cpus]
    add ecx, mptable_data.FIXED_ENTRIES
    cmp word ptr [ram.work.host_bridge], pci.NO_VENDOR
    jz .no_pci
    call mptable_pci
    add ecx, mptable_data.PCI_ENTRIES
.no_pci:
    # what was not known before: EAX is the header
    lea eax, [ebp + mptable.POINTER.sizeof]
    mov dword ptr [ebp + mptable.POINTER.address], eax
    mov word ptr [eax + mptable.HEADER.entries], cx
    mov ecx, edi
    sub ecx, eax
    mov word ptr [eax + mptable.HEADER.length], cx
    # both checksums, of the table and of the pointer
    mov esi, eax
    lea edi, [eax + mptable.HEADER.checksum]
    call checksum_set
    mov esi, ebp
    lea edi, [ebp + mptable.POINTER.checksum]
    mov ecx, mptable.POINTER.sizeof
    jmp checksum_set

#: an entry for each CPU, up to the last ID that has room in one; ram.work.cpus says how many
#: mode: 32
#: in: edi entries
#: out: edi after the entries
#: clobbers: eax, ebx, ecx, edx, esi, eflags
#: reads: ram.work.cpus, ram.work.topology, ram.work.topology_end
#: writes: ram.work.cpus, ram.work.topology, ram.work.topology_end
#: source: Intel SDM volume 3A, 9.9.3; QEMU include/hw/i386/topology.h
mptable_processors:
    push ebp
    call mptable_topology
    # ESI: signature, EBP: features, EBX: APIC ID, ECX: CPUs to go
    mov eax, x86.CPUID_FEATURES
    cpuid
    mov esi, eax
    mov ebp, edx
    xor ebx, ebx
    mov ecx, dword ptr [ram.work.cpus]
    jecxz .done
    mov edx, mptable.ProcessorFlag.ENABLED | mptable.ProcessorFlag.BOOT
.next:
    # type 0, APIC ID, version, flags
    mov eax, edx
    shl eax, 8
    or eax, mptable.APIC_VERSION
    shl eax, 16
    mov ah, bl
    stosd
    # signature, features, two dwords of zeros
    mov eax, esi
    stosd
    mov eax, ebp
    stosd
    xor eax, eax
    stosd
    stosd
    # The next ID. Where a level is full - the last thread of a core, the last core of a die, ... -
    # it goes on after all that the level's bits can count.
    inc ebx
    mov edx, ram.work.topology
.level:
    cmp edx, dword ptr [ram.work.topology_end]
    jae .id
    mov eax, dword ptr [edx + work.LEVEL.mask]
    and eax, ebx
    cmp eax, dword ptr [edx + work.LEVEL.end]
    jnz .full
    or ebx, dword ptr [edx + work.LEVEL.mask]
    inc ebx
.full:
    add edx, work.LEVEL.sizeof
    jmp .level
.id:
    mov edx, mptable.ProcessorFlag.ENABLED
    dec ecx
    jz .done
    cmp ebx, mptable.ALL_APICS
    jb .next
.done:
    sub dword ptr [ram.work.cpus], ecx
    pop ebp
    ret

#: the levels of the CPUs' topology, by what CPUID counts: threads of a core, a die, a package. Leaf
#: 0BH does not count dies, leaf 1 no cores; ram.work.cpus is lowered to the CPUs whose IDs are certain
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, ebp, eflags
#: reads: ram.work.cpus, ram.work.topology
#: writes: ram.work.cpus, ram.work.topology, ram.work.topology_end
#: source: Intel SDM volume 2A, CPUID leaves 01H, 0BH and 1FH; QEMU target/i386/cpu.c
mptable_topology:
    push edi
    # below the lowest level: one CPU, in no bits of the ID
    mov edi, ram.work.topology
    and dword ptr [edi + work.LEVEL.mask], 0
    or dword ptr [edi + work.LEVEL.end], -1
    mov dword ptr [edi + work.LEVEL.cpus], 1
    # EBP: the best leaf that the CPU has, of those that say something; ESI: the level in it
    xor eax, eax
    cpuid
    xor esi, esi
    mov ebp, mptable.CPUID_TOPOLOGY_DIES
    cmp eax, ebp
    jb .older
    mov eax, ebp
    xor ecx, ecx
    cpuid
    test ebx, ebx
    jnz .level
    mov eax, ebp
.older:
    mov ebp, mptable.CPUID_TOPOLOGY
    cmp eax, ebp
    jb .oldest
    mov eax, ebp
    xor ecx, ecx
    cpuid
    test ebx, ebx
    jnz .level
.oldest:
    # leaf 1: threads of a package, one level, no bits told
    mov esi, work.TOPOLOGY_LEVELS - 1
    mov eax, x86.CPUID_FEATURES
    cpuid
    bswap ebx
    movzx ebx, bh
    xor eax, eax
    jmp .cpus
.level:
    mov eax, ebp
    mov ecx, esi
    cpuid
.cpus:
    # EBX: CPUs in one of this level, 0 above the highest; EAX: bits below the next level's
    test ebx, ebx
    jz .end
    push eax
    add edi, work.LEVEL.sizeof
    mov dword ptr [edi + work.LEVEL.cpus], ebx
    # how many there are of the level below, at their place in the ID
    mov eax, ebx
    xor edx, edx
    div dword ptr [edi + work.LEVEL.cpus - work.LEVEL.sizeof]
    mov ecx, dword ptr [edi + work.LEVEL.mask - work.LEVEL.sizeof]
    inc ecx
    mul ecx
    mov dword ptr [edi + work.LEVEL.end], eax
    # the bits that it takes
    lea ecx, [eax + eax - 1]
    bsr ecx, ecx
    xor eax, eax
    bts eax, ecx
    dec eax
    mov dword ptr [edi + work.LEVEL.mask], eax
    # Where CPUID says more, there are dies that it does not count: two where one bit is left.
    # Where more bits are left only three are certain; a kernel may hang on an ID that no CPU has.
    pop eax
    sub eax, ecx
    cmp eax, 2
    jl .known
    lea eax, [ebx + ebx * 2]
    cmp dword ptr [ram.work.cpus], eax
    jbe .known
    mov dword ptr [ram.work.cpus], eax
.known:
    inc esi
    cmp esi, work.TOPOLOGY_LEVELS
    jb .level
.end:
    add edi, work.LEVEL.sizeof
    mov dword ptr [ram.work.topology_end], edi
    pop edi
    ret

#: an entry for each pin of each slot of bus 0
#: mode: 32
#: in: edi entries
#: out: edi after the entries
#: clobbers: eax, ebx, eflags
#: reads: ram.work.ecam
#: source: Intel MultiProcessor Specification 1.4, 4.3.4
mptable_pci:
    push ecx
    xor ebx, ebx
.next:
    # EBX: slot in 6:2, pin in 1:0
    mov eax, mptable.Entry.INTERRUPT
    stosd
    mov ecx, ebx
    shr ecx, 2
    call pirq_rotation
    lea eax, [ebx + ecx]
    call pirq_irq
    # bus, slot and pin, and the I/O APIC's pin on top
    shl eax, 24
    mov ah, bl
    mov al, mptable.BUS_PCI
    stosd
    inc ebx
    cmp ebx, mptable_data.PCI_ENTRIES
    jb .next
    pop ecx
    ret
