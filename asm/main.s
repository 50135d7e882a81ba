# What the firmware does, in order.

#: build the memory map, find the kernel, hand over
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, eflags
#: returns: never
#: source: docs/architecture.md
main:
    call handoff_init
    call files_open
    call chipset_init
.if option.pic
    call pic_init
.endif
    call memmap_build
    call mtrr_init
.if pci.full
    call pci_init
.endif
    call kernel_read
    call kernel_check
    call cmdline_read
    call initrd_read
    call acpi_load
.if option.mptable
    cmp dword ptr [work.start_info.rsdp_paddr], 0
    jnz .acpi
    call mptable_build
.acpi:
.endif
    call smbios_load
    jmp dword ptr [work.enter]

#: put the GDT, start_info and the module entry into RAM, constant fields filled in;
#: RAM still holds what the last guest left there when this is a reboot
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ecx, esi, edi, eflags
#: source: fwbuild/abi/work.py
handoff_init:
    mov esi, work_template
    mov edi, ram.work.base
    mov ecx, work.WORK.dma // 4
    rep movsd
    mov ecx, (work.WORK.signature - work.WORK.dma) // 4
    xor eax, eax
    rep stosd
    ret
