# Sums of bytes: the checksums of ACPI, SMBIOS and MP tables.

#: make a byte such that the range it belongs to adds up to 0; one instruction a byte
#: mode: 32
#: in: esi range, ecx bytes, edi the byte
#: out: -
#: clobbers: eax, ecx, edx, esi, eflags
#: source: -
checksum_set:
    # ESI points after the range, ECX counts up from a round before it. The first round may be short:
    # jump over one addition, 4 bytes of code, for each byte that it lacks.
    lea esi, [esi + ecx + work.SUM_ROUND]
    xor eax, eax
    neg ecx
    mov edx, ecx
    and edx, work.SUM_ROUND - 1
    sub ecx, edx
    lea edx, [edx * 4 + .round]
    jmp edx
.round:
    .rept work.SUM_ROUND
    sub al, byte ptr [esi + ecx + \+ - work.SUM_ROUND]
    .endr
    add ecx, work.SUM_ROUND
    js .round
    add byte ptr [edi], al
    ret
