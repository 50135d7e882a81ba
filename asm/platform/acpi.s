# ACPI tables: the script of QEMU's table loader, done entry by entry. An ALLOCATE entry that is
# done holds where its file is (work.ALLOCATED); only entries above the current one are done.

#: read the script and do what it says; without a script there are no tables
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.script_last, ram.work.pointer, ram.work.high_top, ram.work.memmap_end,
#:   ram.work.kernel_start, ram.work.kernel_span, ram.work.script_end, ram.work.sums_left,
#:   ram.pvh_area.modules, region.memmap, region.script
#: writes: ram.work.script_last, ram.work.pointer, ram.work.high_top, ram.work.memmap_end,
#:   ram.work.script_end, ram.work.sums_left, ram.pvh_area.start_info.rsdp_paddr,
#:   region.memmap, region.script
#: source: QEMU hw/acpi/bios-linker-loader.c
acpi_load:
    mov esi, name_table_loader
    call files_find
    jc .done
    mov edx, ecx
    test ecx, acpi.LOADER_ENTRY_SIZE - 1
    jnz .size
    cmp ecx, region.script.size
    jae .size
    mov edi, region.script.base
    mov ebx, edi
    call fw_cfg_transfer
    # a command that nobody knows after the last entry: the loop ends there
    add ecx, edi
    or dword ptr [ecx], -1
    mov dword ptr [ram.work.script_end], ecx
    jmp .entry
.checksum:
    call acpi_add_checksum
.next:
    add ebx, acpi.LOADER_ENTRY_SIZE
.entry:
    # the most frequent first
    cmp dword ptr [ebx], acpi.Command.PADDING
    jz .next
    cmp dword ptr [ebx], acpi.Command.ADD_CHECKSUM
    jz .checksum
    cmp dword ptr [ebx], acpi.Command.ADD_POINTER
    jz .pointer
    cmp dword ptr [ebx], acpi.Command.ALLOCATE
    jz .allocate
    cmp dword ptr [ebx], acpi.Command.WRITE_POINTER
    jz .write
    # no command that is known: is it the one at the end?
    cmp ebx, dword ptr [ram.work.script_end]
    jnz acpi_bad
    ret
.pointer:
    call acpi_add_pointer
    jmp .next
.allocate:
    call acpi_allocate
    jmp .next
.write:
    call acpi_write_pointer
    jmp .next
.done:
    ret
.size:
    mov al, stop_codes.ACPI_SCRIPT_SIZE
    jmp stop_with

#: ALLOCATE: read a file to where it is to stay. Each file has one such entry
#: mode: 32
#: in: ebx entry
#: out: -
#: clobbers: eax, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.high_top, ram.work.memmap_end, ram.work.kernel_start, ram.work.kernel_span,
#:   ram.pvh_area.modules, region.memmap, region.script
#: writes: ram.work.high_top, ram.work.memmap_end, ram.pvh_area.start_info.rsdp_paddr,
#:   region.memmap, region.script
#: source: QEMU hw/acpi/bios-linker-loader.c; ACPI 6.5, 5.2.5
acpi_allocate:
    lea esi, [ebx + acpi.ALLOCATE.file]
    call files_find
    jc acpi_bad
    # noted in the entry; EBP: the control word, by which two entries of one file are told
    mov ebp, eax
    mov dword ptr [ebx + work.ALLOCATED.control], eax
    mov dword ptr [ebx + work.ALLOCATED.size], ecx
    mov edx, region.script.base - acpi.LOADER_ENTRY_SIZE
.earlier:
    add edx, acpi.LOADER_ENTRY_SIZE
    cmp edx, ebx
    jae .first
    cmp dword ptr [edx + work.ALLOCATED.control], eax
    jnz .earlier
    cmp dword ptr [edx], acpi.Command.ALLOCATE
    jnz .earlier
    jmp acpi_bad
