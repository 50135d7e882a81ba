# Lines that stand in several places.

# flat 32-bit data segments
.macro flat_segments
    mov eax, x86.SELECTOR_DATA
    mov ds, eax
    mov es, eax
    mov ss, eax
.endm

# from 16-bit code to TARGET in flat 32-bit segments; the GDT has been loaded. PE alone goes to
# CR0: this also clears CD and NW, which are set at reset, and is what PVH wants of CR0.
.macro enter_protected target
    mov eax, x86.Cr0.PE
    mov cr0, eax
    .farjmp x86.SELECTOR_CODE, \target
.endm

# what LGDT and LIDT load (Intel SDM volume 3A, 3.5.1): the limit, and the table's address
.macro pseudo_descriptor table, limit
    .word \limit
    .long \table
.endm
