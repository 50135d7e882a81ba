# The memory map: the host's etc/e820, sorted, checked, with the hole below 1 MiB put in.
# It is kept in the form that PVH hands over (pvh.MEMMAP_ENTRY).

#: read etc/e820 and build the map
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.high_top, ram.work.ram_end, ram.work.ecam, ram.work.memmap_end, region.memmap,
#:   region.scratch
#: writes: ram.work.high_top, ram.work.ram_end, ram.work.memmap_end, region.memmap, region.scratch
#: source: QEMU hw/i386/e820_memory_layout.c; ACPI 6.5, 15
memmap_build:
    # What lies below 1 MiB is the same on every PC.
    mov esi, memmap_template
    mov edi, region.memmap.base
    mov ecx, work.MEMMAP_TEMPLATE_ENTRIES * pvh.MEMMAP_ENTRY.sizeof // 4
    rep movsd
    mov dword ptr [ram.work.memmap_end], edi
    # the host's file; EDX is the detail of the stops: its bytes
    mov esi, name_e820
    call files_find
    mov ebx, eax
    mov edx, ecx
    mov al, stop_codes.NO_E820
    jecxz .stop
    cmp ecx, region.scratch.size
    mov al, stop_codes.E820_SIZE
    ja .stop
    # A whole number of entries of 20 bytes? A multiple of 5 times the inverse of 5 is the quotient,
    # anything else is more than 2^32 / 5; turning moves the two bits of 4 to the top.
    imul edi, ecx, work.INVERSE_OF_5
    ror edi, 2
    cmp edi, work.WHOLE_ENTRIES_MAX
    ja .stop
    mov eax, ebx
    mov edi, region.scratch.base
    call fw_cfg_transfer
    # QEMU's order is nearly the reverse of what is wanted here.
    lea esi, [edi + ecx]
.entry:
    sub esi, e820.ENTRY.sizeof
    call memmap_add_host
    cmp esi, region.scratch.base
    ja .entry
    # RAM from 0 was among them?
    mov al, stop_codes.E820_LOW
    mov edx, dword ptr [ram.work.high_top]
    test edx, edx
    jz .stop
.if option.machines.q35
    # ECAM is not RAM, and nobody may put a device there
    mov eax, dword ptr [ram.work.ecam]
    test eax, eax
    jz .check
    lea ebx, [eax + chipset.ECAM_SIZE]
    xor edx, edx
    xor ecx, ecx
    mov ebp, e820.Type.RESERVED
    call memmap_insert
.check:
.endif
    jmp memmap_check
.stop:
    jmp stop_with

#: add one range of the host's. RAM from 0 is in the map already, below the hole under 1 MiB
#: mode: 32
#: in: esi e820 entry
#: out: -
#: clobbers: eax, ebx, ecx, edx, edi, ebp, eflags
#: reads: ram.work.ram_end, ram.work.memmap_end, region.memmap
#: writes: ram.work.high_top, ram.work.ram_end, ram.work.memmap_end, region.memmap
#: source: ACPI 6.5, 15
memmap_add_host:
    # ECX:EBX: the size; a range without a byte is none
    mov ebx, dword ptr [esi + e820.ENTRY.size]
    mov ecx, dword ptr [esi + e820.ENTRY.size + 4]
    mov eax, ebx
    or eax, ecx
    jz .done
    # EDX:EAX: the start, ECX:EBX: the end
    mov eax, dword ptr [esi + e820.ENTRY.addr]
    mov edx, dword ptr [esi + e820.ENTRY.addr + 4]
    add ebx, eax
    adc ecx, edx
    jc .bad
    mov ebp, dword ptr [esi + e820.ENTRY.type]
    test ebp, ebp
    jz .bad
    # any type but RAM goes in as it is, and so does RAM above 4 GiB
    cmp ebp, e820.Type.RAM
    jnz memmap_insert
    test edx, edx
    jnz memmap_insert
    # RAM that starts below 4 GiB ends before the devices and the ROM
    test ecx, ecx
    jnz .bad
    cmp ebx, chipset.RAM_END_MAX
    ja .bad
    cmp ebx, dword ptr [ram.work.ram_end]
    jb .inside
    mov dword ptr [ram.work.ram_end], ebx