.first:
    # EDX: the alignment, a power of two
    mov edx, dword ptr [ebx + acpi.ALLOCATE.align]
    lea eax, [edx - 1]
    test eax, edx
    jnz acpi_bad
    test edx, edx
    jz acpi_bad
    # ECX is still the size
    mov al, byte ptr [ebx + acpi.ALLOCATE.zone]
    cmp al, acpi.Zone.HIGH
    jz .high
    cmp al, acpi.Zone.F_SEGMENT
    jnz acpi_bad
    call f_segment_alloc
    jc acpi_bad
    jmp .read
.high:
    call high_alloc
.read:
    mov dword ptr [ebx + work.ALLOCATED.address], eax
    mov edi, eax
    mov eax, ebp
    mov ecx, dword ptr [ebx + work.ALLOCATED.size]
    call fw_cfg_transfer
    # The signature tells which file is the RSDP.
    cmp dword ptr [edi], acpi.RSDP_SIGNATURE_LOW
    jnz .done
    cmp dword ptr [edi + 4], acpi.RSDP_SIGNATURE_HIGH
    jnz .done
    mov dword ptr [ram.pvh_area.start_info.rsdp_paddr], edi
.done:
    ret

#: ADD_POINTER: a pointer that counts from the start of a file gets the file's address added
#: mode: 32
#: in: ebx entry
#: out: -
#: clobbers: eax, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.script_last, region.script
#: writes: ram.work.script_last
#: source: QEMU hw/acpi/bios-linker-loader.c
acpi_add_pointer:
    # on the stack: the ALLOCATE entry of the file that is pointed to
    lea esi, [ebx + acpi.ADD_POINTER.source]
    call acpi_find
    push ebp
    # EBP: that of the file with the pointer in it, which must hold all of it
    lea esi, [ebx + acpi.ADD_POINTER.dest]
    call acpi_find
    movzx ecx, byte ptr [ebx + acpi.ADD_POINTER.size]
    mov eax, dword ptr [ebx + acpi.ADD_POINTER.offset]
    mov edx, dword ptr [ebp + work.ALLOCATED.size]
    sub edx, eax
    jb acpi_bad
    cmp edx, ecx
    jb acpi_bad
    # EAX: the pointer in memory. EBP: the entry of the file that is pointed to, from here on
    add eax, dword ptr [ebp + work.ALLOCATED.address]
    pop ebp
    # One or two bytes would not hold an address.
    cmp cl, 4
    jz .add
    cmp cl, 8
    jnz acpi_bad
    cmp dword ptr [eax + 4], 0
    jnz acpi_bad
.add:
    # it is an offset in that file up to now
    mov edx, dword ptr [eax]
    cmp edx, dword ptr [ebp + work.ALLOCATED.size]
    jae acpi_bad
    add edx, dword ptr [ebp + work.ALLOCATED.address]
    mov dword ptr [eax], edx
    ret

#: ADD_CHECKSUM: a byte is made such that the range that it is in adds up to 0
#: mode: 32
#: in: ebx entry
#: out: -
#: clobbers: eax, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.script_last, ram.work.sums_left, region.script
#: writes: ram.work.script_last, ram.work.sums_left
#: source: QEMU hw/acpi/bios-linker-loader.c
acpi_add_checksum:
    lea esi, [ebx + acpi.ADD_CHECKSUM.file]
    call acpi_find
    # the byte lies in the range, the range in the file
    mov eax, dword ptr [ebx + acpi.ADD_CHECKSUM.start]
    mov ecx, dword ptr [ebx + acpi.ADD_CHECKSUM.length]
    mov edi, dword ptr [ebx + acpi.ADD_CHECKSUM.offset]
    sub edi, eax
    cmp edi, ecx
    jae acpi_bad
    # EDX: bytes of the file from the range's start on
    mov edx, dword ptr [ebp + work.ALLOCATED.size]
    sub edx, eax
    jb acpi_bad
    cmp edx, ecx
    jb acpi_bad
    add eax, dword ptr [ebp + work.ALLOCATED.address]
    mov esi, eax
    add edi, eax
    # the host's script alone would bound the adding up
    sub dword ptr [ram.work.sums_left], ecx
    jb acpi_bad
    jmp checksum_set

