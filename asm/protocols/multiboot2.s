# A Multiboot 2 kernel, which the firmware loads itself: QEMU does not know the protocol. Its header
# is a list of tags, and so is the information that it gets.

.if option.protocols.multiboot2
#: take the file for a Multiboot 2 kernel if it has the header, find its segments, and move them
#: where the header wants
#: mode: 32
#: in: -
#: out: edx entry, eflags CF set if there is no header
#: clobbers: eax, ebx, ecx, esi, edi, ebp
#: reads: ram.work.high_top, ram.work.file_size, ram.work.segments_end,
#:   ram.work.item.kernel_entry, ram.work.kernel_start, ram.work.kernel_span,
#:   ram.pvh_area.modules, region.head, region.segments
#: writes: ram.work.high_top, ram.work.segments_end, ram.work.file_enter,
#:   ram.work.item.kernel_entry, ram.work.kernel_start, ram.work.kernel_span, ram.work.relocated,
#:   region.segments
#: source: Multiboot2 Specification 2.0, 3.1
multiboot2_file_read:
    mov edi, region.head.base - multiboot2.HEADER_ALIGN
.search:
    add edi, multiboot2.HEADER_ALIGN
    cmp edi, region.head.base + multiboot2.HEADER_SEARCH - multiboot2.HEADER.sizeof
    jbe .look
    stc
    ret
.look:
    mov eax, dword ptr [edi]
    cmp eax, multiboot2.HEADER_MAGIC
    jnz .search
    add eax, dword ptr [edi + multiboot2.HEADER.header_length]
    add eax, dword ptr [edi + multiboot2.HEADER.checksum]
    or eax, dword ptr [edi + multiboot2.HEADER.architecture]
    jnz .search
    mov dword ptr [ram.work.file_enter], multiboot2_enter
    # EDI: the header, ESI: a tag, EBX: that of addresses, EBP: that of a kernel that can be moved
    lea esi, [edi + multiboot2.HEADER.sizeof]
    xor ebx, ebx
    xor ebp, ebp
.tag:
    movzx edx, word ptr [esi + multiboot2.HEADER_TAG.type]  # the detail of a stop
    mov ecx, dword ptr [esi + multiboot2.HEADER_TAG.size]
    lea eax, [ecx - multiboot2.HEADER_TAG.sizeof]
    cmp eax, region.head.size - multiboot2.HEADER_TAG.sizeof
    jae .damaged
    # by its type
    mov eax, edx
    dec eax
    js .end
    jz .information
    dec eax
    jz .addresses
    cmp eax, multiboot2.HeaderTag.CONSOLE - multiboot2.HeaderTag.ADDRESSES
    ja .other
    # the entry and the console are of one size
    cmp ecx, multiboot2.ENTRY.sizeof
    jb .damaged
    dec eax
    jz .entry
    test byte ptr [esi + multiboot2.CONSOLE.console_flags], multiboot2.CONSOLE_REQUIRED
    jz .next
.refused:
    test byte ptr [esi + multiboot2.HEADER_TAG.flags], multiboot2.OPTIONAL
    jnz .next
    .stop stop_codes.KERNEL_WANTS
.other:
    # those between say nothing to this firmware
    cmp eax, multiboot2.HeaderTag.RELOCATABLE - multiboot2.HeaderTag.ADDRESSES
    jb .next
    ja .refused
    mov ebp, esi
.sized:
    # addresses are as many bytes
    cmp ecx, multiboot2.RELOCATABLE.sizeof
    jb .damaged
.next:
    # tags are aligned
    add esi, dword ptr [esi + multiboot2.HEADER_TAG.size]
    add esi, multiboot2.HEADER_ALIGN - 1
    and esi, -multiboot2.HEADER_ALIGN
    cmp esi, region.head.end
    jb .tag
.damaged:
    .stop stop_codes.KERNEL_ELF
.addresses:
    mov ebx, esi
    jmp .sized
.entry:
    mov eax, dword ptr [esi + multiboot2.ENTRY.entry_addr]
    mov dword ptr [ram.work.item.kernel_entry], eax
    jmp .next
