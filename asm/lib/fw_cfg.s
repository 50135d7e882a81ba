# QEMU's fw_cfg device: one `out` a transfer where it has DMA, the data port where it has not.

#: one transfer. The descriptor's upper address half stays 0 and so does the port for it,
#: hence a single `out`. A control word that stays, at a port without DMA's signature, means that
#: nobody listens: then the data port is used.
#: mode: 32
#: in: eax control word as it stands in memory, ecx bytes, edi address
#: out: -
#: clobbers: eax, edx, eflags
#: reads: ram.work.dma, ram.work.signature
#: writes: ram.work.dma, ram.work.signature
#: source: QEMU docs/specs/fw_cfg.rst "Guest-side DMA Interface"
fw_cfg_transfer:
    # the descriptor is big-endian, and so is the address that the port takes
    mov dword ptr [ram.work.dma.control], eax
    mov edx, ecx
    bswap edx
    mov dword ptr [ram.work.dma.length], edx
    mov edx, edi
    bswap edx
    mov dword ptr [ram.work.dma.address + 4], edx
    mov eax, be32(ram.work.dma)
    mov edx, fw_cfg.PORT_DMA_LOW
    out dx, eax
    # done when the device has cleared the control word
    cmp dword ptr [ram.work.dma.control], 0
    jnz .not_done
    ret
.not_done:
    # The port reads as the signature where there is DMA: then the transfer was left half done.
    in eax, dx
    mov edx, dword ptr [ram.work.dma.control]
    bswap edx
    cmp eax, fw_cfg.DMA_SIGNATURE_LOW
    jz .stop
    mov eax, edx
    test eax, fw_cfg.DmaControl.ERROR
    jz fw_cfg_transfer_by_port
.stop:
    mov al, stop_codes.FW_CFG_DMA
    jmp stop_with

#: the same transfer by the data port, which can only read: a skip discards what it reads, a write
#: is not done
#: mode: 32
#: in: eax control word, ecx bytes, edi destination
#: out: -
#: clobbers: eax, edx, eflags
#: reads: ram.work.signature
#: writes: ram.work.signature
#: source: QEMU docs/specs/fw_cfg.rst "Guest-side Interface"
fw_cfg_transfer_by_port:
.if option.kernel_file
    test eax, fw_cfg.DmaControl.READ | fw_cfg.DmaControl.SKIP
.else
    test eax, fw_cfg.DmaControl.READ
.endif
    jz .done
    push ecx
    push edi
    test eax, fw_cfg.DmaControl.SELECT
    jz .selected
    call fw_cfg_require
    ror eax, fw_cfg.DMA_KEY_SHIFT
    mov edx, fw_cfg.PORT_SELECTOR
    out dx, ax
.if option.kernel_file
    rol eax, fw_cfg.DMA_KEY_SHIFT
.endif
.selected:
    mov edx, fw_cfg.PORT_DATA
.if option.kernel_file
    test al, fw_cfg.DmaControl.SKIP
    jnz .skip
.endif
    rep insb
.read:
    pop edi
    pop ecx
.done:
    ret
.if option.kernel_file
.skip:
    jecxz .read
    in al, dx
    dec ecx
    jmp .skip
.endif

#: stop unless the device's signature can be read by the data port
#: mode: 32
#: in: -
#: out: -
#: clobbers: edx, eflags
#: reads: ram.work.signature
#: writes: ram.work.signature
#: source: QEMU docs/specs/fw_cfg.rst "Signature"
fw_cfg_require:
    # transfers of one item may come in pieces, so nothing that they hold may change
    pushad
    mov eax, fw_cfg.Key.SIGNATURE
    mov edx, fw_cfg.PORT_SELECTOR
    out dx, ax
    mov edi, ram.work.signature
    mov ecx, 4
    mov dl, fw_cfg.PORT_DATA & 0xff
    rep insb
    mov edx, dword ptr [ram.work.signature]  # the stop's detail
    cmp edx, 'QEMU'
    .stop_if nz, stop_codes.NO_FW_CFG
    popad
    ret
