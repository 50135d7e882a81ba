# QEMU's fw_cfg device: one `out` a transfer where it has DMA, the data port where it has not.

#: read the first bytes of an item
#: mode: 32
#: in: eax key, ecx bytes, edi destination
#: out: -
#: clobbers: eax, edx, eflags
#: source: QEMU docs/specs/fw_cfg.rst "Guest-side DMA Interface"
fw_cfg_read:
    shl eax, fw_cfg.DMA_KEY_SHIFT
    or eax, fw_cfg.DmaControl.READ | fw_cfg.DmaControl.SELECT
    jmp fw_cfg_transfer

#: one transfer. The descriptor's upper address half stays 0 and so does the port for it,
#: hence a single `out`. A control word that stays as it was means that nobody listens: then,
#: and from then on, the data port is used.
#: mode: 32
#: in: eax control word, ecx bytes, edi destination
#: out: -
#: clobbers: eax, edx, eflags
#: source: QEMU docs/specs/fw_cfg.rst "Guest-side DMA Interface"
fw_cfg_transfer:
    cmp dword ptr [work.fw_cfg_by_port], 0
    jnz fw_cfg_transfer_by_port
    bswap eax
    mov dword ptr [work.dma.control], eax
    mov edx, ecx
    bswap edx
    mov dword ptr [work.dma.length], edx
    mov edx, edi
    bswap edx
    mov dword ptr [work.dma.address + 4], edx
    push eax
    mov eax, be32(work.dma)
    mov edx, fw_cfg.PORT_DMA_LOW
    out dx, eax
    pop eax
    mov edx, dword ptr [work.dma.control]
    test edx, edx
    jnz .not_done
    ret
.not_done:
    bswap eax
    bswap edx
    cmp eax, edx
    mov al, stop.FW_CFG_DMA
    jnz stop_with
    mov eax, edx
    call fw_cfg_require
    mov dword ptr [work.fw_cfg_by_port], 1
    jmp fw_cfg_transfer_by_port

#: the same transfer by the data port
#: mode: 32
#: in: eax control word, ecx bytes, edi destination
#: out: -
#: clobbers: eax, edx, eflags
#: source: QEMU docs/specs/fw_cfg.rst "Guest-side Interface"
fw_cfg_transfer_by_port:
    push ecx
    push edi
    test eax, fw_cfg.DmaControl.SELECT
    jz .selected
    shr eax, fw_cfg.DMA_KEY_SHIFT
    mov edx, fw_cfg.PORT_SELECTOR
    out dx, ax
.selected:
    mov edx, fw_cfg.PORT_DATA
    rep insb
    pop edi
    pop ecx
    ret

#: stop unless the device's signature can be read by the data port
#: mode: 32
#: in: -
#: out: -
#: clobbers: edx, eflags
#: source: QEMU docs/specs/fw_cfg.rst "Signature"
fw_cfg_require:
    pushad
    mov eax, fw_cfg.Key.SIGNATURE << fw_cfg.DMA_KEY_SHIFT | fw_cfg.DmaControl.SELECT
    mov edi, work.signature
    push 4
    pop ecx
    call fw_cfg_transfer_by_port
    mov edx, dword ptr [edi]
    cmp edx, 'QEMU'
    mov al, stop.NO_FW_CFG
    jnz stop_with
    popad
    ret

#: note where the files are that the firmware reads. The directory is read in pieces, so it
#: may have any number of entries.
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, eflags
#: source: QEMU docs/specs/fw_cfg.rst "File Directory"
fw_cfg_find_files:
    mov eax, fw_cfg.Key.FILE_DIR
    mov ecx, fw_cfg.DIR_HEADER.sizeof + work.DIRECTORY_PIECE * fw_cfg.FILE.sizeof
    mov edi, ram.scratch.base
    call fw_cfg_read
    mov ebx, dword ptr [edi + fw_cfg.DIR_HEADER.count]
    bswap ebx
    lea esi, [edi + fw_cfg.DIR_HEADER.sizeof]
.piece:
    mov edi, esi
    add edi, work.DIRECTORY_PIECE * fw_cfg.FILE.sizeof
.entry:
    dec ebx
    js .done
    call fw_cfg_note_file
    add esi, fw_cfg.FILE.sizeof
    cmp esi, edi
    jb .entry
    mov eax, fw_cfg.DmaControl.READ
    mov ecx, work.DIRECTORY_PIECE * fw_cfg.FILE.sizeof
    mov edi, ram.scratch.base
    call fw_cfg_transfer
    mov esi, edi
    jmp .piece
.done:
    ret

#: keep a directory entry's size and key if the firmware wants the file
#: mode: 32
#: in: esi directory entry
#: out: -
#: clobbers: eax, edx, eflags
#: source: QEMU docs/specs/fw_cfg.rst "File Directory"
fw_cfg_note_file:
    cmp dword ptr [esi + fw_cfg.FILE.name + 4], 'e820'
    jnz .done
    cmp dword ptr [esi + fw_cfg.FILE.name], 'etc/'
    jnz .done
    cmp byte ptr [esi + fw_cfg.FILE.name + 8], 0
    jnz .done
    mov eax, dword ptr [esi + fw_cfg.FILE.size]
    bswap eax
    mov dword ptr [work.e820.size], eax
    movzx eax, word ptr [esi + fw_cfg.FILE.select]
    xchg al, ah
    mov dword ptr [work.e820.select], eax
.done:
    ret
