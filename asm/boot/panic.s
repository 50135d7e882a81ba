# A stop in a guest that nobody watches: pvpanic tells the host. Nothing is known of RAM any more:
# it may be a guest's, or fw_cfg's directory may never have been read. So all is read again, by ports,
# and only the stack is written to. stop_with goes on here, and this ends in stop_end.

#: report a panic at the port that etc/pvpanic-port has, if fw_cfg has that file; then on PCI
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, esp, eflags
#: returns: never
#: source: QEMU hw/misc/pvpanic-isa.c, docs/specs/fw_cfg.rst "Guest-side Interface"
panic_isa:
    # an entry of the directory at a time
    sub esp, fw_cfg.FILE.sizeof
    mov eax, fw_cfg.Key.FILE_DIR
    mov edx, fw_cfg.PORT_SELECTOR
    out dx, ax
    mov dl, fw_cfg.PORT_DATA & 0xff
    mov edi, esp
    mov ecx, fw_cfg.DIR_HEADER.sizeof
    rep insb
    # EBP: entries that are left. No device has more than keys; all ones mean that there is none
    mov ebp, dword ptr [esp + fw_cfg.DIR_HEADER.count]
    bswap ebp
    cmp ebp, fw_cfg.FILES_MAX
    ja .done
.next:
    dec ebp
    js .done
    mov edi, esp
    mov ecx, fw_cfg.FILE.sizeof
    rep insb
    lea edi, [esp + fw_cfg.FILE.name]
    mov esi, name_pvpanic_port
    call name_equal
    jnz .next
    # its contents are the port
    movzx eax, word ptr [esp + fw_cfg.FILE.select]
    xchg al, ah
    mov edx, fw_cfg.PORT_SELECTOR
    out dx, ax
    mov dl, fw_cfg.PORT_DATA & 0xff
    mov edi, esp
    mov ecx, 2
    rep insb
    # a device that knows this event hears of it
    movzx edx, word ptr [esp]
    in al, dx
    test al, pvpanic.PANICKED
    jz .done
    mov al, pvpanic.PANICKED
    out dx, al
.done:
.if option.machines.pc | option.machines.q35
    jmp panic_pci
.else
    jmp stop_end
.endif

.if option.machines.pc | option.machines.q35
#: report a panic to a pvpanic-pci on bus 0. Its BAR may have no address yet, or one that a guest
#: gave it, so it gets one
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, edx, eflags
#: returns: never
#: source: QEMU hw/misc/pvpanic-pci.c; PCI Local Bus Specification 3.0, 3.2.2.3.2
panic_pci:
    mov ebx, pci.CONFIG_ENABLE
.function:
    mov eax, ebx
    mov edx, pci.CONFIG_ADDRESS
    out dx, eax
    mov dl, pci.CONFIG_DATA & 0xff
    in eax, dx
    cmp eax, pvpanic.PCI_ID
    jz .found
    add ebx, 1 << pci.CONFIG_DEVFN_SHIFT
    cmp ebx, pci.CONFIG_ENABLE | 1 << pci.CONFIG_BUS_SHIFT
    jb .function
    jmp stop_end
.found:
    # an address, then memory decoding
    lea eax, [ebx + pci.HEADER.bar]
    mov dl, pci.CONFIG_ADDRESS & 0xff
    out dx, eax
    mov eax, pvpanic.PCI_PLACE
    mov dl, pci.CONFIG_DATA & 0xff
    out dx, eax
    lea eax, [ebx + pci.HEADER.command]
    mov dl, pci.CONFIG_ADDRESS & 0xff
    out dx, eax
    mov eax, pci.Command.MEMORY
    mov dl, pci.CONFIG_DATA & 0xff
    out dx, eax
    # the register
    mov byte ptr [pvpanic.PCI_PLACE], pvpanic.PANICKED
    jmp stop_end
.endif
