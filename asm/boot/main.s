# What the firmware does, in order.
#
# One stack, one CPU, no interrupts: from reset to the kernel it is one straight program. What a
# stage finds out it leaves in variables (firmware/work.py); which stage writes and which reads
# them is in each routine's contract and in docs/memory-map.md. The order is not free:
#
#     files       before everything that asks fw_cfg for a file
#     chipset     before ACPI's files are read: QEMU makes them from its registers
#     memory map  before MTRRs and PCI, which keep clear of RAM
#     PCI         before the map is handed over, after the chipset
#     kernel      before any table takes RAM, which must not be the kernel's
#     ACPI        before the MP table, which a guest with ACPI does not get
#
# What goes wrong anywhere ends in stop_with (stop.s) with a code in AL and a detail in EDX. The
# macro .stop_if shows the code where the firmware may stop; a comment says what EDX is.
#
# A template leaves out what its guests do without, by the option.* symbols.

#: build the memory map, find the kernel, hand over
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.high_top, ram.work.ecam, ram.work.memmap_end, ram.work.item,
#:   ram.work.kernel_start, ram.work.kernel_span, ram.work.enter, ram.work.host_bridge,
#:   ram.work.file_size, ram.work.segments_end, ram.pvh_area.start_info.rsdp_paddr,
#:   ram.pvh_area.modules, region.memmap, region.scratch, region.head, region.segments
#: writes: ram.work, ram.pvh_area, ram.ebda, region.memmap, region.scratch, region.head,
#:   region.segments
#: returns: never
#: source: docs/architecture.md
main:
    .trace trace.Stage.START
    call handoff_init
    .trace trace.Stage.FILES
    call files_open
    .trace trace.Stage.CHIPSET
    call chipset_init
.if option.one_machine & (option.machines.microvm | option.machines.pc)
    call machine_check
.endif
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
.if option.protocols.preloaded
    call preloaded_read
    call kernel_check
    .trace trace.Stage.CMDLINE
    call preloaded_take
.else
    call kernel_read
    call kernel_check
    .trace trace.Stage.CMDLINE
    call cmdline_read
    .trace trace.Stage.INITRD
    call initrd_read
.endif
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
.if option.machines.pc | option.machines.q35
    call wake_arm
.endif
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
    # the templates of both structures, one after the other in ROM
    mov esi, handoff_template
    mov edi, ram.pvh_area
    mov ecx, work.PVH_TEMPLATE_SIZE // 4
    rep movsd
    mov edi, ram.work
    .rept work.WORK.dma // 4
    movsd
    .endr
    # the rest of the variables that have to start as zeros
    mov ecx, (work.WORK.signature - work.WORK.dma) // 4
    xor eax, eax
    rep stosd
    ret
