# The PVH handoff. QEMU has put the kernel into RAM itself: only its state is left to do.

#: enter the kernel. The kernel finds CR0 = PE, CR4 = 0, flat segments, IF and TF clear, EBX at
#: hvm_start_info, and in TR the 32-bit TSS that the ABI asks for. LTR writes the busy bit
#: into the descriptor, so this GDT is the one in RAM.
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.high_top, ram.work.memmap_end, ram.work.kernel_start, ram.work.kernel_span,
#:   ram.pvh_area.start_info, ram.pvh_area.gdt, ram.pvh_area.modules,
#:   region.memmap
#: writes: ram.work.high_top, ram.pvh_area.start_info.nr_modules,
#:   ram.pvh_area.start_info.modlist_paddr, ram.pvh_area.start_info.memmap_entries,
#:   ram.pvh_area.gdt, ram.pvh_area.modules
#: returns: never
#: source: Xen docs/misc/pvh.pandoc
pvh_enter:
.if option.modules
    call modules_load
.endif
    # the map's bytes make a number of entries
    mov eax, dword ptr [ram.work.memmap_end]
    sub eax, region.memmap.base
    xor edx, edx
    mov ecx, pvh.MEMMAP_ENTRY.sizeof
    div ecx
    mov dword ptr [ram.pvh_area.start_info.memmap_entries], eax
    # the state that the ABI asks for
    .att lgdtl {ram_gdtr}
    mov eax, x86.SELECTOR_TSS
    ltr ax
    mov ebx, ram.pvh_area.start_info
    jmp kernel_jump

#: GDTR of the GDT in RAM
#: mode: data
ram_gdtr:
    .pseudo_descriptor ram.pvh_area.gdt, work.GDT_LIMIT