.information:
    # The types of what it wants to know, from the last one on, have to be known. What the firmware
    # cannot tell is left out.
    sub ecx, 4
    cmp ecx, multiboot2.HEADER_TAG.sizeof
    jl .next
    mov edx, dword ptr [esi + ecx]
    cmp edx, multiboot2.InfoTag.LOAD_BASE
    jbe .information
    jmp .refused
.end:
    mov dword ptr [ram.work.relocated], ebp
    push ebp
    test ebx, ebx
    jz .by_elf
    lea esi, [ebx + multiboot2.ADDRESSES.header_addr]
    mov ebx, edi
    # the file's start: as far before the header as in the file
    cmp dword ptr [esi + 4], multiboot2.FROM_START
    jnz .given
    mov eax, dword ptr [esi]
    sub eax, ebx
    add eax, region.head.base
    mov dword ptr [esi + 4], eax
.given:
    call multiboot_segment
    xor edx, edx
    jmp .placed
.by_elf:
    call elf_entry
.placed:
    pop ebp
    # a tag's entry counts more than that of ELF
    mov eax, dword ptr [ram.work.item.kernel_entry]
    test eax, eax
    jz .entered
    xchg edx, eax
.entered:
    test ebp, ebp
    jnz multiboot2_move
    ret

#: move the segments as high or as low as the header wants
#: mode: 32
#: in: ebp the tag, edx entry
#: out: edx entry, eflags CF clear
#: clobbers: eax, ebx, ecx, esi, edi
#: reads: ram.work.high_top, ram.work.file_size, ram.work.segments_end, ram.work.kernel_start,
#:   ram.work.kernel_span, ram.pvh_area.modules, region.segments
#: writes: ram.work.high_top, ram.work.kernel_start, ram.work.kernel_span, region.segments
#: source: Multiboot2 Specification 2.0, 3.1.11
multiboot2_move:
    push edx
    call elf_span
    # ECX: its bytes. Where it is linked it does not lie yet
    xor ecx, ecx
    xchg dword ptr [ram.work.kernel_span], ecx
    mov edx, dword ptr [ebp + multiboot2.RELOCATABLE.align]
    cmp dword ptr [ebp + multiboot2.RELOCATABLE.preference], multiboot2.PREFER_HIGH
    jz .high
    # EAX: the lowest place
    mov eax, dword ptr [ebp + multiboot2.RELOCATABLE.min_addr]
    cmp eax, e820.EXTENDED
    jae .align
    mov eax, e820.EXTENDED
.align:
    lea eax, [eax + edx - 1]
    neg edx
    and eax, edx
    jmp .found
.high:
    # The limit is the kernel's alone: modules and tables may lie above it. ESI keeps the end of RAM
    mov esi, dword ptr [ram.work.high_top]
    mov eax, dword ptr [ebp + multiboot2.RELOCATABLE.max_addr]
    cmp eax, esi
    jae .find
    mov dword ptr [ram.work.high_top], eax
.find:
    call high_find
    mov dword ptr [ram.work.high_top], esi
.found:
    mov edx, eax                # a stop's detail
    cmp eax, dword ptr [ebp + multiboot2.RELOCATABLE.min_addr]
    jb .nowhere
    add ecx, eax
    jc .nowhere
    cmp ecx, dword ptr [ebp + multiboot2.RELOCATABLE.max_addr]
    ja .nowhere
    # EAX: how far
    sub eax, dword ptr [ram.work.kernel_start]
    pop edx
    add edx, eax
    mov ebx, region.segments.base
.next:
    add dword ptr [ebx + work.SEGMENT.paddr], eax
    call elf_next
    jb .next
    # CF is clear
    ret
.nowhere:
    .stop stop_codes.KERNEL_RANGE

