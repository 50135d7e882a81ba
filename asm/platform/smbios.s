# SMBIOS: the host's structures and their entry point into the F segment, the structures into high
# RAM where they do not fit. If the host gives no type 0, the firmware's own goes before them.

#: install the SMBIOS tables, if the host has them
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.high_top, ram.work.memmap_end, ram.work.kernel_start, ram.work.kernel_span,
#:   ram.pvh_area.modules, region.memmap
#: writes: ram.work.high_top, ram.work.memmap_end, ram.work.smbios, region.memmap
#: source: DMTF DSP0134 (SMBIOS 3.6), 5.2
smbios_load:
    mov esi, name_smbios_anchor
    call files_find
    jnc .found
    ret
.found:
    mov edx, ecx                # the detail of a stop
    cmp ecx, smbios.ENTRY_21.sizeof
    ja .anchor
    # EBP: the entry point's bytes, EBX: the entry point
    mov ebp, ecx
    push eax
    mov edx, smbios.ENTRY_ALIGN
    call f_segment_alloc
    jc .no_room
    mov ebx, eax
    mov edi, eax
    pop eax
.if option.protocols.multiboot2
    mov dword ptr [ram.work.smbios], ebx
.endif
    call fw_cfg_transfer
    call smbios_read_tables
    # ESI structures, ECX their bytes, EDX how many are the firmware's own
    cmp dword ptr [ebx], smbios.ANCHOR_30_DWORD
    jz .version3
    cmp dword ptr [ebx], smbios.ANCHOR_21_DWORD
    jnz .not_known
    cmp ebp, smbios.ENTRY_21.sizeof
    jnz .not_known
    cmp ecx, smbios.TABLES_21_MAX
    jbe .fits
    # The firmware's own is one too many for this version, the host's alone may fit.
    test edx, edx
    jz .not_known
    dec edx
    sub ecx, smbios_data.TYPE0_SIZE
    add esi, smbios_data.TYPE0_SIZE
    cmp ecx, smbios.TABLES_21_MAX
    ja .not_known
.fits:
    mov word ptr [ebx + smbios.ENTRY_21.table_length], cx
    mov dword ptr [ebx + smbios.ENTRY_21.table_address], esi
    # one structure more, perhaps the largest
    test edx, edx
    jz .checksums
    add word ptr [ebx + smbios.ENTRY_21.structures], dx
    jc .not_known
    cmp word ptr [ebx + smbios.ENTRY_21.max_structure_size], smbios_data.TYPE0_SIZE
    jae .checksums
    mov word ptr [ebx + smbios.ENTRY_21.max_structure_size], smbios_data.TYPE0_SIZE
.checksums:
    # version 2.1 has a part with a sum of its own
    lea esi, [ebx + smbios.ENTRY_21.intermediate_anchor]
    lea edi, [ebx + smbios.ENTRY_21.intermediate_checksum]
    mov ecx, smbios.ENTRY_21.sizeof - smbios.ENTRY_21.intermediate_anchor
    call checksum_set
    lea edi, [ebx + smbios.ENTRY_21.checksum]
    jmp .whole
.version3:
    cmp ebp, smbios.ENTRY_30.sizeof
    jnz .not_known
    mov dword ptr [ebx + smbios.ENTRY_30.table_max_size], ecx
    mov dword ptr [ebx + smbios.ENTRY_30.table_address], esi
    and dword ptr [ebx + smbios.ENTRY_30.table_address + 4], 0
    lea edi, [ebx + smbios.ENTRY_30.checksum]
.whole:
    mov esi, ebx
    mov ecx, ebp
    jmp checksum_set
.no_room:
    mov edx, ebp
    mov al, stop_codes.NO_ROOM
    jmp stop_with
.not_known:
    mov edx, ebp
.anchor:
    mov al, stop_codes.SMBIOS_ANCHOR
    jmp stop_with

#: read the host's structures; the firmware's own, before them, is left out if it is not needed
#: mode: 32
#: in: -
#: out: esi structures, ecx their bytes, edx structures that were added
#: clobbers: eax, edi, eflags
#: reads: ram.work.high_top, ram.work.memmap_end, ram.work.kernel_start, ram.work.kernel_span,
#:   ram.pvh_area.modules, region.memmap
#: writes: ram.work.high_top, ram.work.memmap_end, region.memmap
#: source: DMTF DSP0134 (SMBIOS 3.6), 6.1
smbios_read_tables:
    mov esi, name_smbios_tables
    call files_find
    push eax
    push ecx
    add ecx, smbios_data.TYPE0_SIZE
    jc .wraps
    mov edx, 1
    call f_segment_alloc
    jnc .copy
    mov edx, 1
    call high_alloc
.copy:
    mov edi, eax
    mov esi, smbios_type0
    mov ecx, (smbios_data.TYPE0_SIZE + 3) // 4
    rep movsd
    lea edi, [eax + smbios_data.TYPE0_SIZE]
    pop ecx
    pop eax
    call fw_cfg_transfer
    call smbios_has_type0
    # ZF decides, so EDX is cleared without touching it
    mov esi, edi
    mov edx, 0
    jz .done
    inc edx
    add ecx, smbios_data.TYPE0_SIZE
    sub esi, smbios_data.TYPE0_SIZE
.done:
    ret
.wraps:
    pop edx
    mov al, stop_codes.NO_ROOM
    jmp stop_with

#: walk the structures, which must not go past their end
#: mode: 32
#: in: edi structures, ecx bytes
#: out: eflags ZF set if there is one of type 0
#: clobbers: eax, edx
#: source: DMTF DSP0134 (SMBIOS 3.6), 6.1
smbios_has_type0:
    push edi
    push ecx
    # on the stack: 0 as soon as one is found; all are walked
    push 1
    xor eax, eax
.next:
    # ECX bytes are left
    sub ecx, smbios.HEADER.sizeof
    jb .end
    cmp byte ptr [edi + smbios.HEADER.type], smbios.TYPE_BIOS
    jnz .other
    mov dword ptr [esp], eax
.other:
    movzx edx, byte ptr [edi + smbios.HEADER.length]
    add edi, edx
    # less than a header is far more than there can be
    sub edx, smbios.HEADER.sizeof
    sub ecx, edx
    jbe .bad
    # strings end in a zero each, all of them in another
.string:
    # where there is none, none is left either
    repne scasb
    jecxz .bad
    dec ecx
    scasb
    jnz .string
    jmp .next
.end:
    pop eax
    test eax, eax
    pop ecx
    pop edi
    ret
.bad:
    mov edx, dword ptr [esp + 4]
    mov al, stop_codes.SMBIOS_TABLES
    jmp stop_with
