# The MP table, for a guest without ACPI: its CPUs, and where its interrupts go.

#: build the table in the F segment
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, eflags
#: source: Intel MultiProcessor Specification 1.4, chapter 4
mptable_build:
    mov eax, fw_cfg.Read.NB_CPUS
    push 2
    pop ecx
    mov edi, work.cpus
    mov dword ptr [edi], 0
    call fw_cfg_transfer
    imul ecx, dword ptr [work.cpus], mptable.PROCESSOR.sizeof
    add ecx, mptable.SIZE_MAX
    push mptable.POINTER_ALIGN
    pop edx
    call f_segment_alloc
    mov edx, ecx
    mov cl, stop.NO_ROOM
    jc .stop
    mov ebp, eax
    mov edi, eax
    mov esi, mptable_head
    mov ecx, mptable.HEAD_SIZE // 4
    rep movsd
    call mptable_processors
    mov esi, mptable_fixed
    mov ecx, mptable.FIXED_SIZE // 4
    rep movsd
    mov ecx, dword ptr [work.cpus]
    add ecx, mptable.FIXED_ENTRIES
    cmp word ptr [work.host_bridge], -1
    jz .no_pci
    call mptable_pci
    add ecx, mptable.PCI_ENTRIES
.no_pci:
    lea eax, [ebp + mptable.POINTER.sizeof]
    mov dword ptr [ebp + mptable.POINTER.address], eax
    mov word ptr [eax + mptable.HEADER.entries], cx
    mov ecx, edi
    sub ecx, eax
    mov word ptr [eax + mptable.HEADER.length], cx
    mov esi, eax
    lea edi, [eax + mptable.HEADER.checksum]
    call checksum_set
    mov esi, ebp
    lea edi, [ebp + mptable.POINTER.checksum]
    push mptable.POINTER.sizeof
    pop ecx
    jmp checksum_set
.stop:
    mov al, cl
    jmp stop_with

#: an entry for each CPU. APIC IDs leave gaps where a level's count is no power of two
#: mode: 32
#: in: edi entries
#: out: edi behind the entries
#: clobbers: eax, ebx, ecx, edx, esi, eflags
#: source: Intel SDM volume 3A, 9.9.3; QEMU include/hw/i386/topology.h
mptable_processors:
    push ebp
    call mptable_topology
    xor eax, eax
    inc eax
    cpuid
    mov esi, eax
    mov ebp, edx
    xor ebx, ebx
    mov ecx, dword ptr [work.cpus]
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
    mov eax, esi
    stosd
    mov eax, ebp
    stosd
    xor eax, eax
    stosd
    stosd
    mov edx, mptable.ProcessorFlag.ENABLED
    inc ebx
    # behind the last thread of a core, the last core of a package
    mov eax, ebx
    and eax, dword ptr [work.core_mask]
    cmp eax, dword ptr [work.core_end]
    jnz .core
    or ebx, dword ptr [work.core_mask]
    inc ebx
.core:
    mov eax, ebx
    and eax, dword ptr [work.package_mask]
    cmp eax, dword ptr [work.package_end]
    jnz .package
    or ebx, dword ptr [work.package_mask]
    inc ebx
.package:
    loop .next
.done:
    pop ebp
    ret

#: what CPUID tells of the APIC ID: the masks of what lies below a core and below a package, and
#: the value under each mask that no CPU has any more
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, eflags
#: source: Intel SDM volume 2A, CPUID leaf 0BH
mptable_topology:
    xor eax, eax
    mov dword ptr [work.core_mask], eax
    mov dword ptr [work.package_mask], eax
    dec eax
    mov dword ptr [work.core_end], eax
    mov dword ptr [work.package_end], eax
    inc eax
    cpuid
    cmp eax, mptable.CPUID_TOPOLOGY
    jb .done
    mov eax, mptable.CPUID_TOPOLOGY
    xor ecx, ecx
    cpuid
    test ebx, ebx
    jz .done
    mov dword ptr [work.core_end], ebx
    mov ecx, eax
    xor eax, eax
    inc eax
    shl eax, cl
    dec eax
    mov dword ptr [work.core_mask], eax
    push ecx
    push ebx
    mov eax, mptable.CPUID_TOPOLOGY
    xor ecx, ecx
    inc ecx
    cpuid
    mov ecx, eax
    xor eax, eax
    inc eax
    shl eax, cl
    dec eax
    mov dword ptr [work.package_mask], eax
    # cores of a package, at their place in the APIC ID
    mov eax, ebx
    xor edx, edx
    pop ebx
    div ebx
    pop ecx
    shl eax, cl
    mov dword ptr [work.package_end], eax
.done:
    ret

#: an entry for each pin of each slot of bus 0
#: mode: 32
#: in: edi entries
#: out: edi behind the entries
#: clobbers: eax, ebx, eflags
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
    shl eax, 24
    mov ah, bl
    mov al, mptable.BUS_PCI
    stosd
    inc ebx
    cmp ebx, mptable.PCI_ENTRIES
    jb .next
    pop ecx
    ret