#: stop at an entry that cannot be done; it stands in the middle of all that jump here
#: mode: 32
#: in: ebx entry
#: out: -
#: clobbers: eax, edx, eflags
#: reads: region.script
#: returns: never
#: source: -
acpi_bad:
    mov edx, ebx
    sub edx, region.script.base
    mov al, stop_codes.ACPI_SCRIPT
    jmp stop_with

#: WRITE_POINTER: tell the host where a file is; this takes DMA, without it the host is not told
#: mode: 32
#: in: ebx entry
#: out: -
#: clobbers: eax, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.script_last, ram.work.pointer, region.script
#: writes: ram.work.script_last, ram.work.pointer
#: source: QEMU hw/acpi/bios-linker-loader.c, docs/specs/fw_cfg.rst
acpi_write_pointer:
    lea esi, [ebx + acpi.WRITE_POINTER.source]
    call acpi_find
    # what the host is told: an address in that file
    mov edi, dword ptr [ebx + acpi.WRITE_POINTER.source_offset]
    cmp edi, dword ptr [ebp + work.ALLOCATED.size]
    jae acpi_bad
    add edi, dword ptr [ebp + work.ALLOCATED.address]
    mov dword ptr [ram.work.pointer], edi
    lea esi, [ebx + acpi.WRITE_POINTER.dest]
    call files_find
    jc acpi_bad
    # EAX: the control word of the file that is written, ECX: its bytes, EDX: the pointer's
    movzx edx, byte ptr [ebx + acpi.WRITE_POINTER.size]
    cmp edx, 4
    jz .fits
    cmp edx, 8
    jnz acpi_bad
.fits:
    # skip to the offset, which with the size must lie inside the file
    xchg ecx, edx
    sub edx, ecx
    jb acpi_bad
    cmp edx, dword ptr [ebx + acpi.WRITE_POINTER.dest_offset]
    jb acpi_bad
    # first a transfer that skips what comes before, then the pointer
    push ecx
    mov ecx, dword ptr [ebx + acpi.WRITE_POINTER.dest_offset]
    xor eax, be32(fw_cfg.DmaControl.READ | fw_cfg.DmaControl.SKIP)
    call fw_cfg_transfer
    pop ecx
    mov edi, ram.work.pointer
    mov eax, be32(fw_cfg.DmaControl.WRITE)
    jmp fw_cfg_transfer

#: the ALLOCATE entry of a file that is in memory
#: mode: 32
#: in: esi name, ebx current entry
#: out: ebp entry
#: clobbers: ecx, edx, esi, edi, eflags
#: reads: ram.work.script_last, region.script
#: writes: ram.work.script_last
#: source: QEMU hw/acpi/bios-linker-loader.c
acpi_find:
    # Only a name that ends within these bytes gets to be the last one.
    mov ebp, dword ptr [ram.work.script_last]
    lea edi, [ebp + acpi.ALLOCATE.file]
    mov ecx, work.NAME_SIZE_MIN // 4
    repe cmpsd
    jz .done
    # the name again, where ESI was
    lea edx, [esi + ecx * 4 - work.NAME_SIZE_MIN]
    mov ebp, region.script.base - acpi.LOADER_ENTRY_SIZE
.next:
    add ebp, acpi.LOADER_ENTRY_SIZE
    cmp ebp, ebx
    jae acpi_bad
    cmp dword ptr [ebp], acpi.Command.ALLOCATE
    jnz .next
    mov esi, edx
    lea edi, [ebp + acpi.ALLOCATE.file]
    call name_equal
    jnz .next
    cmp byte ptr [ebp + acpi.ALLOCATE.file + work.NAME_SIZE_MIN - 1], 0
    jnz .done
    mov dword ptr [ram.work.script_last], ebp
.done:
    ret
