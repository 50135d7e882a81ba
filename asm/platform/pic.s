# The two 8259 interrupt controllers, for a guest that does not program them itself.

#: leave the controllers as a PC's firmware does, where the machine certainly has them
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, edx, esi, eflags
#: reads: ram.work.host_bridge
#: source: QEMU hw/i386/microvm.c (there they are an option, and a guest finds out)
pic_init:
    cmp word ptr [ram.work.host_bridge], pci.NO_VENDOR
    jnz pic_program
    ret

#: put the vectors where a PC has them, mask every interrupt, make PCI's level-triggered
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, edx, esi, eflags
#: source: Intel 8259A data sheet; QEMU hw/intc/i8259.c
pic_program:
    mov esi, pic_writes
.write:
    lodsd
    mov edx, eax
    shr edx, 16
    jz .done
    out dx, al
    jmp .write
.done:
    ret

#: what is written to which port: the port in the upper word, a byte in the lower; 0 ends the list
#: mode: data
pic_writes:
    .word legacy.ICW1 | legacy.ICW1_ICW4, legacy.PIC_MASTER
    .word legacy.PIC_MASTER_VECTOR, legacy.PIC_MASTER + 1
    .word legacy.ICW3_MASTER, legacy.PIC_MASTER + 1
    .word legacy.ICW4_8086, legacy.PIC_MASTER + 1
    .word legacy.PIC_ALL_MASKED, legacy.PIC_MASTER + 1
    .word legacy.ICW1 | legacy.ICW1_ICW4, legacy.PIC_SLAVE
    .word legacy.PIC_SLAVE_VECTOR, legacy.PIC_SLAVE + 1
    .word legacy.ICW3_SLAVE, legacy.PIC_SLAVE + 1
    .word legacy.ICW4_8086, legacy.PIC_SLAVE + 1
    .word legacy.PIC_ALL_MASKED, legacy.PIC_SLAVE + 1
    .word chipset.ELCR_SLAVE_LEVEL, chipset.ELCR_SLAVE
    .long 0
