# fw_cfg's files by name. The directory stays in RAM; one that is longer than its region is
# read again, piece after piece, for each search.

#: read the directory's first piece
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ecx, edx, edi, eflags
#: reads: region.directory
#: writes: ram.work.directory_entries, ram.work.directory_rest, ram.work.directory_end,
#:   region.directory
#: source: QEMU docs/specs/fw_cfg.rst "File Directory"
files_open:
    mov eax, fw_cfg.Read.FILE_DIR
    mov ecx, fw_cfg.DIR_HEADER.sizeof + work.DIRECTORY_PIECE * fw_cfg.FILE.sizeof
    mov edi, region.directory.base
    call fw_cfg_transfer
    mov eax, dword ptr [edi + fw_cfg.DIR_HEADER.count]
    bswap eax
    mov dword ptr [ram.work.directory_entries], eax
    jmp files_note

#: note where the entries in RAM end, and how many more there are
#: mode: 32
#: in: eax entries from the first in RAM on
#: out: -
#: clobbers: eax, ecx, eflags
#: reads: region.directory
#: writes: ram.work.directory_rest, ram.work.directory_end
#: source: -
files_note:
    xor ecx, ecx
    sub eax, work.DIRECTORY_PIECE
    jae .whole
    xchg ecx, eax
.whole:
    mov dword ptr [ram.work.directory_rest], eax
    # ECX: 0, or by how many entries the piece is short
    imul ecx, ecx, fw_cfg.FILE.sizeof
    add ecx, region.directory.base + fw_cfg.DIR_HEADER.sizeof + work.DIRECTORY_PIECE * fw_cfg.FILE.sizeof
    mov dword ptr [ram.work.directory_end], ecx
    ret

#: find a file
#: mode: 32
#: in: esi name in the form of name_equal
#: out: eax control word that reads it, ecx bytes, eflags CF set if there is no such file (and then 0 bytes)
#: clobbers: edx, esi, edi
#: reads: ram.work.directory_entries, ram.work.directory_rest, ram.work.directory_end,
#:   ram.work.pieces_read, region.directory
#: writes: ram.work.directory_entries, ram.work.directory_rest, ram.work.directory_end,
#:   ram.work.pieces_read, region.directory
#: source: QEMU docs/specs/fw_cfg.rst "File Directory"
files_find:
    cmp dword ptr [ram.work.directory_entries], work.DIRECTORY_PIECE
    jbe .search
    call files_open
.search:
    # Names differ most in their third dword; the same one after the last entry ends the search.
    mov eax, dword ptr [esi + 8]
    mov edx, dword ptr [ram.work.directory_end]
    mov dword ptr [edx + fw_cfg.FILE.name + 8], eax
    mov edi, region.directory.base + fw_cfg.DIR_HEADER.sizeof + fw_cfg.FILE.name - fw_cfg.FILE.sizeof
.next:
    add edi, fw_cfg.FILE.sizeof
    cmp eax, dword ptr [edi + 8]
    jnz .next
    cmp edi, edx
    jae .end
    mov ecx, work.NAME_SIZE_MIN // 4
    repe cmpsd
    # back to where they were, the flags kept
    lea esi, [esi + ecx * 4 - work.NAME_SIZE_MIN]
    lea edi, [edi + ecx * 4 - work.NAME_SIZE_MIN]
    jnz .next
    cmp byte ptr [esi + work.NAME_SIZE_MIN - 1], 0
    jnz .long
.found:
    mov ecx, dword ptr [edi + fw_cfg.FILE.size - fw_cfg.FILE.name]
    bswap ecx
    # The directory is big-endian, and so is a control word.
    movzx eax, word ptr [edi + fw_cfg.FILE.select - fw_cfg.FILE.name]
    or eax, fw_cfg.READ_ITEM    # which clears CF, too
    ret
.long:
    push esi
    push edi
    call name_equal
    pop edi
    pop esi
    jz .found
    jmp .next
.end:
    cmp dword ptr [ram.work.directory_rest], 0
    jnz .more
    xor ecx, ecx
    stc
    ret
.more:
    # the host's count alone would bound the reading; EDX is the stop's detail
    mov edx, dword ptr [ram.work.directory_entries]
    inc dword ptr [ram.work.pieces_read]
    cmp dword ptr [ram.work.pieces_read], work.DIRECTORY_PIECES_MAX
    .stop_if a, stop_codes.FW_CFG_FILES
    mov eax, be32(fw_cfg.DmaControl.READ)
    mov ecx, work.DIRECTORY_PIECE * fw_cfg.FILE.sizeof
    mov edi, region.directory.base + fw_cfg.DIR_HEADER.sizeof
    call fw_cfg_transfer
    mov eax, dword ptr [ram.work.directory_rest]
    call files_note
    jmp .search

#: compare two file names. They end in a zero and are padded with zeros, to 16 bytes at least
#: and a multiple of 4
#: mode: 32
#: in: esi name, edi name
#: out: eflags ZF set if they are equal
#: clobbers: ecx, esi, edi
#: source: QEMU hw/nvram/fw_cfg.c, hw/acpi/bios-linker-loader.c (both pad with zeros)
name_equal:
    mov ecx, work.NAME_SIZE_MIN // 4
    repe cmpsd
    jnz .done
.more:
    # a name goes on while its dwords have no zero on top
    cmp byte ptr [esi - 1], 0
    jz .done
    cmpsd
    jz .more
.done:
    ret