#: make the information, and enter the kernel that lies in its place
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.high_top, ram.work.memmap_end, ram.work.kernel_start, ram.work.kernel_span,
#:   ram.work.smbios, ram.work.relocated, ram.pvh_area.start_info,
#:   ram.pvh_area.modules, region.memmap, region.cmdline, region.head
#: writes: ram.work.high_top, ram.pvh_area.start_info.nr_modules,
#:   ram.pvh_area.start_info.modlist_paddr, ram.pvh_area.modules, ram.multiboot2_info,
#:   region.memmap
#: returns: never
#: source: Multiboot2 Specification 2.0, 3.3 and 3.6
multiboot2_enter:
    call modules_load
    call bios_install
    push eax                    # KiB from 1 MiB on
    # EBX is a tag, EDI its end so far. Its type and its size are 0 until they are filled in
    mov edi, ram.multiboot2_info
    xor eax, eax
    stosd
    stosd
    mov ebx, edi
    stosd
    stosd
    # texts: the command line, the firmware's name
    mov byte ptr [ebx], multiboot2.InfoTag.CMDLINE
    mov esi, region.cmdline.base
    call multiboot2_text
    mov byte ptr [ebx], multiboot2.InfoTag.BOOT_LOADER_NAME
    mov eax, work.LOADER_LOW
    stosd
    mov eax, work.LOADER_HIGH
    stosd
    call multiboot2_close
    # basic memory information: how much there is below and above 1 MiB
    mov byte ptr [ebx], multiboot2.InfoTag.MEMORY
    mov eax, layout.CONVENTIONAL_KIB
    stosd
    pop eax
    stosd
    call multiboot2_close
    # and the map, whose entries are those of PVH
    mov byte ptr [ebx], multiboot2.InfoTag.MMAP
    mov al, multiboot2.MMAP_ENTRY.sizeof
    stosd
    xor eax, eax
    stosd
    mov esi, region.memmap.base
    mov ecx, dword ptr [ram.work.memmap_end]
    sub ecx, esi
    call multiboot2_copy
    # ACPI: the RSDP of the old revision, 0, or of a new one
    mov esi, dword ptr [ram.pvh_area.start_info.rsdp_paddr]
    test esi, esi
    jz .acpi
    mov byte ptr [ebx], multiboot2.InfoTag.ACPI_OLD
    mov ecx, acpi.RSDP.sizeof
    cmp byte ptr [esi + acpi.RSDP.revision], 0
    jz .old
    inc byte ptr [ebx]
    mov cl, acpi.RSDP.sizeof + acpi.RSDP_XSDT.sizeof
.old:
    call multiboot2_copy
.acpi:
    # SMBIOS: the version, and the structures
    mov esi, dword ptr [ram.work.smbios]
    test esi, esi
    jz .smbios
    mov byte ptr [ebx], multiboot2.InfoTag.SMBIOS
    cmp dword ptr [esi], smbios.ANCHOR_30_DWORD
    jz .version3
    mov ax, word ptr [esi + smbios.ENTRY_21.major]
    movzx ecx, word ptr [esi + smbios.ENTRY_21.table_length]
    mov esi, dword ptr [esi + smbios.ENTRY_21.table_address]
    jmp .structures
.version3:
    mov ax, word ptr [esi + smbios.ENTRY_30.major]
    mov ecx, dword ptr [esi + smbios.ENTRY_30.table_max_size]
    mov esi, dword ptr [esi + smbios.ENTRY_30.table_address]
.structures:
    stosd
    xor eax, eax
    stosd
    call multiboot2_copy
.smbios:
    # where it lies, if the header let it be moved
    cmp dword ptr [ram.work.relocated], eax
    jz .fixed
    mov byte ptr [ebx], multiboot2.InfoTag.LOAD_BASE
    mov eax, dword ptr [ram.work.kernel_start]
    stosd
    call multiboot2_close
.fixed:
    call multiboot2_sections
    # EBP: an entry of PVH's list of modules
    mov ebp, ram.pvh_area.modules
    mov ecx, dword ptr [ram.pvh_area.start_info.nr_modules]
.module:
    dec ecx
    js .end
    push ecx
    mov byte ptr [ebx], multiboot2.InfoTag.MODULE
    mov eax, dword ptr [ebp + pvh.MODLIST_ENTRY.paddr]
    stosd
    add eax, dword ptr [ebp + pvh.MODLIST_ENTRY.size]
    stosd
    mov esi, dword ptr [ebp + pvh.MODLIST_ENTRY.cmdline_paddr]
    call multiboot2_text
    # the next one
    add ebp, pvh.MODLIST_ENTRY.sizeof
    pop ecx
    jmp .module
