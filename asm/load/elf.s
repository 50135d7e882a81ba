# ELF files of both classes, as the firmware loads them: their program headers in one form
# (work.SEGMENT), their span, their notes.

.if option.kernel_file
#: read the program headers, which have to lie in the file's head
#: mode: 32
#: in: -
#: out: ebx region.head.base
#: clobbers: eax, ecx, edx, esi, edi, eflags
#: reads: region.head
#: writes: ram.work.segments_end, region.segments
#: source: System V ABI, chapters 4 and 5
elf_read:
    mov ebx, region.head.base
    mov edx, dword ptr [ebx]    # the detail of a stop: how the file starts
    cmp edx, elf.MAGIC_DWORD
    jnz .not_known
    movzx edx, word ptr [ebx + elf.EHDR.machine]
    cmp edx, elf.EM_386
    jz .machine
    cmp edx, elf.EM_X86_64
    jnz .not_known
.machine:
    mov edi, region.segments.base
    # class, byte order and version make a number; what follows is the ABI's
    mov edx, dword ptr [ebx + elf.IDENT_CLASS]
    and edx, elf.IDENT_MASK
    cmp edx, elf.IDENT_64
    jz .wide
    cmp edx, elf.IDENT_32
    jnz .not_known
    movzx edx, word ptr [ebx + elf.EHDR.phnum]
    mov esi, dword ptr [ebx + elf.EHDR.phoff]
    call elf_table
    cmp word ptr [ebx + elf.EHDR.phentsize], elf.PHDR.sizeof
    jnz .damaged
.narrow:
    mov ecx, 1 + work.SEGMENT_FIELDS
    rep movsd
    lodsd                       # flags and alignment
    lodsd
    mov ecx, work.SEGMENT_FIELDS
    xor eax, eax
    rep stosd
    dec edx
    jnz .narrow
    jmp .done
.damaged:
    .stop stop_codes.KERNEL_ELF
.not_known:
    .stop stop_codes.KERNEL_FILE
.wide:
    movzx edx, word ptr [ebx + elf.EHDR64.phnum]
    mov esi, dword ptr [ebx + elf.EHDR64.phoff]
    or esi, dword ptr [ebx + elf.EHDR64.phoff + 4]
    call elf_table
    cmp word ptr [ebx + elf.EHDR64.phentsize], elf.PHDR64.sizeof
    jnz .damaged
.wide_header:
    movsd
    lodsd                       # flags
    mov ecx, work.SEGMENT_FIELDS
.field:
    # the lower half to its place, the upper one to the same place among the upper ones
    movsd
    lodsd
    mov dword ptr [edi + (work.SEGMENT_FIELDS - 1) * 4], eax
    dec ecx
    jnz .field
    add edi, work.SEGMENT_FIELDS * 4
    lodsd                       # alignment
    lodsd
    dec edx
    jnz .wide_header
.done:
    mov dword ptr [ram.work.segments_end], edi
    ret

#: stop unless there are program headers, and all of them in the head
#: mode: 32
#: in: edx how many, esi their offset in the file
#: out: esi their address
#: clobbers: eax, eflags
#: reads: region.head
#: source: System V ABI, chapter 5 "Program Header"
elf_table:
    lea eax, [edx - 1]
    cmp eax, work.SEGMENTS_MAX
    jae .damaged
    cmp esi, region.head.size - work.SEGMENTS_MAX * elf.PHDR64.sizeof
    ja .damaged
    add esi, region.head.base
    ret
.damaged:
    .stop stop_codes.KERNEL_ELF

#: go on to the next segment
#: mode: 32
#: in: ebx segment
#: out: ebx the next one, eflags CF clear behind the last
#: clobbers: -
#: reads: ram.work.segments_end
#: source: -
elf_next:
    add ebx, work.SEGMENT.sizeof
    cmp ebx, dword ptr [ram.work.segments_end]
    ret

.if option.protocols.multiboot | option.protocols.multiboot2
#: read the program headers, and find the physical address of the file's entry in the segment whose
#: virtual addresses have it
#: mode: 32
#: in: -
#: out: edx entry (-1 if no segment has it: no kernel reaches there), eflags CF clear
#: clobbers: eax, ebx, ecx, esi, edi
#: reads: ram.work.segments_end, region.head, region.segments
#: writes: ram.work.segments_end, region.segments
#: source: GRUB grub-core/loader/multiboot_elfxx.c
elf_entry:
    call elf_read
    # EDI:ESI: the entry; it stands at the same place in both classes
    mov esi, dword ptr [ebx + elf.EHDR64.entry]
    xor edi, edi
    cmp byte ptr [ebx + elf.IDENT_CLASS], elf.CLASS_64
    jnz .narrow
    mov edi, dword ptr [ebx + elf.EHDR64.entry + 4]
.narrow:
    mov ebx, region.segments.base
.next:
    cmp dword ptr [ebx + work.SEGMENT.type], elf.PT_LOAD
    jnz .skip
    mov edx, esi
    mov eax, edi
    sub edx, dword ptr [ebx + work.SEGMENT.vaddr]
    sbb eax, dword ptr [ebx + work.SEGMENT.vaddr_high]
    jnz .skip
    cmp edx, dword ptr [ebx + work.SEGMENT.memsz]
    jae .skip
    add edx, dword ptr [ebx + work.SEGMENT.paddr]
    clc
    ret
.skip:
    call elf_next
    jb .next
    or edx, -1
    ret
