"""The firmware's own variables and the structures that it hands over, in RAM.

Nothing outside the firmware relies on this layout; where it lies is layout.py's to say.
"""

from construct import Array, Bytes, Int32ul, Int64ul, Padding, Struct

from fwbuild.abi import acpi, e820, fw_cfg, multiboot, offsets, pvh, x86

GDT_ENTRIES = 4  # null, TSS, code, data: the order of x86.SELECTOR_*
GDT_LIMIT = GDT_ENTRIES * x86.DESCRIPTOR.sizeof() - 1

DIRECTORY_PIECE = 126  # entries of the fw_cfg directory that one transfer reads
NAME_SIZE_MIN = 16  # a file name in ROM is padded with zeros to this at least

MEMMAP_TEMPLATE_ENTRIES = 3  # of the memory map, below 1 MiB

TRAMPOLINE_MAX = 32  # bytes that are copied for the CPUs to start at
CPU_PATIENCE = 1 << 24  # rounds of waiting before CPUs are given up

MODULE_NAME_SIZE = 24  # file_names.MODULE in the form of name_equal

# What a stop for an exception tells: its number, and where it happened in the last 16 MiB.
EXCEPTION_ENTRY_SIZE = 4  # bytes in exception_entries
EXCEPTION_SHIFT = 24
EXCEPTION_ADDRESS = (1 << EXCEPTION_SHIFT) - 1

SUM_ROUND = 64  # bytes that a round of checksum_set adds up

# What a PVH kernel is handed, in layout's `pvh` region. The image holds a template of it, up to
# the second module.
PVH_AREA = Struct(
    "start_info" / pvh.START_INFO,
    "gdt" / Array(GDT_ENTRIES, x86.DESCRIPTOR),
    "empty_string" / Int32ul,
    Padding(4),
    "modules" / Array(10, pvh.MODLIST_ENTRY),  # the initrd and nine files
)
PVH_TEMPLATE_SIZE = offsets(PVH_AREA)["modules"] + pvh.MODLIST_ENTRY.sizeof()

# What the firmware notes in an ALLOCATE entry of the ACPI loader script, behind its fields.
ALLOCATED = Struct(
    Padding(acpi.ALLOCATE.sizeof()),
    "address" / Int32ul,  # 0 until the file is in memory
    "size" / Int32ul,
    "control" / Int32ul,  # the control word that reads it, of which each file has its own
)

# A level of the CPUs' topology, as a core, a die or a package.
LEVEL = Struct(
    "cpus" / Int32ul,  # in one of it
    "mask" / Int32ul,  # the bits in which their APIC IDs differ
    "end" / Int32ul,  # what these bits never reach
)
TOPOLOGY_LEVELS = 6  # that CPUID knows

# The fw_cfg items of these names, in the order in which kernel_read reads them.
KERNEL_ITEMS = Struct(
    "kernel_size" / Int32ul,  # bytes of KERNEL_DATA
    "kernel_entry" / Int32ul,  # address; 0: a bzImage
    "kernel_addr" / Int32ul,  # where KERNEL_DATA goes
    "cmdline_size" / Int32ul,  # its zero included; 0: a Multiboot kernel
)

WORK = Struct(
    # Up to `dma` the image holds a template, from there to `signature` it starts as zeros,
    # the rest is written before it is read.
    "f_segment_next" / Int32ul,  # address of the first free byte there
    "script_last" / Int32ul,  # address of the ALLOCATE entry that was found last
    "dma" / fw_cfg.DMA,
    "pointer" / Int64ul,  # what WRITE_POINTER writes
    "high_top" / Int32ul,  # address where high_alloc looks for free RAM, downwards
    "ecam" / Int32ul,  # address of the memory-mapped configuration space, 0 without one
    "signature" / Int32ul,
    "directory_entries" / Int32ul,  # of fw_cfg's whole directory
    "directory_rest" / Int32ul,  # entries that are still to be read, after those in RAM
    "directory_end" / Int32ul,  # address where those in RAM end
    "memmap_end" / Int32ul,  # address after the last entry of the memory map
    "item" / KERNEL_ITEMS,
    "kernel_start" / Int32ul,  # address and bytes of all that the kernel uses before it looks at
    "kernel_span" / Int32ul,  # the memory map; it has at least what is loaded
    "setup_size" / Int32ul,
    "enter" / Int32ul,  # the routine that enters the kernel
    "host_bridge" / Int32ul,  # PCI device ID; FFFF where there is no bus 0
    "cpus" / Int32ul,
    "topology" / Array(1 + TOPOLOGY_LEVELS, LEVEL),  # the first is a single CPU
    "topology_end" / Int32ul,  # address after the last
    "feature_control" / Int64ul,  # IA32_FEATURE_CONTROL as the host wants it, 0 for nothing
    "cpus_awake" / Int32ul,
    "cpu_lock" / Int32ul,  # not 0: a woken CPU has the stack
    "script_end" / Int32ul,  # address after the ACPI loader script
    "module_name" / Bytes(MODULE_NAME_SIZE),  # of the file to look for next
)

# What the BIOS calls work with, at the start of layout's `bios` region. Their code follows, from
# BIOS_CODE on.
BIOS_DATA = Struct(
    "extended_kib" / Int32ul,  # RAM from 1 MiB to the first hole
    "memmap_size" / Int32ul,  # bytes
    "memmap" / Array(pvh.MEMMAP_ENTRIES_MAX, e820.ENTRY),
)
BIOS_CODE = 0xA00

# The GDT for the way to real mode: its code segment's base is the `bios` region's.
REAL_LIMIT = 0xFFFF
SELECTOR_CODE16 = 0x08
SELECTOR_DATA16 = 0x10
BIOS_GDT_LIMIT = SELECTOR_DATA16 + x86.DESCRIPTOR.sizeof() - 1

# A Multiboot kernel's information and its memory map, in layout's region of that name.
# Behind the fields that QEMU knows there are zeros: those of the specification that it does not.
MULTIBOOT_AREA = Struct(
    "info" / multiboot.INFO,
    Padding(12),
    "mmap" / Array(pvh.MEMMAP_ENTRIES_MAX, multiboot.MMAP_ENTRY),
)
