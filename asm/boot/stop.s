# The end of every failure: a line on both consoles, a code for isa-debug-exit, a panic for pvpanic
# (panic.s), and then halt or reset, as the template has it.
#
# A routine stops by jumping to stop_with with a code in AL and a detail in EDX, whatever is on the
# stack: nothing returns from there. `mov al, CODE` comes before the conditional jump, as it leaves
# the flags alone; .stop_if in macros.s is the two of them. Where one routine may stop for
# several reasons EDX is loaded once, ahead of all of them.

#: print `fwbuild: <code> <what> <detail>`, tell the host, and halt or reset
#: mode: 32
#: in: eax stop code in al, edx detail
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, esp, eflags
#: returns: never
#: source: fwbuild/firmware/stop_codes.py; QEMU hw/misc/debugexit.c
stop_with:
    # EBX: the code, EDI: the detail
    movzx ebx, al
    mov edi, edx
    mov esi, stop_prefix
    call print_string
    mov eax, ebx
    shl eax, 24
    mov ecx, 2
    call print_hex
    # The table is a code byte and a string an entry; the last code is 0 and fits any.
    mov esi, stop_table
.find:
    lodsb
    cmp al, bl
    jz .found
    test al, al
    jz .found
.skip:
    lodsb
    test al, al
    jnz .skip
    jmp .find
.found:
    call print_string
    mov eax, edi
    mov ecx, 8
    call print_hex
    mov al, '\n'
    call print_char
    mov eax, ebx
    mov edx, ports.DEBUG_EXIT
    out dx, al
    # without that device the code goes on
    jmp panic_isa

#: what a stop ends in where isa-debug-exit and pvpanic have not ended the guest. A triple fault is
#: a reset that every machine has
#: mode: 32
#: in: -
#: out: -
#: clobbers: eflags
#: returns: never
#: source: Intel SDM volume 3A, 6.15 "Interrupt 8"; QEMU target/i386/tcg/excp_helper.c
stop_end:
.if option.stop.reset
    .att lidtl {no_idtr}
    int3
.endif
    jmp halt_for_good

.if option.stop.reset
#: IDTR of a table without a gate
#: mode: data
no_idtr:
    .pseudo_descriptor 0, 0
.endif

#: end QEMU where it has isa-debug-exit, else halt for good
#: mode: 32
#: in: eax value in al
#: out: -
#: clobbers: edx, eflags
#: returns: never
#: source: QEMU hw/misc/debugexit.c
exit_and_halt:
    mov edx, ports.DEBUG_EXIT
    out dx, al
    jmp halt_for_good

#: halt; a non-maskable interrupt changes nothing
#: mode: 32
#: in: -
#: out: -
#: clobbers: eflags
#: returns: never
#: source: -
halt_for_good:
    cli
    hlt
    jmp halt_for_good

#: print a string that ends in a zero
#: mode: 32
#: in: esi string
#: out: esi after its zero
#: clobbers: eax, edx, eflags
#: source: -
print_string:
    lodsb
    test al, al
    jz .done
    call print_char
    jmp print_string
.done:
    ret

#: print the upper digits of a number in hexadecimal
#: mode: 32
#: in: eax number, ecx digits
#: out: -
#: clobbers: eax, ecx, edx, eflags
#: source: -
print_hex:
    rol eax, 4
    push eax
    and al, 15
    cmp al, 10
    jb .digit
    add al, 'a' - '9' - 1
.digit:
    add al, '0'
    call print_char
    pop eax
    loop print_hex
    ret

#: print a character on the debug console and the serial port; a port that never gets ready
#: is given up after a bounded wait
#: mode: 32
#: in: eax character in al
#: out: -
#: clobbers: eax, edx, eflags
#: source: QEMU hw/char/debugcon.c; the 16550's data sheet
print_char:
    push ecx
    mov edx, ports.DEBUG_CONSOLE
    out dx, al
    # AH keeps the character while AL is the port's status
    mov ah, al
    mov edx, ports.SERIAL + ports.SERIAL_LSR
    mov ecx, ports.SERIAL_PATIENCE
.wait:
    in al, dx
    test al, ports.SERIAL_LSR_THRE
    jnz .ready
    loop .wait
.ready:
    mov dl, ports.SERIAL & 0xff
    mov al, ah
    out dx, al
    pop ecx
    ret

#: how every line starts
#: mode: data
stop_prefix:
    .asciz "fwbuild: "
