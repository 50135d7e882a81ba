"""The firmware's own variables and the structures that it hands over, in RAM.

Nothing outside the firmware relies on this layout; where it lies is in layout.py.
"""

from construct import Array, Bytes, Int8ul, Int32ul, Int64ul, Padding, Struct

from fwbuild.abi import acpi, e820, fw_cfg, multiboot, offsets, pvh, x86
from fwbuild.firmware import file_names

GDT_ENTRIES = 4  # null, TSS, code, data: the order of x86.SELECTOR_*
GDT_LIMIT = GDT_ENTRIES * x86.DESCRIPTOR.sizeof() - 1

DIRECTORY_PIECE = 126  # entries of the fw_cfg directory that one transfer reads
DIRECTORY_PIECES_MAX = 2000  # that are read again before the directory is given up
NAME_SIZE_MIN = 16  # a file name in ROM is padded with zeros to this at least

# What tells whether a size is a multiple of an e820 entry's 20 bytes.
INVERSE_OF_5 = pow(5, -1, 1 << 32)
WHOLE_ENTRIES_MAX = ((1 << 32) - 1) // e820.ENTRY.sizeof()

MEMMAP_TEMPLATE_ENTRIES = 3  # of the memory map, below 1 MiB

TRAMPOLINE_MAX = 32  # bytes that are copied for the CPUs to start at
CPU_PAUSES = 16  # of a round of waiting; QEMU's TCG takes some 130 ns for one
CPU_PATIENCE = 3 << 17  # rounds before CPUs are given up: about 1 s under TCG, more under KVM

MODULE_NAME_SIZE = 32  # file_names.MODULE_CMDLINE in the form of name_equal

# What a stop for an exception tells: its number, and where it happened in the last 16 MiB.
EXCEPTION_ENTRY_SIZE = 4  # bytes in exception_entries
EXCEPTION_SHIFT = 24
EXCEPTION_ADDRESS = (1 << EXCEPTION_SHIFT) - 1

SUMS_MAX = 4 << 20  # bytes that the ACPI loader script may have added up; QEMU's tables: 128 KiB
SUM_ROUND = 64  # bytes that a round of checksum_set adds up

MODULES_MAX = 1 + file_names.MODULES_MAX  # the initrd and the files

# What a PVH kernel is handed, in layout's `pvh` region. The image holds a template of it, up to
# the second module.
PVH_AREA = Struct(
    "start_info" / pvh.START_INFO * "what EBX points to",
    "gdt" / Array(GDT_ENTRIES, x86.DESCRIPTOR) * "null, TSS, code, data",
    "empty_string" / Int32ul * "the command line where there is none",
    Padding(4),
    "modules" / Array(MODULES_MAX, pvh.MODLIST_ENTRY) * "the initrd and nine files",
)
PVH_TEMPLATE_SIZE = offsets(PVH_AREA)["modules"] + pvh.MODLIST_ENTRY.sizeof()

# What the firmware notes in an ALLOCATE entry of the ACPI loader script, after its fields.
ALLOCATED = Struct(
    Padding(acpi.ALLOCATE.sizeof()),
    "address" / Int32ul * "0 until the file is in memory",
    "size" / Int32ul * "of the file, in bytes",
    "control" / Int32ul * "the control word that reads the file; each file has its own",
)

# A level of the CPUs' topology, as a core, a die or a package.
LEVEL = Struct(
    "cpus" / Int32ul * "CPUs in one of it",
    "mask" / Int32ul * "the bits in which their APIC IDs differ",
    "end" / Int32ul * "these bits stay below it",
)
TOPOLOGY_LEVELS = 6  # that CPUID knows

# The fw_cfg items of these names, in the order in which kernel_read reads them.
KERNEL_ITEMS = Struct(
    "kernel_size" / Int32ul * "bytes of KERNEL_DATA",
    "kernel_entry" / Int32ul * "address; 0: a bzImage",
    "kernel_addr" / Int32ul * "address where KERNEL_DATA goes",
    "cmdline_size" / Int32ul * "its zero included; 0: a Multiboot kernel",
)

# A program header of an ELF file of either class: 64-bit fields in halves.
SEGMENT_FIELDS = 5
SEGMENT = Struct(
    "type" / Int32ul * "of elf's PT_*",
    "offset" / Int32ul * "of its bytes in the file",
    "vaddr" / Int32ul * "virtual address",
    "paddr" / Int32ul * "physical address",
    "filesz" / Int32ul * "bytes in the file",
    "memsz" / Int32ul * "bytes in memory; those that are not in the file are zeros",
    "offset_high" / Int32ul * "the upper halves of the five",
    "vaddr_high" / Int32ul,
    "paddr_high" / Int32ul,
    "filesz_high" / Int32ul,
    "memsz_high" / Int32ul,
)
SEGMENTS_MAX = 128  # program headers of a kernel that the firmware loads