.endif

#: check each segment that is loaded against the file's size, and set kernel_start and kernel_span
#: to what they take together. One without a byte of memory no longer counts as a segment
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, eflags
#: reads: ram.work.file_size, ram.work.segments_end, region.segments
#: writes: ram.work.kernel_start, ram.work.kernel_span, region.segments
#: source: System V ABI, chapter 5 "Program Header"
elf_span:
    mov ebx, region.segments.base
    # ESI: the lowest address, EDI: the highest end
    mov esi, -1
    xor edi, edi
.next:
    cmp dword ptr [ebx + work.SEGMENT.type], elf.PT_LOAD
    jnz .skip
    mov edx, dword ptr [ebx + work.SEGMENT.paddr]  # the stop's detail
    mov ecx, dword ptr [ebx + work.SEGMENT.memsz]
    mov eax, dword ptr [ebx + work.SEGMENT.memsz_high]
    or eax, ecx
    jnz .loaded
    mov dword ptr [ebx + work.SEGMENT.type], eax
    jmp .skip
.loaded:
    call elf_in_file
    mov eax, dword ptr [ebx + work.SEGMENT.memsz_high]
    or eax, dword ptr [ebx + work.SEGMENT.paddr_high]
    jnz .damaged
    cmp dword ptr [ebx + work.SEGMENT.filesz], ecx
    ja .damaged
    add ecx, edx
    jc .damaged
    cmp edx, esi
    jae .not_lowest
    mov esi, edx
.not_lowest:
    cmp ecx, edi
    jbe .skip
    mov edi, ecx
.skip:
    call elf_next
    jb .next
    mov dword ptr [ram.work.kernel_start], esi
    sub edi, esi
    mov dword ptr [ram.work.kernel_span], edi
    mov edx, esi
    cmp esi, -1
    jz .damaged
    ret
.damaged:
    .stop stop_codes.KERNEL_ELF

#: stop unless a segment's bytes lie in the file
#: mode: 32
#: in: ebx segment, edx detail of the stop
#: out: -
#: clobbers: eax, eflags
#: reads: ram.work.file_size
#: source: System V ABI, chapter 5 "Program Header"
elf_in_file:
    mov eax, dword ptr [ebx + work.SEGMENT.offset_high]
    or eax, dword ptr [ebx + work.SEGMENT.filesz_high]
    jnz .damaged
    mov eax, dword ptr [ebx + work.SEGMENT.offset]
    add eax, dword ptr [ebx + work.SEGMENT.filesz]
    jc .damaged
    cmp dword ptr [ram.work.file_size], eax
    jb .damaged
    ret
.damaged:
    .stop stop_codes.KERNEL_ELF

.if option.protocols.pvh
#: find the entry in the first PVH note. Its name does not matter, as it does not to QEMU. A
#: segment's notes are aligned to 4 bytes whatever the segment's own alignment is
#: mode: 32
#: in: -
#: out: edx entry, eflags CF set if there is none
#: clobbers: eax, ebx, ecx, esi, edi, ebp
#: reads: ram.work.file_size, ram.work.segments_end, region.segments, region.notes
#: writes: region.notes
#: source: Xen docs/misc/pvh.pandoc; System V ABI, chapter 5 "Note Section"
elf_pvh_entry:
    mov ebx, region.segments.base
.segment:
    cmp dword ptr [ebx + work.SEGMENT.type], elf.PT_NOTE
    jnz .skip
    mov edx, dword ptr [ebx + work.SEGMENT.offset]  # the stop's detail
    call elf_in_file
    mov ecx, dword ptr [ebx + work.SEGMENT.filesz]
    cmp ecx, region.notes.size
    jbe .short
    mov ecx, region.notes.size
.short:
    mov eax, edx
    mov edi, region.notes.base
    call kernel_file_copy
    # ESI: the note, ECX: bytes from there to the end
    mov esi, edi
.note:
    sub ecx, elf.NHDR.sizeof
    jb .skip
    # EDI: its name's room, EBP: its descriptor's bytes, EAX: their room
    mov eax, dword ptr [esi + elf.NHDR.namesz]
    call elf_note_part
    jb .skip
    mov edi, eax
    mov eax, dword ptr [esi + elf.NHDR.descsz]
    mov ebp, eax
    call elf_note_part
    jb .skip
    # then ESI is the descriptor, and after it the next note
    cmp dword ptr [esi + elf.NHDR.type], pvh.ELF_NOTE_PHYS32_ENTRY
    lea esi, [esi + edi + elf.NHDR.sizeof]
    jz .found
    add esi, eax
    jmp .note
.found:
    cmp ebp, 4
    jb .skip
    # CF is clear
    mov edx, dword ptr [esi]
    ret
.skip:
    call elf_next
    jb .segment
    stc
    ret

#: the room of a note's name or descriptor, taken from what is left
#: mode: 32
#: in: eax bytes, ecx bytes that are left
#: out: eax bytes in whole units, ecx bytes that are left after it, eflags CF set if it does not fit
#: clobbers: -
#: source: System V ABI, chapter 5 "Note Section"
elf_note_part:
    cmp ecx, eax
    jb .done
    add eax, elf.NOTE_ALIGN - 1
    and eax, -elf.NOTE_ALIGN
    # the padding of the last one may be missing
    sub ecx, eax
    jae .done
    xor ecx, ecx
.done:
    ret
.endif
.endif
