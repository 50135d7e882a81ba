# From the reset vector to 32-bit protected mode.
#
# The CPU starts at FFFFFFF0 in real mode, its hidden CS base at FFFF0000, so a near jump stays
# inside the top 64 KiB, which is this image. (Intel SDM volume 3A, 10.1.4)

#: the first instruction that the CPU executes
#: mode: 16
#: in: -
#: out: -
#: clobbers: -
#: returns: never
#: source: Intel SDM volume 3A, 10.1.4
reset_vector:
.code16
    jmp enter_protected

#: the image's identity, between the jump and the end of the ROM
#: mode: data
#: source: fwbuild/firmware/identity.py
identity_record:
    .long identity.MAGIC
    .byte identity.FORMAT
    .word identity_text - region.rom.base

#: switch to flat 32-bit segments and run the firmware
#: mode: 16
#: in: -
#: out: -
#: clobbers: eax, ds, es, ss, esp, cr0, eflags
#: returns: never
#: source: Intel SDM volume 3A, 10.9.1 "Switching to Protected Mode"
enter_protected:
    # DS is 0 here and cannot reach the ROM, CS can. The 32-bit form loads all of the base.
    .att lgdtl %cs:{rom_gdtr - region.rom.base}
    # PE alone: this also clears CD and NW, which are set at reset, and is what PVH wants of CR0.
    mov eax, x86.Cr0.PE
    mov cr0, eax
    # jmp SELECTOR_CODE:protected_mode, in the 32-bit form that 16-bit code needs.
    .byte 0x66, 0xea
    .long protected_mode
    .word x86.SELECTOR_CODE

#: 32-bit entry: flat data segments and a stack
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ds, es, ss, esp
#: returns: never
#: source: Intel SDM volume 3A, 10.9.1
protected_mode:
.code32
    mov eax, x86.SELECTOR_DATA
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov esp, region.stack.end
    .att lidtl {exception_idtr}
    jmp main

#: GDTR of the descriptors in ROM, where the template of the RAM ones serves
#: mode: data
rom_gdtr:
    .word work.GDT_ENTRIES * x86.DESCRIPTOR.sizeof - 1
    .long handoff_template + work.PVH_AREA.gdt
