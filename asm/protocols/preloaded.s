# A guest that lies in RAM before the first instruction, for its RAM is a file. `fwbuild bake`
# makes the file; a record at a fixed place (firmware/preloaded.py) says what is where. The host
# could have written anything there, so each number is checked like all that the host says. Memory
# map, ACPI and devices are QEMU's, and come by fw_cfg as ever.
#
# A kernel changes itself while it runs: it is good for one start. Its record is marked as spent
# when it is entered, and after a reset the firmware stops.

#: take over what the record says of the kernel; kernel_check comes next
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, edx, eflags
#: reads: ram.record, ram.work.high_top
#: writes: ram.work.item.kernel_entry, ram.work.kernel_start, ram.work.kernel_span, ram.work.enter
#: source: fwbuild/firmware/preloaded.py
preloaded_read:
    # EDX is the detail of each stop
    mov edx, dword ptr [ram.record.magic]
    cmp edx, preloaded.SPENT
    .stop_if z, stop_codes.RECORD_SPENT
    cmp edx, preloaded.MAGIC
    .stop_if nz, stop_codes.NO_RECORD
    mov edx, dword ptr [ram.record.low_ram_end]
    cmp edx, dword ptr [ram.work.high_top]
    .stop_if nz, stop_codes.RECORD_MEMORY
    mov edx, dword ptr [ram.record.protocol]
    cmp edx, preloaded.Entry.PVH
    .stop_if nz, stop_codes.KERNEL_KIND
    mov dword ptr [ram.work.enter], preloaded_enter
    mov edx, dword ptr [ram.record.kernel_start]
    mov dword ptr [ram.work.kernel_start], edx
    mov eax, dword ptr [ram.record.kernel_size]
    mov dword ptr [ram.work.kernel_span], eax
    # kernel_check takes an entry of 0 for a bzImage's
    mov eax, dword ptr [ram.record.kernel_entry]
    mov dword ptr [ram.work.item.kernel_entry], eax
    test eax, eax
    .stop_if z, stop_codes.KERNEL_ENTRY
    ret

#: list the modules, and complete the command line; kernel_check has been
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.record, ram.work.memmap_end, ram.work.kernel_start, ram.work.kernel_span,
#:   ram.pvh_area.empty_string, region.memmap
#: writes: ram.work.kernel_span, ram.pvh_area.start_info.nr_modules,
#:   ram.pvh_area.start_info.modlist_paddr, ram.pvh_area.modules, region.cmdline
#: source: fwbuild/firmware/preloaded.py
preloaded_take:
    mov ecx, dword ptr [ram.record.nr_modules]
    mov edx, ecx                # the stop's detail
    test ecx, ecx
    jz preloaded_cmdline
    cmp ecx, work.MODULES_MAX
    .stop_if a, stop_codes.RECORD_MODULES
    mov dword ptr [ram.pvh_area.start_info.nr_modules], ecx
    mov dword ptr [ram.pvh_area.start_info.modlist_paddr], ram.pvh_area.modules
    # EBX: an entry of the record. EDI: where all that came before the module ends
    mov ebx, ram.record.modules
    mov edi, dword ptr [ram.work.kernel_start]
    add edi, dword ptr [ram.work.kernel_span]
.next:
    push ecx
    mov ecx, dword ptr [ebx + pvh.MODLIST_ENTRY.size]
    mov edx, dword ptr [ebx + pvh.MODLIST_ENTRY.paddr]
    cmp edx, edi
    .stop_if b, stop_codes.INITRD_OVERLAP
    mov eax, edx
    call memmap_covers
    .stop_if c, stop_codes.INITRD_RANGE
    # the entry that the kernel gets, as far from this one as the two lists are
    lea edi, [ebx + ram.pvh_area.modules - ram.record.modules]
    mov eax, edx
    .module_entry
    lea edi, [edx + ecx]
    # the next one
    add ebx, pvh.MODLIST_ENTRY.sizeof
    pop ecx
    dec ecx
    jnz .next
    # no table may lie in any of it
    sub edi, dword ptr [ram.work.kernel_start]
    mov dword ptr [ram.work.kernel_span], edi
    jmp preloaded_cmdline

#: end the command line that lies in RAM with zeros, after what the host adds to it
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, eflags
#: reads: ram.record.cmdline_size
#: writes: region.cmdline
#: source: -
preloaded_cmdline:
    # EBX: its bytes. EDX is the stop's detail
    mov ebx, dword ptr [ram.record.cmdline_size]
    mov edx, ebx
    cmp ebx, layout.CMDLINE_MAX
    ja .too_long
    mov esi, name_append
    call files_find
    jecxz .end
    # EDI: its place, after a blank if there is something before it. Neither sum wraps
    mov edx, ecx
    cmp ecx, layout.CMDLINE_MAX - 1
    ja .too_long
    mov edi, ebx
    cmp edi, 1
    sbb edi, -1
    add edx, edi
    cmp edx, layout.CMDLINE_MAX
    ja .too_long
    # it fits
    mov byte ptr [region.cmdline.base + ebx], ' '
    mov ebx, edx
    add edi, region.cmdline.base
    call fw_cfg_transfer
.end:
    mov dword ptr [region.cmdline.base + ebx], 0
    ret
.too_long:
    .stop stop_codes.CMDLINE_SIZE

#: enter the kernel by PVH, and let no other start find it
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, eflags
#: writes: ram.record.magic
#: returns: never
#: source: Xen docs/misc/pvh.pandoc
preloaded_enter:
    mov dword ptr [ram.record.magic], preloaded.SPENT
    jmp pvh_enter
