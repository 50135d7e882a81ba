# Modules beyond the initrd: files of fw_cfg that the user numbers from 1 on, for kernels that
# take several. QEMU's own loader can only give one.

#: make a list of the initrd and of the files opt/fwbuild/module/1, 2, ... up to the first
#: number that is missing; each file gets RAM of its own
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.high_top, ram.work.memmap_end, ram.work.kernel_size, ram.work.kernel_addr,
#:   ram.work.module_name, ram.pvh_area.start_info.nr_modules, ram.pvh_area.empty_string,
#:   ram.pvh_area.modules, region.memmap
#: writes: ram.work.high_top, ram.work.module_name, ram.pvh_area.start_info.nr_modules,
#:   ram.pvh_area.start_info.modlist_paddr, ram.pvh_area.modules
#: source: QEMU docs/specs/fw_cfg.rst "Externally Provided Items"; Xen docs/misc/pvh.pandoc
modules_load:
    mov esi, name_module
    mov edi, ram.work.module_name
    mov ecx, work.MODULE_NAME_SIZE // 4
    rep movsd
    # behind the initrd, if there is one
    imul ebx, dword ptr [ram.pvh_area.start_info.nr_modules], pvh.MODLIST_ENTRY.sizeof
    add ebx, ram.pvh_area.modules
.next:
    mov esi, ram.work.module_name
    call files_find
    jc .done
    push eax
    push ecx
    xor edx, edx
    call high_find
    call memmap_covers
    jc .none
    mov edi, ebx
    stosd
    xchg edx, eax
    xor eax, eax
    stosd
    pop ecx
    xchg ecx, eax
    stosd
    xchg ecx, eax
    stosd
    mov dword ptr [edi], ram.pvh_area.empty_string
    mov dword ptr [edi + 4], eax
    mov dword ptr [edi + 8], eax
    mov dword ptr [edi + 12], eax
    pop eax
    mov edi, edx
    call fw_cfg_transfer
    inc dword ptr [ram.pvh_area.start_info.nr_modules]
    mov dword ptr [ram.pvh_area.start_info.modlist_paddr], ram.pvh_area.modules
    add ebx, pvh.MODLIST_ENTRY.sizeof
    inc byte ptr [ram.work.module_name + file_names.MODULE_DIGIT]
    cmp byte ptr [ram.work.module_name + file_names.MODULE_DIGIT], '9'
    jbe .next
.done:
    ret
.none:
    mov edx, ecx
    mov al, stop_codes.NO_ROOM
    jmp stop_with
