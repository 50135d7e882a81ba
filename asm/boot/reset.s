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
    .enter_protected_mode protected_mode

#: 32-bit entry: flat data segments and a stack, if there is RAM for it
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, edx, ds, es, ss, esp, eflags
#: reads: ram.ebda.mark, ram.work
#: writes: ram.work
#: returns: never
#: source: Intel SDM volume 3A, 10.9.1
protected_mode:
.code32
    .flat_segments
    .att lidtl {exception_idtr}
    mov esp, region.stack.end
.if option.machines.pc | option.machines.q35
    # a reset of a guest's, or the first? The former may be a wake, before which its RAM is taboo
    cmp dword ptr [ram.ebda.mark], work.WAKE_MARK
    jz wake_check
.endif
    # The variables lie above the stack: where they keep what is written, all that is below is RAM.
    mov dword ptr [ram.work], esp
    cmp dword ptr [ram.work], esp
    jz main
    # The line that says so needs a stack: QEMU gives no guest less than 8 KiB.
    mov esp, region.ivt.end
    xor edx, edx                # the detail: nobody knows how much there is
    .stop stop_codes.E820_SMALL

#: GDTR of the descriptors in ROM, where the template of the RAM ones serves
#: mode: data
rom_gdtr:
    .pseudo_descriptor handoff_template + work.PVH_AREA.gdt, work.GDT_LIMIT

#: GDTR of the descriptors for the way back to real mode
#: mode: data
real_gdtr:
    .pseudo_descriptor real_gdt, work.REAL_GDT_LIMIT
