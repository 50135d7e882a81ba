# Gives real-mode payloads a BIOS to call: vectors, data area, the code of the calls, and
# interrupt controllers and timer as they expect them.

#: put the BIOS calls into RAM, and take that RAM out of the map
#: mode: 32
#: in: -
#: out: eax KiB of RAM from 1 MiB to the first hole
#: clobbers: ecx, edx, esi, edi, eflags
#: reads: ram.work.memmap_end, region.memmap
#: writes: ram.bda, ram.bios_data.extended_kib, ram.bios_data.memmap_size, ram.bios_data.memmap,
#:   ram.ebda.size, region.bios, region.memmap
#: source: IBM PC/AT Technical Reference
bios_install:
    # the code of the calls
    mov esi, group.bios.base
    mov edi, region.bios.base + work.BIOS_CODE
    mov ecx, group.bios.size
    rep movsb
    xor edi, edi
    # every vector: the segment, and the offset of what serves nobody
    mov eax, layout.BIOS_SEGMENT << 16 | work.BIOS_CODE + bios_unserved - group.bios.base
    mov ecx, bios.VECTORS
    rep stosd
    # The data area follows the vectors.
    xor eax, eax
    mov ecx, bios.BDA.sizeof // 4
    rep stosd
    # the vectors that have a service: EDI is the number, ECX how many there are
    mov esi, bios_vectors
.vectors:
    movzx edi, byte ptr [esi]
    movzx ecx, byte ptr [esi + 1]
    mov ax, word ptr [esi + 2]
.vector:
    mov word ptr [edi * 4], ax
    inc edi
    loop .vector
    add esi, 4
    cmp byte ptr [esi], 0
    jnz .vectors
    # The chips: what follows the zero of the list overrules a part of what pic_program does.
    push esi
    call pic_program
    pop esi
    inc esi
.chips:
    movzx edx, byte ptr [esi]
    mov al, byte ptr [esi + 1]
    out dx, al
    add esi, 2
    cmp byte ptr [esi], 0
    jnz .chips
    # the local APIC lets the 8259's interrupts and NMI through (virtual wire mode)
    mov edx, x86.APIC_BASE
    mov dword ptr [edx + x86.Apic.SPURIOUS], x86.APIC_ENABLED
    mov dword ptr [edx + x86.Apic.LVT_LINT0], bios.APIC_LINT0
    mov dword ptr [edx + x86.Apic.LVT_LINT1], bios.APIC_LINT1
    # the data area: one serial port, no disks, a text screen that is not there
    mov edx, ram.bda
    mov word ptr [edx + bios.BDA.serial_ports], ports.SERIAL
    mov word ptr [edx + bios.BDA.ebda_segment], e820.EBDA >> 4
    mov byte ptr [ram.ebda.size], region.ebda.size >> 10
    mov word ptr [edx + bios.BDA.equipment], bios.EQUIPMENT_80_COLUMNS | bios.EQUIPMENT_ONE_SERIAL
    mov word ptr [edx + bios.BDA.base_memory], layout.CONVENTIONAL_KIB
    mov byte ptr [edx + bios.BDA.video_mode], bios.TEXT_MODE
    mov byte ptr [edx + bios.BDA.columns], bios.COLUMNS
    mov byte ptr [ram.bda.last_row], bios.ROWS - 1
    jmp bios_take_memory

#: let the map say that the `bios` region is reserved, and copy the map there
#: mode: 32
#: in: -
#: out: eax KiB of RAM from 1 MiB to the first hole
#: clobbers: ecx, edx, esi, edi, eflags
#: reads: ram.work.memmap_end, region.memmap
#: writes: ram.bios_data.extended_kib, ram.bios_data.memmap_size, ram.bios_data.memmap,
#:   region.memmap
#: source: ACPI 6.5, 15
bios_take_memory:
    # EDX: KiB from 1 MiB, when its range is met
    xor edx, edx
    mov esi, region.memmap.base
    mov edi, ram.bios_data.memmap
.range:
    # three ranges matter: RAM up to the EBDA, the EBDA, RAM from 1 MiB
    mov eax, dword ptr [esi + pvh.MEMMAP_ENTRY.addr]
    mov ecx, dword ptr [esi + pvh.MEMMAP_ENTRY.size]
    cmp dword ptr [esi + pvh.MEMMAP_ENTRY.addr + 4], 0
    jnz .copy
    cmp eax, e820.EBDA
    jz .reserved
    cmp dword ptr [esi + pvh.MEMMAP_ENTRY.type], e820.Type.RAM
    jnz .copy
    cmp eax, e820.EXTENDED
    jz .extended
    # the range that ends where the EBDA begins loses the region to it
    add eax, ecx
    cmp eax, e820.EBDA
    jnz .copy
    sub dword ptr [esi + pvh.MEMMAP_ENTRY.size], region.bios.size
    jmp .copy
.reserved:
    sub dword ptr [esi + pvh.MEMMAP_ENTRY.addr], region.bios.size
    add dword ptr [esi + pvh.MEMMAP_ENTRY.size], region.bios.size
    jmp .copy
.extended:
    # bytes to KiB
    shr ecx, 10
    mov edx, ecx
.copy:
    .copy_e820_entry
    cmp esi, dword ptr [ram.work.memmap_end]
    jb .range
    # EDI is at the copy's end
    sub edi, ram.bios_data.memmap
    mov dword ptr [ram.bios_data.memmap_size], edi
    mov dword ptr [ram.bios_data.extended_kib], edx
    mov eax, edx
    ret

#: vectors that have a service: first, how many, offset; 0 ends the list. Then what is written
#: to interrupt controllers and timer: port, value; 0 ends the list.
#: mode: data
bios_vectors:
    .byte bios.Vector.TIMER, 1
    .word work.BIOS_CODE + bios_timer - group.bios.base
    .byte bios.Vector.KEYBOARD, 7
    .word work.BIOS_CODE + bios_irq_low - group.bios.base
    .byte bios.Vector.VIDEO, 1
    .word work.BIOS_CODE + bios_video - group.bios.base
    .byte bios.Vector.EQUIPMENT, 1
    .word work.BIOS_CODE + bios_equipment - group.bios.base
    .byte bios.Vector.MEMORY, 1
    .word work.BIOS_CODE + bios_memory - group.bios.base
    .byte bios.Vector.DISK, 1
    .word work.BIOS_CODE + bios_disk - group.bios.base
    .byte bios.Vector.SYSTEM, 1
    .word work.BIOS_CODE + bios_system - group.bios.base
    .byte bios.Vector.KEYS, 1
    .word work.BIOS_CODE + bios_keys - group.bios.base
    .byte bios.Vector.NO_BOOT, 2
    .word work.BIOS_CODE + bios_give_up - group.bios.base
    .byte bios.Vector.TIME, 1
    .word work.BIOS_CODE + bios_time - group.bios.base
    .byte bios.Vector.CLOCK, 8
    .word work.BIOS_CODE + bios_irq_high - group.bios.base
    .byte 0
    .byte legacy.PIC_MASTER + 1, bios.MASTER_MASK
    .byte legacy.PIT + legacy.PIT_CONTROL, bios.TIMER_MODE
    .byte legacy.PIT, 0, legacy.PIT, 0
    .byte 0

#: say that the payload gave up; it comes here from real mode
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ds, es, ss, esp, eflags
#: returns: never
#: source: -
bios_gave_up:
    .flat_segments
    mov esp, region.stack.end
    xor edx, edx
    .stop stop_codes.GAVE_UP
