# What is written to the functions: addresses and windows; and a line for what has none.

#: write a resource's address to its function. Without one a BAR is 0, and the function does not
#: decode what it is for; a window stays closed
#: mode: 32
#: in: edi resource
#: out: -
#: clobbers: eax, ebx, ecx, edx, eflags
#: reads: ram.work.ecam, region.scratch
#: writes: region.scratch
#: source: PCI Local Bus Specification 3.0, 6.2.2
pci_program:
    mov ebx, dword ptr [edi + pci_plan.RESOURCE.register]
    mov eax, dword ptr [edi + pci_plan.RESOURCE.address]
    mov ecx, dword ptr [edi + pci_plan.RESOURCE.address + 4]
    test byte ptr [edi + pci_plan.RESOURCE.flags], pci_plan.Flag.WINDOW
    jnz pci_program_window
    call pci_write32
    or eax, ecx
    jz .nowhere
    jecxz .done
.upper:
    mov eax, ecx
    add ebx, 4
    jmp pci_write32
.nowhere:
    call pci_note
    mov edx, dword ptr [edi + pci_plan.RESOURCE.function]
    mov al, byte ptr [edi + pci_plan.RESOURCE.flags]
    test al, pci_plan.Flag.ROM
    jnz .done
    # A bridge forwards, whatever becomes of its own BARs: it alone is made a master.
    test byte ptr [edx + pci_plan.FUNCTION.command], pci.Command.MASTER
    jnz .off
    test al, pci_plan.Flag.IO
    jnz .io
    and dword ptr [edx + pci_plan.FUNCTION.command], -1 - pci.Command.MEMORY
.off:
    test al, pci_plan.Flag.WIDE
    jnz .upper
.done:
    ret
.io:
    and dword ptr [edx + pci_plan.FUNCTION.command], -1 - pci.Command.IO
    ret

#: open a bridge's window
#: mode: 32
#: in: edi resource, ebx configuration address of the base, eax its address low, ecx high
#: out: -
#: clobbers: eax, ebx, ecx, edx, eflags
#: reads: ram.work.ecam, region.scratch
#: writes: region.scratch
#: source: PCI-to-PCI Bridge Architecture Specification 1.2, 3.2.5.6 to 3.2.5.10
pci_program_window:
    push ebp
    test byte ptr [edi + pci_plan.RESOURCE.flags], pci_plan.Flag.HINT
    jz .open
    mov edx, dword ptr [edi + pci_plan.RESOURCE.size]
    mov ebp, dword ptr [edi + pci_plan.RESOURCE.size + 4]
    sub edx, dword ptr [edi + pci_plan.WINDOW.room]
    sbb ebp, dword ptr [edi + pci_plan.WINDOW.room + 4]
    jae .open
    call pci_note
.open:
    # EBP:EDX: its last byte
    mov edx, dword ptr [edi + pci_plan.RESOURCE.size]
    mov ebp, dword ptr [edi + pci_plan.RESOURCE.size + 4]
    sub edx, 1
    sbb ebp, 0
    jb .done
    add edx, eax
    adc ebp, ecx
    test byte ptr [edi + pci_plan.RESOURCE.flags], pci_plan.Flag.IO
    jz .memory
    # base in bits 7:4, limit in 15:12
    and edx, -pci.WINDOW_IO_ALIGN
    shr eax, pci.WINDOW_IO_SHIFT
    or eax, edx
    call pci_write16
    jmp .done
.memory:
    # base in bits 15:4, limit in 31:20
    and edx, -pci.WINDOW_MEMORY_ALIGN
    shr eax, pci.WINDOW_MEMORY_SHIFT
    or eax, edx
    call pci_write32
    jecxz .done
    add ebx, pci.BRIDGE.prefetch_base_high - pci.BRIDGE.prefetch_base
    mov eax, ecx
    call pci_write32
    add ebx, pci.BRIDGE.prefetch_limit_high - pci.BRIDGE.prefetch_base_high
    mov eax, ebp
    call pci_write32
.done:
    pop ebp
    ret

#: print a line on the debug console for what gets no address: where it is, and how large
#: mode: 32
#: in: edi resource
#: out: -
#: clobbers: eflags
#: reads: region.scratch
#: writes: region.scratch
#: source: docs/errors.md
pci_note:
    pushad
    mov ebx, dword ptr [edi + pci_plan.RESOURCE.register]
    mov esi, dword ptr [edi + pci_plan.RESOURCE.size]
    mov ebp, dword ptr [edi + pci_plan.RESOURCE.size + 4]
    test byte ptr [edi + pci_plan.RESOURCE.flags], pci_plan.Flag.WINDOW
    jz .size
    mov esi, dword ptr [edi + pci_plan.WINDOW.room]
    mov ebp, dword ptr [edi + pci_plan.WINDOW.room + 4]
.size:
    push esi
    mov esi, pci_note_line
    mov edi, region.scratch.base
    mov ecx, pci_plan.NOTE_LENGTH
    rep movsb
    # each number goes to the top of EAX
    mov eax, ebx
    shl eax, 32 - pci.CONFIG_BUS_SHIFT - 8
    mov edi, region.scratch.base + pci_plan.NOTE_BUS
    mov cl, 2
    call pci_note_hex
    # device
    mov eax, ebx
    shr eax, pci.CONFIG_DEVFN_SHIFT + pci.DEVFN_DEVICE_SHIFT
    and eax, pci.DEVFNS // pci.FUNCTIONS - 1
    shl eax, 24
    mov edi, region.scratch.base + pci_plan.NOTE_DEVICE
    mov cl, 2
    call pci_note_hex
    # function
    mov eax, ebx
    shr eax, pci.CONFIG_DEVFN_SHIFT
    and eax, pci.FUNCTIONS - 1
    shl eax, 28
    mov edi, region.scratch.base + pci_plan.NOTE_FUNCTION
    mov cl, 1
    call pci_note_hex
    # register
    mov eax, ebx
    shl eax, 24
    mov edi, region.scratch.base + pci_plan.NOTE_REGISTER
    mov cl, 2
    call pci_note_hex
    # size, its upper half first
    mov eax, ebp
    mov edi, region.scratch.base + pci_plan.NOTE_SIZE
    mov cl, 8
    call pci_note_hex
    pop eax
    mov cl, 8
    call pci_note_hex
    # all of the line at once
    mov esi, region.scratch.base
    mov ecx, pci_plan.NOTE_LENGTH
    mov edx, ports.DEBUG_CONSOLE
    rep outsb
    popad
    ret

#: write the upper digits of a number in hexadecimal
#: mode: 32
#: in: eax number, ecx digits, edi where
#: out: edi after them
#: clobbers: eax, ecx, edx, eflags
#: source: -
pci_note_hex:
    mov edx, eax
.digit:
    rol edx, 4
    mov al, dl
    and al, 15
    cmp al, 10
    jb .decimal
    add al, 'a' - '9' - 1
.decimal:
    add al, '0'
    stosb
    loop .digit
    ret