.end:
    # the tag at hand has the type of the end, 0, already
    mov byte ptr [ebx + multiboot2.TAG.size], multiboot2.TAG.sizeof
    mov ebx, ram.multiboot2_info
    sub edi, ebx
    mov dword ptr [ebx + multiboot2.INFO.total_size], edi
    # what the kernel finds: EAX, EBX, flat segments
    mov eax, multiboot2.LOADER_MAGIC
    jmp kernel_jump

#: make the tag of an ELF file's sections: their headers, as they are in the file
#: mode: 32
#: in: edi place, ebx tag
#: out: ebx the next tag, edi behind its type and its size (both are 0)
#: clobbers: eax, ecx, edx, esi, ebp, eflags
#: reads: region.head
#: source: System V ABI, chapter 4 "Sections"; GRUB include/multiboot2.h
multiboot2_sections:
    mov ebp, region.head.base
    cmp dword ptr [ebp], elf.MAGIC_DWORD
    jnz .none
    # ESI: their offset, EBP: from there on the fields of both classes lie alike
    mov esi, dword ptr [ebp + elf.EHDR.shoff]
    cmp byte ptr [ebp + elf.IDENT_CLASS], elf.CLASS_64
    jnz .narrow
    mov esi, dword ptr [ebp + elf.EHDR64.shoff]
    add ebp, elf.EHDR64.shnum - elf.EHDR.shnum
.narrow:
    movzx ecx, word ptr [ebp + elf.EHDR.shnum]
    movzx edx, word ptr [ebp + elf.EHDR.shentsize]
    mov eax, ecx
    imul ecx, edx
    jecxz .none
    # the tag: how many, how large each is, which has their names
    mov byte ptr [ebx], multiboot2.InfoTag.ELF_SECTIONS
    stosd
    xchg edx, eax
    stosd
    movzx eax, word ptr [ebp + elf.EHDR.shstrndx]
    stosd
    call multiboot2_room
    xchg esi, eax
    call kernel_file_copy
    add edi, ecx
    jmp multiboot2_close
.none:
    ret

#: copy a string to the end of a tag, its zero included, and close the tag
#: mode: 32
#: in: esi string, edi place, ebx tag
#: out: eax 0, ebx the next tag, edi behind its type and its size (both are 0)
#: clobbers: ecx, edx, esi, eflags
#: source: -
multiboot2_text:
    push edi
    mov edi, esi
    xor eax, eax
    or ecx, -1
    repne scasb
    not ecx
    pop edi
    jmp multiboot2_copy

#: copy bytes to the end of a tag, and close it
#: mode: 32
#: in: esi bytes, ecx how many, edi place, ebx tag
#: out: eax 0, ebx the next tag, edi behind its type and its size (both are 0)
#: clobbers: ecx, edx, esi, eflags
#: source: -
multiboot2_copy:
    call multiboot2_room
    rep movsb
    jmp multiboot2_close

#: stop unless there is room for bytes of a tag
#: mode: 32
#: in: ecx how many, edi place
#: out: -
#: clobbers: eax, edx, eflags
#: source: -
multiboot2_room:
    mov edx, ecx                # the stop's detail
    mov eax, layout.MULTIBOOT2_END
    # a tag's fixed fields may have passed the end already
    sub eax, edi
    jb .too_long
    sub eax, ecx
    jb .too_long
    ret
.too_long:
    .stop stop_codes.INFO_SIZE

#: fill in a tag's size, and begin the next tag
#: mode: 32
#: in: edi end, ebx tag
#: out: eax 0, ebx the next tag, edi behind its type and its size (both are 0)
#: clobbers: ecx, eflags
#: source: Multiboot2 Specification 2.0, 3.6.2
multiboot2_close:
    mov ecx, edi
    sub ecx, ebx
    mov dword ptr [ebx + multiboot2.TAG.size], ecx
    neg ecx
    and ecx, multiboot2.TAG_ALIGN - 1
    xor eax, eax
    rep stosb
    # the next tag
    mov ebx, edi
    stosd
    stosd
    ret
.endif
