"""The PVH entry: Xen's "x86/HVM direct boot ABI".

Source: Xen, docs/misc/pvh.pandoc and xen/include/public/arch-x86/hvm/start_info.h;
the note's number is in xen/include/public/elfnote.h.
All fields are little-endian; an address of 0 means "absent".
"""

from construct import Int32ul, Int64ul, Struct

START_INFO_MAGIC = 0x336EC578  # "xEn3" with bit 7 of the "E" set
START_INFO_VERSION = 1  # version 1 added the memory map

START_INFO = Struct(
    "magic" / Int32ul,
    "version" / Int32ul,
    "flags" / Int32ul,
    "nr_modules" / Int32ul,
    "modlist_paddr" / Int64ul,
    "cmdline_paddr" / Int64ul,
    "rsdp_paddr" / Int64ul,
    "memmap_paddr" / Int64ul,
    "memmap_entries" / Int32ul,
    "reserved" / Int32ul,
)

MODLIST_ENTRY = Struct(
    "paddr" / Int64ul,
    "size" / Int64ul,
    "cmdline_paddr" / Int64ul,
    "reserved" / Int64ul,
)

MEMMAP_ENTRY = Struct(
    "addr" / Int64ul,
    "size" / Int64ul,
    "type" / Int32ul,  # e820.Type
    "reserved" / Int32ul,
)

# Linux keeps the entry count in 8 bits and adds the ISA range itself when it finds
# fewer than 127 entries (arch/x86/platform/pvh/enlighten.c).
MEMMAP_ENTRIES_MAX = 126

# Linux's early page tables map this much, and it reads everything but the kernel
# through them (arch/x86/platform/pvh/head.S).
HANDOFF_LIMIT = 1 << 30

ELF_NOTE_NAME = b"Xen"
ELF_NOTE_PHYS32_ENTRY = 18  # descriptor: the 32-bit physical entry
ELF_NOTE_SIZES = (4, 8)  # bytes of the descriptor
