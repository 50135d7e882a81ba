"""Where everything lies: the RAM that the firmware uses and the ROM that it is.

The assembly's `region.*` and `ram.*` symbols, the checks of the placement and the memory map
in the docs all come from this module.
"""

from dataclasses import dataclass

from fwbuild.abi import bios, e820, fw_cfg, linux_boot, low_memory, multiboot2, offsets, pvh, x86
from fwbuild.firmware import pci_plan, preloaded, work


@dataclass(frozen=True)
class Region:
    """A range of addresses, [base, end), in bytes, and what it is for."""

    name: str
    base: int
    size: int
    what: str

    @property
    def end(self) -> int:
        return self.base + self.size

    def overlaps(self, other: "Region") -> bool:
        return self.base < other.end and other.base < self.end


IMAGE_SIZE = 0x10000
ROM = Region("rom", (1 << 32) - IMAGE_SIZE, IMAGE_SIZE, "the image, ending at 4 GiB")

# A table of each upper level, and the directories of 4 GiB.
PAGE_DIRECTORIES = e820.FOUR_GIB // (x86.PAGE_ENTRIES * x86.PAGE_2M)
PAGES_SIZE = (2 + PAGE_DIRECTORIES) * x86.PAGE

# All of it is conventional memory that the map hands to the kernel as RAM: a kernel takes its
# copies before it uses memory below 1 MiB. What is handed over lies where other loaders put it,
# and where no kernel that is known writes before it has read it (abi/low_memory.py). What is in
# use until the kernel is entered lies at the end: a Multiboot kernel may be loaded below it.
RAM = (
    Region(
        "ivt",
        0x0,
        0x500,
        "real-mode vectors and BIOS data area, for 16-bit payloads alone; or a stop's stack where "
        "there is no RAM for another",
    ),
    Region("pvh", 0x6000, 0x1000, "hvm_start_info, GDT, module list"),
    Region("memmap", 0x7000, 0xC00, "the memory map that is handed over"),
    Region("scratch", 0x8000, 0x5000, "etc/e820 while it is read"),
    # QEMU's own places: it has written them into the header, where a 16-bit entry reads them
    Region(
        "setup",
        linux_boot.QEMU_SETUP_ADDR,
        0x10000,
        "boot_params, a bzImage's setup code, or Multiboot 2's information",
    ),
    Region("cmdline", linux_boot.QEMU_CMDLINE_ADDR, 0x10000, "the kernel's command line"),
    Region("directory", 0x30000, 0x2000, "the fw_cfg directory"),
    Region("texts", 0x32000, 0x2000, "the modules' command lines"),
    Region("pages", 0x34000, PAGES_SIZE, "page tables of a kernel that is entered in long mode"),
    Region("record", 0x3F000, 0x1000, "what lies in a RAM file, as `fwbuild bake` wrote it"),
    Region("script", 0x40000, 0x10000, "the ACPI table loader's script"),
    Region("pci", 0x50000, 0x20000, "PCI functions, BARs and buses while they get addresses"),
    Region("head", 0x70000, 0x8000, "the start of a kernel file that the firmware loads"),
    Region("segments", 0x78000, 0x1800, "its program headers"),
    Region("notes", 0x7A000, 0x4000, "a segment of its notes"),
    Region("stack", 0x9B000, 0x1000, "the firmware's stack, growing down"),
    Region("work", 0x9C000, 0x1000, "variables"),
    Region("multiboot", 0x9D400, 0x1000, "Multiboot's information and its memory map"),
)
# Stays the firmware's after the handoff, where a payload may call the BIOS.
BIOS = Region("bios", 0x9EC00, 0x1000, "code and data of the BIOS calls, up to the EBDA")

# Stays the firmware's, too: what a wake from S3 needs, and the stack that it runs on.
EBDA = Region("ebda", e820.EBDA, e820.VGA - e820.EBDA, "what a wake from S3 needs, and its stack")

# The same as real mode has them: segments, and KiB of conventional memory (INT 12h).
BIOS_SEGMENT = BIOS.base >> 4
EBDA_SEGMENT, EBDA_SIZE = EBDA.base >> 4, EBDA.size
SETUP_SEGMENT = next(r.base for r in RAM if r.name == "setup") >> 4
CONVENTIONAL_KIB = BIOS.base >> 10

# RAM that the firmware leaves tables in for the guest to find. On microvm it is the image's own
# lower alias, so the image keeps clear of it.
F_SEGMENT = Region("f_segment", e820.SYSTEM_ROM, 0x8000, "RSDP, SMBIOS entry point, MP table")

