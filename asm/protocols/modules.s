# Modules beyond the initrd: files of fw_cfg that the user numbers from 1 on, for kernels that
# take several. QEMU's own loader can only give one.

#: make a list of the initrd and of the files opt/fwbuild/module/1, 2, ... up to the first
#: number that is missing; each file gets RAM of its own. Its command line is the file
#: opt/fwbuild/module/1/cmdline, if there is one
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.high_top, ram.work.kernel_start, ram.work.kernel_span, ram.work.module_name,
#:   ram.work.texts_size, ram.pvh_area.start_info.nr_modules, ram.pvh_area.empty_string,
#:   ram.pvh_area.modules
#: writes: ram.work.high_top, ram.work.module_name, ram.work.texts_size,
#:   ram.pvh_area.start_info.nr_modules, ram.pvh_area.start_info.modlist_paddr,
#:   ram.pvh_area.modules, region.texts
#: source: QEMU docs/specs/fw_cfg.rst "Externally Provided Items"; Xen docs/misc/pvh.pandoc
modules_load:
    # the name in RAM, where it can be changed: its digit, and whether it ends behind that
    mov esi, name_module
    mov edi, ram.work.module_name
    mov ecx, work.MODULE_NAME_SIZE // 4
    rep movsd
    # EBX: the entry to fill in, after the initrd's, if there is one
    imul ebx, dword ptr [ram.pvh_area.start_info.nr_modules], pvh.MODLIST_ENTRY.sizeof
    add ebx, ram.pvh_area.modules
.next:
    mov esi, ram.work.module_name
    and dword ptr [esi + file_names.MODULE_DIGIT + 1], 0
    call files_find
    jnc .found
    ret
.found:
    push eax                    # its control word,
    push ecx                    # and its bytes
    # a place for it, in one range of RAM
    xor edx, edx
    call high_find
    # the entry, a pvh.MODLIST_ENTRY: EAX is the address, ECX the size
    pop ecx
    push eax
    mov edi, ebx
    # as long as none is found, it has no command line of its own
    .module_entry
    pop edi
    pop eax
    call fw_cfg_transfer
    # its command line, behind those of other modules
    mov esi, ram.work.module_name
    mov dword ptr [esi + file_names.MODULE_DIGIT + 1], '/cmd'
    call files_find
    jc .counted
    mov edx, ecx                # the stop's detail
    mov edi, dword ptr [ram.work.texts_size]
    stc                         # and a zero
    adc ecx, edi
    jc .too_long
    cmp ecx, region.texts.size
    ja .too_long
    mov dword ptr [ram.work.texts_size], ecx
    add edi, region.texts.base
    mov byte ptr [edi + edx], 0
    mov dword ptr [ebx + pvh.MODLIST_ENTRY.cmdline_paddr], edi
    mov ecx, edx
    call fw_cfg_transfer
.counted:
    # one module more; then the next digit
    inc dword ptr [ram.pvh_area.start_info.nr_modules]
    mov dword ptr [ram.pvh_area.start_info.modlist_paddr], ram.pvh_area.modules
    add ebx, pvh.MODLIST_ENTRY.sizeof
    inc byte ptr [ram.work.module_name + file_names.MODULE_DIGIT]
    cmp byte ptr [ram.work.module_name + file_names.MODULE_DIGIT], '0' + file_names.MODULES_MAX
    jbe .next
    ret
.too_long:
    .stop stop_codes.CMDLINE_SIZE