.inside:
    test eax, eax
    jnz memmap_insert
    mov dword ptr [ram.work.high_top], ebx
    mov eax, e820.EXTENDED
    cmp ebx, eax
    ja memmap_insert
    mov edx, ebx                # the detail
    mov al, stop_codes.E820_SMALL
    jmp stop_with
.bad:
    mov edx, dword ptr [esi + e820.ENTRY.addr]
    mov al, stop_codes.E820_RANGE
    jmp stop_with
.done:
    ret

#: insert the range [edx:eax, ecx:ebx), keeping the map sorted by address
#: mode: 32
#: in: eax address low, edx address high, ebx end low, ecx end high, ebp type
#: out: -
#: clobbers: ebx, ecx, edi, eflags
#: reads: ram.work.memmap_end, region.memmap
#: writes: ram.work.memmap_end, region.memmap
#: source: Xen public/arch-x86/hvm/start_info.h (the entry)
memmap_insert:
    push esi
    mov edi, dword ptr [ram.work.memmap_end]
    cmp edi, region.memmap.base + pvh.MEMMAP_ENTRIES_MAX * pvh.MEMMAP_ENTRY.sizeof
    jae .full
    add dword ptr [ram.work.memmap_end], pvh.MEMMAP_ENTRY.sizeof
    # ECX:EBX: its size
    sub ebx, eax
    sbb ecx, edx
.shift:
    # EDI: a free place; every entry above the new one moves up by one. The first starts at 0, so
    # nothing comes before it
    cmp dword ptr [edi + pvh.MEMMAP_ENTRY.addr + 4 - pvh.MEMMAP_ENTRY.sizeof], edx
    jb .place
    ja .move
    cmp dword ptr [edi + pvh.MEMMAP_ENTRY.addr - pvh.MEMMAP_ENTRY.sizeof], eax
    jbe .place
.move:
    push ecx
    mov ecx, pvh.MEMMAP_ENTRY.sizeof // 4
    lea esi, [edi - pvh.MEMMAP_ENTRY.sizeof]
    push esi
    rep movsd
    pop edi
    pop ecx
    jmp .shift
.place:
    mov dword ptr [edi + pvh.MEMMAP_ENTRY.addr], eax
    mov dword ptr [edi + pvh.MEMMAP_ENTRY.addr + 4], edx
    mov dword ptr [edi + pvh.MEMMAP_ENTRY.size], ebx
    mov dword ptr [edi + pvh.MEMMAP_ENTRY.size + 4], ecx
    mov dword ptr [edi + pvh.MEMMAP_ENTRY.type], ebp
    and dword ptr [edi + pvh.MEMMAP_ENTRY.reserved], 0
    pop esi
    ret
.full:
    mov edx, pvh.MEMMAP_ENTRIES_MAX + 1
    mov al, stop_codes.E820_ENTRIES
    jmp stop_with

#: stop if two ranges overlap
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ecx, edx, esi, eflags
#: reads: ram.work.memmap_end, region.memmap
#: source: ACPI 6.5, 15.4
memmap_check:
    mov esi, region.memmap.base
.entry:
    mov eax, dword ptr [esi + pvh.MEMMAP_ENTRY.addr]
    mov edx, dword ptr [esi + pvh.MEMMAP_ENTRY.addr + 4]
    add eax, dword ptr [esi + pvh.MEMMAP_ENTRY.size]
    adc edx, dword ptr [esi + pvh.MEMMAP_ENTRY.size + 4]
    add esi, pvh.MEMMAP_ENTRY.sizeof
    cmp esi, dword ptr [ram.work.memmap_end]
    jae .done
    # EDX:EAX: the end. Next address - end must not borrow.
    mov ecx, dword ptr [esi + pvh.MEMMAP_ENTRY.addr + 4]
    cmp dword ptr [esi + pvh.MEMMAP_ENTRY.addr], eax
    sbb ecx, edx
    jnc .entry
    mov edx, dword ptr [esi + pvh.MEMMAP_ENTRY.addr]
    mov al, stop_codes.E820_OVERLAP
    jmp stop_with
