# The test kernel as the setup code of an old bzImage: calls the BIOS and prints what it says.
# It runs in segment region.setup.base >> 4, so its own addresses count from there.

#: the 16-bit entry
#: mode: 16
#: in: ds setup segment, ss setup segment
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, es, eflags
#: returns: never
#: source: Linux Documentation/arch/x86/boot.rst "Running the Kernel"
test_linux16_entry:
.code16
    mov si, text16_hello - region.setup.base
    call print16
    push ds
    mov ax, region.cmdline.base >> 4
    mov ds, ax
    xor si, si
    call print16
    pop ds
    mov si, text16_memory - region.setup.base
    call print16
    int bios.Vector.MEMORY
    call print16_word
    mov si, text16_equipment - region.setup.base
    call print16
    int bios.Vector.EQUIPMENT
    call print16_word
    mov si, text16_disk - region.setup.base
    call print16
    mov ah, 8
    int bios.Vector.DISK
    call print16_carry
    mov si, text16_vbe - region.setup.base
    call print16
    mov ah, bios.Call.VIDEO_VBE
    int bios.Vector.VIDEO
    call print16_word
    mov si, text16_mode - region.setup.base
    call print16
    mov ah, bios.Call.VIDEO_MODE
    int bios.Vector.VIDEO
    call print16_word
    mov si, text16_key - region.setup.base
    call print16
    mov ah, bios.Call.KEYS_PEEK
    int bios.Vector.KEYS
    setz al
    xor ah, ah
    call print16_word
    mov si, text16_clock - region.setup.base
    call print16
    mov ah, 2
    int bios.Vector.TIME
    call print16_carry
    mov si, text16_unknown - region.setup.base
    call print16
    mov ah, bios.UNSUPPORTED
    int bios.Vector.SYSTEM
    call print16_carry
    call print16_word
    mov si, text16_a20 - region.setup.base
    call print16
    mov ax, bios.Call.SYSTEM_A20_ON
    stc
    int bios.Vector.SYSTEM
    call print16_carry
    mov si, text16_extended - region.setup.base
    call print16
    mov ah, bios.Call.SYSTEM_EXTENDED
    int bios.Vector.SYSTEM
    call print16_word
    mov si, text16_e801 - region.setup.base
    call print16
    mov ax, bios.Call.SYSTEM_E801
    int bios.Vector.SYSTEM
    push dx
    call print16_word
    pop ax
    call print16_word
    jmp test_linux16_memmap

#: the memory map, a tick of the timer, and back to the BIOS
#: mode: 16
#: in: ds setup segment
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, es, eflags
#: returns: never
#: source: ACPI 6.5, 15.1
test_linux16_memmap:
    mov ax, ds
    mov es, ax
    xor ebx, ebx
.range:
    mov si, text16_range - region.setup.base
    call print16
    mov eax, bios.Call.SYSTEM_E820
    mov edx, bios.SMAP
    mov ecx, e820.ENTRY.sizeof
    mov di, linux_boot.SETUP_SIZE_MAX
    int bios.Vector.SYSTEM
    jc .tick
    mov si, di
    mov cx, e820.ENTRY.sizeof // 2
.word:
    lodsw
    call print16_word
    loop .word
    test ebx, ebx
    jnz .range
.tick:
    xor bx, bx
    mov es, bx
    mov bx, word ptr es:[ram.bda.ticks]
    mov si, text16_tick - region.setup.base
    call print16
    mov ecx, test_kernel.TICK_PATIENCE
    sti
.wait:
    cmp bx, word ptr es:[ram.bda.ticks]
    jnz .ticked
    dec ecx
    jnz .wait
.ticked:
    setnz al
    xor ah, ah
    call print16_word
    mov si, text16_time - region.setup.base
    call print16
    xor ah, ah
    int bios.Vector.TIME
    cmp dx, bx
    setnz al
    xor ah, ah
    call print16_word
    mov si, text16_end - region.setup.base
    call print16
    int bios.Vector.BOOTSTRAP
    hlt

#: print a string that ends in a zero, by the BIOS
#: mode: 16
#: in: esi string
#: out: esi after its zero
#: clobbers: eax, eflags
#: source: -
print16:
    lodsb
    test al, al
    jz .done
    mov ah, bios.Call.VIDEO_TELETYPE
    int bios.Vector.VIDEO
    jmp print16
.done:
    .att retw

#: print the carry flag
#: mode: 16
#: in: eflags CF
#: out: -
#: clobbers: eflags
#: source: -
print16_carry:
    push ax
    setc al
    add al, '0'
    mov ah, bios.Call.VIDEO_TELETYPE
    int bios.Vector.VIDEO
    pop ax
    .att retw

#: print 4 hexadecimal digits and a blank
#: mode: 16
#: in: eax number in ax
#: out: -
#: clobbers: eax, edx, eflags
#: source: -
print16_word:
    push cx
    mov dx, ax
    mov cx, 4
.digit:
    rol dx, 4
    mov al, dl
    and al, 15
    cmp al, 10
    jb .decimal
    add al, 'a' - '9' - 1
.decimal:
    add al, '0'
    mov ah, bios.Call.VIDEO_TELETYPE
    int bios.Vector.VIDEO
    loop .digit
    mov ax, bios.Call.VIDEO_TELETYPE << 8 | ' '
    int bios.Vector.VIDEO
    pop cx
    .att retw

#: the first line, and what comes before the command line
#: mode: data
text16_hello:
    .asciz "test kernel: in real mode\ncmdline "

#: comes before INT 12h's answer
#: mode: data
text16_memory:
    .asciz "\nmemory "

#: comes before INT 11h's answer
#: mode: data
text16_equipment:
    .asciz "\nequipment "

#: comes before INT 13h's answer
#: mode: data
text16_disk:
    .asciz "\ndisk "

#: comes before the VBE call's answer
#: mode: data
text16_vbe:
    .asciz "\nvbe "

#: comes before the video mode
#: mode: data
text16_mode:
    .asciz "\nmode "

#: comes before what INT 16h says of a key
#: mode: data
text16_key:
    .asciz "\nkey "

#: comes before what INT 1Ah says of the clock
#: mode: data
text16_clock:
    .asciz "\nclock "

#: comes before the answer to an unknown function of INT 15h
#: mode: data
text16_unknown:
    .asciz "\nunknown "

#: comes before the answer to switching A20 on
#: mode: data
text16_a20:
    .asciz "\na20 "

#: comes before INT 15h, function 88h
#: mode: data
text16_extended:
    .asciz "\nextended "

#: comes before INT 15h, function E801h
#: mode: data
text16_e801:
    .asciz "\ne801 "

#: comes before a range of INT 15h, function E820h
#: mode: data
text16_range:
    .asciz "\nrange "

#: comes before how often the user's timer hook ran
#: mode: data
text16_tick:
    .asciz "\ntick "

#: comes before the ticks of INT 1Ah
#: mode: data
text16_time:
    .asciz "\ntime "

#: ends the last line
#: mode: data
text16_end:
    .asciz "\n"
