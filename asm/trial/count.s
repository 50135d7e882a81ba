# A firmware that shows whether an accelerator runs a guest at a processor's pace: it says that it
# runs, counts, and ends QEMU. It needs no memory, no kernel and no device but the two that it writes to.

#: the first instruction
#: mode: 16
#: in: -
#: out: -
#: clobbers: -
#: returns: never
#: source: Intel SDM volume 3A, 10.1.4
trial_reset:
.code16
    jmp trial_protected

#: switch to flat 32-bit segments: some CPUs leave real mode to KVM's emulator
#: mode: 16
#: in: -
#: out: -
#: clobbers: eax, cr0
#: returns: never
#: source: Intel SDM volume 3A, 10.9.1 "Switching to Protected Mode"
trial_protected:
    .att lgdtl %cs:{trial_gdtr - region.rom.base}
    .enter_protected_mode trial_count

#: say that the guest runs, count, and end QEMU
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ecx, edx, eflags
#: returns: never
#: source: QEMU, hw/char/debugcon.c, hw/misc/debugexit.c
trial_count:
.code32
    mov edx, ports.DEBUG_CONSOLE
    mov al, trial.STARTED
    out dx, al
    mov ecx, trial.ROUNDS
.next:
    dec ecx
    jnz .next
    mov edx, ports.DEBUG_EXIT
    mov al, trial.EXIT_DONE
    out dx, al
    hlt

#: GDTR of the descriptors in ROM
#: mode: data
trial_gdtr:
    .pseudo_descriptor trial_gdt, work.GDT_LIMIT
