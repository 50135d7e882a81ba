# Faults that nobody foresaw: the vectors of the CPU's exceptions, in ROM. Each ends in a stop.
# A kernel gets the IDTR of real mode instead, so that its own early faults are not taken for ours.

#: where the gates lead: an entry of 4 bytes for each exception, which pushes its number
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, esp, eflags
#: returns: never
#: source: Intel SDM volume 3A, 6.13 (the error code, which some exceptions push)
exception_entries:
    .rept x86.EXCEPTIONS
    push \+
    jmp .pushed
    .endr
.pushed:
    pop eax
    # EIP is on top with CS above it, or after an error code
    mov edx, dword ptr [esp]
    cmp dword ptr [esp + 4], x86.SELECTOR_CODE
    jz .address
    mov edx, dword ptr [esp + 4]
.address:
    # the detail: the number on top, the address below
    and edx, work.EXCEPTION_ADDRESS
    shl eax, work.EXCEPTION_SHIFT
    or edx, eax
    mov al, stop_codes.EXCEPTION
    jmp stop_with

#: the interrupt gates: offset 15:0, selector, type, offset 31:16
#: mode: data
#: source: Intel SDM volume 3A, 6.11
exception_gates:
    .rept x86.EXCEPTIONS
    .word exception_entries + \+ * work.EXCEPTION_ENTRY_SIZE - region.rom.base
    .word x86.SELECTOR_CODE, x86.INTERRUPT_GATE << 8, region.rom.base >> 16
    .endr

#: IDTR of the gates
#: mode: data
exception_idtr:
    .pseudo_descriptor exception_gates, x86.EXCEPTIONS * x86.DESCRIPTOR.sizeof - 1

#: IDTR of real mode, which a kernel gets: an exception of its own is none of the firmware's
#: mode: data
#: source: Intel SDM volume 3A, 21.1.4
real_mode_idtr:
    .pseudo_descriptor 0, x86.REAL_MODE_IDT_LIMIT