.done:
    ret

#: set CF unless [eax, eax + ecx) lies in one range of RAM below 4 GiB
#: mode: 32
#: in: eax address, ecx bytes
#: out: eflags CF
#: clobbers: esi, ebp
#: reads: ram.work.memmap_end, region.memmap
#: source: -
memmap_covers:
    push edx
    mov edx, eax
    add edx, ecx
    jc .done
    mov esi, dword ptr [ram.work.memmap_end]
.next:
    sub esi, pvh.MEMMAP_ENTRY.sizeof
    cmp esi, region.memmap.base
    jb .done
    cmp dword ptr [esi + pvh.MEMMAP_ENTRY.type], e820.Type.RAM
    jnz .next
    cmp dword ptr [esi + pvh.MEMMAP_ENTRY.addr + 4], 0
    jnz .next
    # below 4 GiB, so the upper halves are 0; EBP: where the range ends
    cmp eax, dword ptr [esi + pvh.MEMMAP_ENTRY.addr]
    jb .next
    mov ebp, dword ptr [esi + pvh.MEMMAP_ENTRY.size]
    add ebp, dword ptr [esi + pvh.MEMMAP_ENTRY.addr]
    cmp edx, ebp
    ja .next
    clc
.done:
    pop edx
    ret

#: turn RAM that high_find has found into ACPI NVS; what is left of its range on either side stays
#: RAM
#: mode: 32
#: in: eax address, ecx bytes
#: out: -
#: clobbers: ebx, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.memmap_end, region.memmap
#: writes: ram.work.memmap_end, region.memmap
#: source: ACPI 6.5, 15
memmap_take:
    push eax
    lea edx, [eax + ecx]
    mov esi, dword ptr [ram.work.memmap_end]
.next:
    # the range of RAM that starts below it holds all of it: it is part of the RAM from 1 MiB on
    sub esi, pvh.MEMMAP_ENTRY.sizeof
    cmp dword ptr [esi + pvh.MEMMAP_ENTRY.addr + 4], 0
    jnz .next
    mov ebp, dword ptr [esi + pvh.MEMMAP_ENTRY.addr]
    # EDI: what is left below
    mov edi, eax
    sub edi, ebp
    jbe .next
    # EBP: where it ends
    add ebp, dword ptr [esi + pvh.MEMMAP_ENTRY.size]
    mov dword ptr [esi + pvh.MEMMAP_ENTRY.size], edi
    # What was taken before may begin where this ends: let it grow.
    add esi, pvh.MEMMAP_ENTRY.sizeof
    cmp esi, dword ptr [ram.work.memmap_end]
    jae .insert
    cmp dword ptr [esi + pvh.MEMMAP_ENTRY.addr], edx
    jnz .insert
    cmp dword ptr [esi + pvh.MEMMAP_ENTRY.addr + 4], 0
    jnz .insert
    cmp dword ptr [esi + pvh.MEMMAP_ENTRY.type], e820.Type.NVS
    jnz .insert
    mov dword ptr [esi + pvh.MEMMAP_ENTRY.addr], eax
    add dword ptr [esi + pvh.MEMMAP_ENTRY.size], ecx
    jmp .done
.insert:
    # the NVS, and what is left of the RAM above it
    push ebp
    push edx
    mov ebx, edx
    xor edx, edx
    xor ecx, ecx
    mov ebp, e820.Type.NVS
    call memmap_insert
    # EAX: where the NVS ends, EBX: where the RAM did
    pop eax
    pop ebx
    cmp eax, ebx
    jz .done
    mov ebp, e820.Type.RAM
    xor ecx, ecx
    call memmap_insert
.done:
    pop eax
    ret
