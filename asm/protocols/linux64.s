# A 64-bit vmlinux without a PVH note, by Linux's 64-bit boot protocol, as Firecracker enters it: in
# long mode at the entry of its ELF header. The file has no setup header, so one is made.

.if option.protocols.linux64
#: take the ELF file for a vmlinux if it is a 64-bit one, and the CPU has long mode
#: mode: 32
#: in: -
#: out: edx entry (0 if it lies above 4 GiB), eflags CF set if it is none
#: clobbers: eax, ebx, ecx
#: reads: region.head
#: writes: ram.work.file_enter
#: source: Linux Documentation/arch/x86/boot.rst "64-bit Boot Protocol"
linux64_file_read:
    mov dword ptr [ram.work.file_enter], linux64_enter
    # CF tells: there is no class above
    cmp byte ptr [region.head.base + elf.IDENT_CLASS], elf.CLASS_64
    jb .done
    mov eax, x86.CPUID_EXTENDED_FEATURES
    cpuid
    bt edx, x86.CPUID_EXTENDED_FEATURES_EDX_LM_BIT
    cmc
    jc .done
    mov edx, dword ptr [region.head.base + elf.EHDR64.entry]
    cmp dword ptr [region.head.base + elf.EHDR64.entry + 4], 0
    jz .done
    xor edx, edx
.done:
    ret

#: make boot_params, and enter the kernel that lies in its place: ESI at boot_params, long mode with
#: the low 4 GiB mapped to themselves, flat segments at the selectors that the protocol asks for
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, cr0, cr3, cr4, eflags
#: reads: ram.work.high_top, ram.work.memmap_end, ram.work.item.kernel_entry,
#:   ram.work.kernel_start, ram.work.kernel_span, ram.boot_params, ram.pvh_area.start_info,
#:   ram.pvh_area.gdt, ram.pvh_area.modules, region.memmap, region.cmdline, region.pages
#: writes: ram.work.high_top, ram.boot_params, ram.pvh_area.start_info.nr_modules,
#:   ram.pvh_area.start_info.modlist_paddr, ram.pvh_area.gdt, ram.pvh_area.modules, region.pages
#: returns: never
#: source: Linux Documentation/arch/x86/boot.rst "64-bit Boot Protocol"
linux64_enter:
    call modules_load
    mov edi, ram.boot_params
    mov ecx, linux_boot.BOOT_PARAMS.sizeof // 4
    xor eax, eax
    rep stosd
    # the header: what any of it has, and what a loader says
    mov ebx, ram.boot_params.hdr
    mov word ptr [ebx + ram.boot_params.hdr.boot_flag - ram.boot_params.hdr], linux_boot.BOOT_FLAG
    mov dword ptr [ebx + ram.boot_params.hdr.header - ram.boot_params.hdr], 'HdrS'
    mov word ptr [ebx + ram.boot_params.hdr.version - ram.boot_params.hdr], linux_boot.PROTOCOL_MODERN
    mov word ptr [ebx + ram.boot_params.hdr.type_of_loader - ram.boot_params.hdr], linux_boot.LoadFlag.LOADED_HIGH << 8 | linux_boot.TYPE_OF_LOADER
    call linux_pointers
    call linux_tables
    call linux64_pages
    # a GDT whose code segment is a 64-bit one
    mov byte ptr [ram.pvh_area.gdt + x86.SELECTOR_CODE + 6], (x86.FLAGS_4K | x86.FLAGS_64) << 4 | 15
    .att lgdtl {ram_gdtr}
    .att lidtl {real_mode_idtr}
    # long mode
    mov eax, region.pages.base
    mov cr3, eax
    mov eax, x86.Cr4.PAE
    mov cr4, eax
    mov ecx, x86.Msr.EFER
    xor edx, edx
    mov eax, x86.Efer.LME
    wrmsr
    mov eax, x86.Cr0.PG | x86.Cr0.PE
    mov cr0, eax
    # to the 64-bit segment, and the kernel
    push x86.SELECTOR_CODE
    push dword ptr [ram.work.item.kernel_entry]
    retf

#: page tables that map the low 4 GiB to themselves, by pages of 2 MiB
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ecx, edi, eflags
#: writes: region.pages
#: source: Intel SDM volume 3A, 4.5
linux64_pages:
    mov edi, region.pages.base
    mov ecx, region.pages.size // 4
    xor eax, eax
    rep stosd
    # the directories, from the last page down; ECX counts them
    mov eax, -x86.PAGE_2M | x86.PageFlag.PRESENT | x86.PageFlag.WRITABLE | x86.PageFlag.LARGE
    mov ch, (layout.PAGE_DIRECTORIES * x86.PAGE_ENTRIES) >> 8
.page:
    mov dword ptr [region.pages.base + 2 * x86.PAGE - 8 + ecx * 8], eax
    sub eax, x86.PAGE_2M
    loop .page
    # the table of the directories, from the last one down; then EAX is the entry of that table
    mov eax, region.pages.end - x86.PAGE | x86.PageFlag.PRESENT | x86.PageFlag.WRITABLE
    mov cl, layout.PAGE_DIRECTORIES
.directory:
    mov dword ptr [region.pages.base + x86.PAGE - 8 + ecx * 8], eax
    sub eax, x86.PAGE
    loop .directory
    mov dword ptr [region.pages.base], eax
    ret
.endif
