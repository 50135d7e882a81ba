# The BIOS calls that real-mode payloads make, in 16-bit code that bios_install copies to the
# `bios` region. The whole group is copied, so an address in it is its distance from the group's
# start, plus work.BIOS_CODE, in segment layout.BIOS_SEGMENT.
# An interrupt's stack holds IP, CS and FLAGS; after `push bp` they are at bp + 2, 4 and 6, so the
# carry flag that a caller looks at is a bit of the byte at bp + 6.

.group bios

#: an interrupt that nobody serves
#: mode: 16
#: in: -
#: out: -
#: clobbers: -
#: source: -
bios_unserved:
.code16
    .att iretw

#: the timer's tick: count it, call the user's hook
#: mode: 16
#: in: -
#: out: -
#: clobbers: -
#: reads: ram.bda.ticks
#: writes: ram.bda.ticks
#: source: IBM PC/AT Technical Reference, INT 08h
bios_timer:
    push ds
    push ax
    xor ax, ax
    mov ds, ax
    inc dword ptr [ram.bda.ticks]
    int bios.Vector.TICK
    mov al, legacy.PIC_EOI
    out legacy.PIC_MASTER, al
    pop ax
    pop ds
    .att iretw

#: an interrupt of the second controller
#: mode: 16
#: in: -
#: out: -
#: clobbers: -
#: source: Intel 8259A data sheet, "EOI"
bios_irq_high:
    push ax
    mov al, legacy.PIC_EOI
    out legacy.PIC_SLAVE, al
    out legacy.PIC_MASTER, al
    pop ax
    .att iretw

#: an interrupt of the first controller
#: mode: 16
#: in: -
#: out: -
#: clobbers: -
#: source: Intel 8259A data sheet, "EOI"
bios_irq_low:
    push ax
    mov al, legacy.PIC_EOI
    out legacy.PIC_MASTER, al
    pop ax
    .att iretw

#: INT 10h: teletype goes to the consoles, the screen is 80 x 25 and stays where it is, VBE is
#: refused
#: mode: 16
#: in: eax function
#: out: eax, ebx, ecx, edx
#: clobbers: -
#: source: Phoenix System BIOS, INT 10h; VESA BIOS Extension 3.0, 4.2
bios_video:
    # the function is in AH
    cmp ah, bios.Call.VIDEO_TELETYPE
    jz .teletype
    cmp ah, bios.Call.VIDEO_VBE
    jz .vbe
    cmp ah, bios.Call.VIDEO_MODE
    jz .mode
    cmp ah, bios.Call.VIDEO_CURSOR
    jnz .done
    mov cx, bios.CURSOR_SHAPE
    xor dx, dx
.done:
    .att iretw
.mode:
    mov ax, bios.COLUMNS << 8 | bios.TEXT_MODE
    xor bh, bh
    .att iretw
.vbe:
    mov ax, bios.VBE_FAILED
    .att iretw
.teletype:
    push ax
    push cx
    push dx
    # both consoles, as print_char does in 32-bit code; AH keeps the character
    mov dx, ports.DEBUG_CONSOLE
    out dx, al
    mov ah, al
    mov dx, ports.SERIAL + ports.SERIAL_LSR
    xor cx, cx
.wait:
    in al, dx
    test al, ports.SERIAL_LSR_THRE
    jnz .ready
    loop .wait
.ready:
    mov dx, ports.SERIAL
    mov al, ah
    out dx, al
    pop dx
    pop cx
    pop ax
    .att iretw

#: INT 11h: the equipment word
#: mode: 16
#: in: -
#: out: eax
#: clobbers: -
#: source: IBM PC/AT Technical Reference, INT 11h
bios_equipment:
    mov ax, bios.EQUIPMENT_80_COLUMNS | bios.EQUIPMENT_ONE_SERIAL
    .att iretw

#: INT 12h: KiB of conventional memory
#: mode: 16
#: in: -
#: out: eax
#: clobbers: -
#: source: IBM PC/AT Technical Reference, INT 12h
bios_memory:
    mov ax, layout.CONVENTIONAL_KIB
    .att iretw

#: INT 13h: there are no disks
#: mode: 16
#: in: -
#: out: eax
#: clobbers: -
#: source: Phoenix System BIOS, INT 13h
bios_disk:
    mov ah, bios.DISK_BAD
    push bp
    mov bp, sp
    or byte ptr [bp + 6], x86.Eflags.CF
    pop bp
    .att iretw

#: INT 15h: the memory map in its three forms; A20 is always on
#: mode: 16
#: in: eax function, ebx continuation, ecx bytes, edx signature, edi buffer, es buffer
#: out: eax, ebx, ecx, edx
#: clobbers: -
#: reads: ram.bios_data.extended_kib, ram.bios_data.memmap_size, ram.bios_data.memmap
#: source: ACPI 6.5, 15.1; Phoenix System BIOS, INT 15h
bios_system:
    push bp
    mov bp, sp
    # no error, unless .bad says so
    and byte ptr [bp + 6], ~x86.Eflags.CF
    cmp ax, bios.Call.SYSTEM_E820
    jz .e820
    cmp ax, bios.Call.SYSTEM_E801
    jz .e801
    cmp ah, bios.Call.SYSTEM_EXTENDED
    jz .extended
    cmp ax, bios.Call.SYSTEM_A20_ON
    jnz .bad
    xor ah, ah
    jmp .done
.bad:
    mov ah, bios.UNSUPPORTED
    or byte ptr [bp + 6], x86.Eflags.CF
