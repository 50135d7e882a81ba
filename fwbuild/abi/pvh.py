"""The PVH entry: Xen's "x86/HVM direct boot ABI".

Source: Xen, docs/misc/pvh.pandoc and xen/include/public/arch-x86/hvm/start_info.h;
the note's number is in xen/include/public/elfnote.h.
All fields are little-endian; an address of 0 means "absent".
"""

from construct import Int32ul, Int64ul, Struct

START_INFO_MAGIC = 0x336EC578  # "xEn3" with bit 7 of the "E" set
START_INFO_VERSION = 1  # version 1 added the memory map

START_INFO = Struct(
    "magic" / Int32ul * "0x336ec578",
    "version" / Int32ul * "of this structure: 1 since it has the memory map",
    "flags" / Int32ul * "SIF_* of the source; 0: no Xen dom0",
    "nr_modules" / Int32ul * "modules in the list",
    "modlist_paddr" / Int64ul * "address of the module list",
    "cmdline_paddr" / Int64ul * "address of the command line, which a zero ends",
    "rsdp_paddr" / Int64ul * "address of ACPI's RSDP",
    "memmap_paddr" / Int64ul * "address of the memory map",
    "memmap_entries" / Int32ul * "entries in the memory map",
    "reserved" / Int32ul * "0",
)

MODLIST_ENTRY = Struct(
    "paddr" / Int64ul * "address of the module",
    "size" / Int64ul * "in bytes",
    "cmdline_paddr" / Int64ul * "address of its command line",
    "reserved" / Int64ul * "0",
)

MEMMAP_ENTRY = Struct(
    "addr" / Int64ul * "first address",
    "size" / Int64ul * "in bytes",
    "type" / Int32ul * "e820.Type",
    "reserved" / Int32ul * "0",
)

# Linux keeps the entry count in 8 bits and adds the ISA range itself when it finds
# fewer than 127 entries (arch/x86/platform/pvh/enlighten.c).
MEMMAP_ENTRIES_MAX = 126

# Linux's early page tables map this much, and it reads everything but the kernel
# through them (arch/x86/platform/pvh/head.S).
HANDOFF_LIMIT = 1 << 30

ELF_NOTE_NAME = b"Xen"
ELF_NOTE_PHYS32_ENTRY = 18  # descriptor: the 32-bit physical entry
ELF_NOTE_PHYS32_RELOC = 19  # descriptor: how the kernel may be moved: alignment, lowest, highest
RELOC_DEFAULTS = (0x200000, 0, 0xFFFFFFFF)  # of what its descriptor leaves out
ELF_NOTE_SIZES = (4, 8)  # bytes of the descriptor
