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
.macro enter_protected_mode target
    mov eax, x86.Cr0.PE
    mov cr0, eax
    .farjmp x86.SELECTOR_CODE, \target
.endm

# what LGDT and LIDT load (Intel SDM volume 3A, 3.5.1): the limit, and the table's address
.macro pseudo_descriptor table, limit
    .word \limit
    .long \table
.endm

# stop if a condition holds (`c`, `nz`, ...); EDX is the detail that is printed. AL is lost even
# where the firmware goes on, the flags stay.
.macro stop_if condition, code
    mov al, \code
    j\condition stop_with
.endm

# stop; EDX is the detail that is printed
.macro stop code
    mov al, \code
    jmp stop_with
.endm

# copy an entry of the memory map as an e820.ENTRY, which lacks the last field, from ESI to EDI;
# both go on to the next
.macro copy_e820_entry
    .rept e820.ENTRY.sizeof // 4
    movsd
    .endr
    add esi, pvh.MEMMAP_ENTRY.sizeof - e820.ENTRY.sizeof
.endm

# fill in the pvh.MODLIST_ENTRY at EDI, of a module without a command line: EAX is its address, ECX
# its bytes. EDI goes on to the next entry, EAX becomes 0.
.macro module_entry
    stosd
    xor eax, eax
    stosd
    xchg ecx, eax
    stosd
    xchg ecx, eax
    stosd
    mov eax, ram.pvh_area.empty_string
    stosd
    xor eax, eax
    .rept 3
    stosd
    .endr
.endm
