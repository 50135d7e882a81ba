# What the firmware does, in order.

#: build the memory map, find the kernel, hand over
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.high_top, ram.work.ecam, ram.work.memmap_end, ram.work.kernel_start,
#:   ram.work.kernel_span, ram.work.enter, ram.work.host_bridge, ram.pvh_area.start_info.rsdp_paddr,
#:   ram.pvh_area.modules, region.memmap, region.scratch
#: writes: ram.work, ram.pvh_area, region.memmap, region.scratch
#: returns: never
#: source: docs/architecture.md
main:
    .trace trace.Stage.START
    call handoff_init
    .trace trace.Stage.FILES
    call files_open
    .trace trace.Stage.CHIPSET
    call chipset_init
.if option.pic
    call pic_init
.endif
    .trace trace.Stage.MEMMAP
    call memmap_build
    .trace trace.Stage.MTRR
    call mtrr_init
.if option.wake_cpus
    .trace trace.Stage.CPUS
    call smp_init
.endif
.if option.pci.full
    .trace trace.Stage.PCI
    call pci_init
.endif
    .trace trace.Stage.KERNEL
    call kernel_read
    call kernel_check
    .trace trace.Stage.CMDLINE
    call cmdline_read
    .trace trace.Stage.INITRD
    call initrd_read
    .trace trace.Stage.ACPI
    call acpi_load
.if option.mptable
    cmp dword ptr [ram.pvh_area.start_info.rsdp_paddr], 0
    jnz .acpi
    .trace trace.Stage.MPTABLE
    call mptable_build
.acpi:
.endif
    .trace trace.Stage.SMBIOS
    call smbios_load
    .trace trace.Stage.HANDOFF
    jmp dword ptr [ram.work.enter]

#: put start_info, the GDT, the module entry and the variables into RAM, constant fields filled
#: in; RAM still holds what the last guest left there when this is a reboot
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ecx, esi, edi, eflags
#: writes: ram.work, ram.pvh_area
#: source: fwbuild/firmware/work.py
handoff_init:
    mov esi, handoff_template
    mov edi, ram.pvh_area
    mov ecx, work.PVH_TEMPLATE_SIZE // 4
    rep movsd
    mov edi, ram.work
    .rept work.WORK.dma // 4
    movsd
    .endr
    mov ecx, (work.WORK.signature - work.WORK.dma) // 4
    xor eax, eax
    rep stosd
    ret
