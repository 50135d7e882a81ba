# Memory for tables that stay: at the top of RAM below 4 GiB, and in the F segment.

#: take RAM for good, in whole pages: as high as it can be, below 4 GiB, clear of kernel and
#: initrd, handed over as ACPI NVS
#: mode: 32
#: in: ecx bytes, edx alignment (a power of two)
#: out: eax address
#: clobbers: ecx, edx, eflags
#: reads: ram.work.high_top, ram.work.memmap_end, ram.work.kernel_start, ram.work.kernel_span,
#:   ram.pvh_area.modules, region.memmap
#: writes: ram.work.high_top, ram.work.memmap_end, region.memmap
#: source: ACPI 6.5, 15
high_alloc:
    call high_find
    push ebx
    push esi
    push edi
    push ebp
    call memmap_take
    pop ebp
    pop edi
    pop esi
    pop ebx
    ret

#: find room for whole pages: as high as it can be, below 4 GiB and what was found before, clear
#: of kernel and initrd
#: mode: 32
#: in: ecx bytes, edx alignment (a power of two)
#: out: eax address, ecx bytes in whole pages
#: clobbers: edx, eflags
#: reads: ram.work.high_top, ram.work.kernel_start, ram.work.kernel_span, ram.pvh_area.modules
#: writes: ram.work.high_top
#: source: -
high_find:
    push ebx
    push esi
    push edi
    # No bytes take a page too: the memory map has no empty ranges.
    cmp ecx, 1
    adc ecx, x86.PAGE - 1
    jc .wraps
    and ecx, -x86.PAGE
    cmp edx, x86.PAGE
    jae .aligned
    mov edx, x86.PAGE
.aligned:
    # EDX: the mask of the alignment. EBX: an end that is free, which goes down to the start of
    # what is in the way
    neg edx
    mov ebx, dword ptr [ram.work.high_top]
.lower:
    mov eax, ebx
    sub eax, ecx
    jb .none
    and eax, edx
    cmp eax, e820.EXTENDED
    jbe .none
    # the initrd and the kernel must not be there
    mov ebx, dword ptr [ram.pvh_area.modules.paddr]
    mov edi, dword ptr [ram.pvh_area.modules.size]
    call ranges_overlap
    jb .lower
    mov ebx, dword ptr [ram.work.kernel_start]
    mov edi, dword ptr [ram.work.kernel_span]
    call ranges_overlap
    jb .lower
    # what is found next lies below
    mov dword ptr [ram.work.high_top], eax
    pop edi
    pop esi
    pop ebx
    ret
.wraps:
    sub ecx, x86.PAGE - 1
.none:
    mov edx, ecx
    mov al, stop_codes.NO_ROOM
    jmp stop_with

#: set CF if [eax, eax + ecx) and [ebx, ebx + edi) have a byte in common
#: mode: 32
#: in: eax address, ecx bytes, ebx address, edi bytes
#: out: eflags CF
#: clobbers: edi, esi
#: source: -
ranges_overlap:
    # a < b + its size and b < a + its size; neither end wraps past 4 GiB
    add edi, ebx
    cmp eax, edi
    jae .done
    lea esi, [eax + ecx]
    cmp ebx, esi
.done:
    ret

#: take bytes of the F segment
#: mode: 32
#: in: ecx bytes, edx alignment (a power of two)
#: out: eax address, eflags CF set if they do not fit
#: clobbers: edx
#: reads: ram.work.f_segment_next
#: writes: ram.work.f_segment_next
#: source: -
f_segment_alloc:
    mov eax, dword ptr [ram.work.f_segment_next]
    add eax, edx
    dec eax
    neg edx
    and eax, edx
    mov edx, region.f_segment.end
    sub edx, eax
    jb .done
    cmp edx, ecx
    jb .done
    lea edx, [eax + ecx]
    mov dword ptr [ram.work.f_segment_next], edx
.done:
    ret