.done:
    pop bp
    .att iretw
.extended:
    # AX: KiB from 1 MiB, 63 MiB at most
    mov eax, dword ptr cs:[ram.bios_data.extended_kib - region.bios.base]
    cmp eax, bios.EXTENDED_MAX
    jbe .done
    mov ax, bios.EXTENDED_MAX
    jmp .done
.e801:
    # AX and CX: KiB from 1 MiB to 16 MiB; BX and DX: blocks of 64 KiB above
    mov eax, dword ptr cs:[ram.bios_data.extended_kib - region.bios.base]
    xor ebx, ebx
    cmp eax, bios.E801_LOW_MAX
    jbe .low
    mov ebx, eax
    sub ebx, bios.E801_LOW_MAX
    shr ebx, 6
    mov eax, bios.E801_LOW_MAX
.low:
    mov cx, ax
    mov dx, bx
    jmp .done
.e820:
    # EBX is the distance of the entry to give in the copy of the map: 0 the first time
    cmp edx, bios.SMAP
    jnz .bad
    cmp ecx, e820.ENTRY.sizeof
    jb .bad
    cmp ebx, dword ptr cs:[ram.bios_data.memmap_size - region.bios.base]
    jae .bad
    push ds
    push si
    push di
    # one entry to ES:DI
    push cs
    pop ds
    lea si, [bx + ram.bios_data.memmap - region.bios.base]
    mov ecx, e820.ENTRY.sizeof
    rep movsb
    pop di
    pop si
    pop ds
    # EBX: the next, 0 after the last
    mov ecx, e820.ENTRY.sizeof
    add ebx, ecx
    cmp ebx, dword ptr cs:[ram.bios_data.memmap_size - region.bios.base]
    jb .more
    xor ebx, ebx
.more:
    mov eax, edx
    jmp .done

#: INT 16h: no key is ever pressed; a caller that waits for one waits forever
#: mode: 16
#: in: eax function
#: out: eax
#: clobbers: -
#: source: IBM PC/AT Technical Reference, INT 16h
bios_keys:
    # shift state and peeking answer at once, all else waits
    cmp ah, bios.Call.KEYS_SHIFT
    jz .shift
    cmp ah, bios.Call.KEYS_PEEK
    jz .peek
    cmp ah, bios.Call.KEYS_PEEK_ENHANCED
    jz .peek
.wait:
    sti
    hlt
    jmp .wait
.peek:
    push bp
    mov bp, sp
    or byte ptr [bp + 6], x86.Eflags.ZF
    pop bp
.shift:
    xor al, al
    .att iretw

#: INT 1Ah: ticks since the start; there is no clock, and no PCI BIOS
#: mode: 16
#: in: eax function
#: out: eax, ecx, edx
#: clobbers: -
#: reads: ram.bda.ticks
#: source: IBM PC/AT Technical Reference, INT 1Ah
bios_time:
    push bp
    mov bp, sp
    or byte ptr [bp + 6], x86.Eflags.CF
    test ah, ah
    jnz .done
    # function 0 alone: ticks in CX:DX, no midnight in AL
    and byte ptr [bp + 6], ~x86.Eflags.CF
    push ds
    xor al, al
    xor cx, cx
    mov ds, cx
    mov dx, word ptr [ram.bda.ticks]
    mov cx, word ptr [ram.bda.ticks + 2]
    pop ds
.done:
    pop bp
    .att iretw

#: INT 18h and 19h: the payload gives up
#: mode: 16
#: in: -
#: out: -
#: clobbers: eax, ds, es, ss, esp, cr0, eflags
#: returns: never
#: source: IBM PC/AT Technical Reference, INT 18h and 19h
bios_give_up:
    cli
    .att lgdtl %cs:{work.BIOS_CODE + bios_gdtr - group.bios.base}
    .enter_protected_mode bios_gave_up

#: GDTR of the firmware's descriptors in ROM
#: mode: data
bios_gdtr:
    .pseudo_descriptor handoff_template + work.PVH_AREA.gdt, work.GDT_LIMIT

#: from 16-bit protected mode to the setup code of a bzImage in real mode
#: mode: 16
#: in: -
#: out: -
#: clobbers: eax, ds, es, fs, gs, ss, esp, cr0, eflags
#: returns: never
#: source: Intel SDM volume 3A, 10.9.2; Linux Documentation/arch/x86/boot.rst "Running the Kernel"
bios_enter_setup:
    # limits of 64 KiB for every segment, then out of protected mode
    mov ax, work.SELECTOR_DATA16
    mov ds, ax
    mov es, ax
    mov fs, ax
    mov gs, ax
    mov ss, ax
    mov eax, cr0
    and al, ~x86.Cr0.PE
    mov cr0, eax
    .farjmp layout.BIOS_SEGMENT, work.BIOS_CODE + bios_real - group.bios.base

#: the same in real mode
#: mode: 16
#: in: -
#: out: -
#: clobbers: eax, ds, es, fs, gs, ss, esp
#: returns: never
#: source: Linux Documentation/arch/x86/boot.rst "Running the Kernel"
bios_real:
    # all segments at the setup code, CS one sector further
    mov ax, layout.SETUP_SEGMENT
    mov ds, ax
    mov es, ax
    mov fs, ax
    mov gs, ax
    mov ss, ax
    mov esp, linux_boot.SETUP_STACK
    .farjmp layout.SETUP_SEGMENT + (linux_boot.SECTOR >> 4), 0

.endgroup
