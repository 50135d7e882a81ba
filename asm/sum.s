# Sums of bytes: the checksums of ACPI, SMBIOS and MP tables.

#: make a byte such that the range it belongs to adds up to 0; one instruction a byte
#: mode: 32
#: in: esi range, ecx bytes, edi the byte
#: out: -
#: clobbers: eax, ecx, edx, esi, eflags
#: source: -
checksum_set:
    xor eax, eax
    # The first round is a part of one: jump in as many additions before its end as it has bytes.
    mov edx, ecx
    and edx, work.SUM_ROUND - 1
    add esi, edx
    imul edx, edx, -work.SUM_INSTRUCTION
    add edx, .added
    shr ecx, work.SUM_ROUND_SHIFT
    inc ecx
    jmp edx
.round:
    # ESI stands at the end of the round
    .rept work.SUM_ROUND
    sub al, byte ptr [esi + \+ - work.SUM_ROUND]
    .endr
.added:
    add esi, work.SUM_ROUND
    dec ecx
    jnz .round
    add byte ptr [edi], al
    ret