WORK = Struct(
    # Up to `dma` the image holds a template, from there to `signature` it starts as zeros,
    # the rest is written before it is read.
    "f_segment_next" / Int32ul * "address of the first free byte in the F segment",
    "script_last" / Int32ul * "address of the ALLOCATE entry that was found last",
    "sums_left" / Int32ul * "bytes that the ACPI loader's script may yet have added up",
    "dma" / fw_cfg.DMA * "the fw_cfg command of the transfer at hand",
    "pointer" / Int64ul * "the value that WRITE_POINTER writes",
    "high_top" / Int32ul * "address where high_alloc looks for free RAM, downwards",
    "ram_end" / Int32ul * "address where the last RAM below 4 GiB ends",
    "ecam" / Int32ul * "address of the memory-mapped configuration space; 0: there is none",
    "pieces_read" / Int32ul * "pieces of the directory that were read again to find a file",
    "smbios" / Int32ul * "address of the SMBIOS entry point, 0 without one",
    "texts_size" / Int32ul * "bytes of the modules' command lines so far",
    "signature" / Int32ul * "fw_cfg's signature, as read",
    "directory_entries" / Int32ul * "entries of fw_cfg's whole directory",
    "directory_rest" / Int32ul * "entries still to be read, after those in RAM",
    "directory_end" / Int32ul * "address where those in RAM end",
    "memmap_end" / Int32ul * "address after the last entry of the memory map",
    "item" / KERNEL_ITEMS * "the kernel's items of fw_cfg, as read",
    "kernel_start" / Int32ul * "address of all that the kernel uses before it reads the memory map",
    "kernel_span" / Int32ul * "its size in bytes, at least of all that is loaded",
    "setup_size" / Int32ul * "bytes of a bzImage's setup code",
    "enter" / Int32ul * "address of the routine that enters the kernel",
    "host_bridge" / Int32ul * "PCI device ID; FFFF where there is no bus 0",
    "cpus" / Int32ul * "CPUs that the guest starts with",
    "topology" / Array(1 + TOPOLOGY_LEVELS, LEVEL) * "a CPU, then each level that CPUID tells",
    "topology_end" / Int32ul * "address after the last level",
    "cpus_awake" / Int32ul * "CPUs that have reported so far",
    "cpu_lock" / Int32ul * "not 0: a woken CPU has the stack",
    "script_end" / Int32ul * "address after the ACPI loader's script",
    "file_control" / Int32ul * "the control word that reads the kernel's file",
    "file_size" / Int32ul * "bytes of that file",
    "segments_end" / Int32ul * "address after the last of its program headers",
    "file_enter" / Int32ul * "address of the routine that enters it, once it is loaded",
    "relocated" / Int32ul * "not 0: the kernel's header lets it be moved",
    "module_name" / Bytes(MODULE_NAME_SIZE) * "the name of the module file to look for next",
)

# What the BIOS calls work with, at the start of layout's `bios` region. Their code follows, from
# BIOS_CODE on.
BIOS_DATA = Struct(
    "extended_kib" / Int32ul * "RAM from 1 MiB to the first hole, in KiB",
    "memmap_size" / Int32ul * "bytes of the map",
    "memmap" / Array(pvh.MEMMAP_ENTRIES_MAX, e820.ENTRY) * "what INT 15h, AX=E820h tells",
)
BIOS_CODE = 0xA00

# What a wake from S3 needs, in the EBDA, which the map reserves. The rest of it is the stack then.
# The mark tells a guest's reset from the first one; it may be there by chance, or in the file
# that a guest's RAM is, so the clock's memory is asked as well.
EBDA = Struct(
    "size" / Int8ul * "KiB; only the BIOS writes it",
    Padding(15),
    "mark" / Int32ul * "WAKE_MARK from the first handoff on",
    "rsdp" / Int32ul * "address, 0 without ACPI",
    "enter" / Int32ul * "the routine that entered the kernel",
    "devices" / Int32ul * "where the uncached range below 4 GiB starts",
    "feature_control" / Int64ul * "IA32_FEATURE_CONTROL as the host wants it, 0 for nothing",
)
WAKE_MARK = int.from_bytes(b"S3ok", "little")

# The GDT for the way to real mode.
REAL_LIMIT = 0xFFFF
SELECTOR_ROM16 = 0x08  # code, its base the ROM's
SELECTOR_DATA16 = 0x10
SELECTOR_BIOS16 = 0x18  # code, its base that of the `bios` region
REAL_GDT_LIMIT = SELECTOR_BIOS16 + x86.DESCRIPTOR.sizeof() - 1

# The firmware's name, as a kernel that it loads is told, and its halves.
LOADER_NAME = b"fwbuild\0"
LOADER_LOW, LOADER_HIGH = (int.from_bytes(LOADER_NAME[i : i + 4], "little") for i in (0, 4))

# A Multiboot kernel's information and its memory map, in layout's region of that name.
# Behind the fields that QEMU knows there are zeros: those of the specification that it does not.
MULTIBOOT_AREA = Struct(
    "info" / multiboot.INFO * "what EBX points to",
    "loader" / Bytes(len(LOADER_NAME)) * "the firmware's name, for a kernel that it loads",
    Padding(4),
    "mmap" / Array(pvh.MEMMAP_ENTRIES_MAX, multiboot.MMAP_ENTRY) * "the map that it points to",
)