REGIONS = (*RAM, BIOS, EBDA, F_SEGMENT, ROM)


def region(name: str) -> Region:
    """The RAM region of that name."""
    return next(r for r in RAM if r.name == name)


# Bytes of a command line; zeros follow it.
CMDLINE_MAX = region("cmdline").size - 4

# In use when a Multiboot kernel is read, the last that is: it may lie between the two.
MULTIBOOT_LOW = region("ivt").end
MULTIBOOT_HIGH = region("stack").base
# The tags of Multiboot 2 whose size varies end here; the others fit behind it.
MULTIBOOT2_END = region("setup").end - 0x200
# What each protocol hands over besides tables in the F segment and high RAM.
HANDED_OVER = {
    "pvh": ("pvh", "memmap", "cmdline", "texts"),
    "linux": ("setup", "cmdline"),
    "linux64": ("setup", "cmdline", "pages", "pvh"),
    "multiboot2": ("setup", "texts"),
    "multiboot": ("multiboot", "pvh", "cmdline", "texts"),
}

# The structures whose fields are variables, and where each lies. The key is the declaration's
# name in lower case: `ram.KEY.field` is the field's address in assembly.
STRUCTURES = {
    "work": (region("work").base, work.WORK),
    "record": (region("record").base, preloaded.RECORD),
    "boot_params": (region("setup").base, linux_boot.BOOT_PARAMS),
    "pvh_area": (region("pvh").base, work.PVH_AREA),
    "multiboot_area": (region("multiboot").base, work.MULTIBOOT_AREA),
    "multiboot2_info": (region("setup").base, multiboot2.INFO),
    "plan": (region("pci").base, pci_plan.PLAN),
    "bda": (bios.BDA_BASE, bios.BDA),
    "bios_data": (BIOS.base, work.BIOS_DATA),
    "ebda": (EBDA.base, work.EBDA),
}


def address(structure: str, field: str) -> int:
    """The address of a field ("outer.inner" for a nested one) of one of STRUCTURES."""
    base, declaration = STRUCTURES[structure]
    return base + offsets(declaration)[field]


def multiboot_fits(start: int, size: int) -> bool:
    """Whether a Multiboot kernel, its modules included, may be loaded so low."""
    return start >= MULTIBOOT_LOW and start + size <= MULTIBOOT_HIGH


def problems() -> list[str]:
    """Each fault of the RAM layout: overlaps, and contents that outgrow their region."""
    found = [
        f"RAM regions {a.name} and {b.name} overlap"
        for i, a in enumerate(RAM)
        for b in RAM[i + 1 :]
        if a.overlaps(b)
    ]
    needs = {
        "work": work.WORK.sizeof(),
        "directory": fw_cfg.DIR_HEADER.sizeof() + (work.DIRECTORY_PIECE + 1) * fw_cfg.FILE.sizeof(),
        "pvh": work.PVH_AREA.sizeof(),
        "record": preloaded.RECORD.sizeof(),
        "setup": linux_boot.BOOT_PARAMS.sizeof(),
        "multiboot": work.MULTIBOOT_AREA.sizeof(),
        "segments": work.SEGMENTS_MAX * work.SEGMENT.sizeof(),
        "memmap": pvh.MEMMAP_ENTRIES_MAX * pvh.MEMMAP_ENTRY.sizeof(),
    }
    for name, need in needs.items():
        short = need - region(name).size
        if short > 0:
            found.append(f"RAM region {name} is {region(name).size} bytes, {short} too few")
    if pvh.MEMMAP_ENTRIES_MAX > linux_boot.E820_MAX:
        found.append("the memory map may outgrow boot_params")
    if work.BIOS_DATA.sizeof() > work.BIOS_CODE:
        found.append("the BIOS calls' data outgrow their place")
    if any(r.end > BIOS.base for r in RAM) or BIOS.end != e820.EBDA:
        found.append("a RAM region reaches past conventional memory")
    return found + spoilt()


def spoilt() -> list[str]:
    """Everything that a kernel of low_memory.SPOILS would overwrite before it has read it."""
    found = []
    for spoil in low_memory.SPOILS:
        area = Region(spoil.kernel, spoil.start, spoil.end - spoil.start, spoil.what)
        handed = [*map(region, HANDED_OVER[spoil.protocol]), F_SEGMENT]
        found += [f"{spoil.kernel} spoils {r.name}" for r in handed if area.overlaps(r)]
    return found
