"""The tables that the firmware makes of PCI's functions while it gives them addresses.

They lie in the RAM region `pci` behind PLAN, in the order in which they are made. All pointers
are addresses, 0 for none. Nothing outside the firmware relies on this layout.
"""

from enum import IntEnum, IntFlag

from construct import Array, Byte, Int32ul, Int64ul, Padding, Struct


class List(IntEnum):
    """The lists of a bus, and the windows of its bridge."""

    IO = 0
    MEMORY = 1  # 32-bit addresses
    PREFETCH = 2  # 64-bit addresses; a root bus keeps these in MEMORY, as MOVABLE


LISTS = len(List)

FUNCTION = Struct(
    "next" / Int32ul * "the FUNCTION found before",
    "config" / Int32ul * "configuration address of its first register",
    "command" / Int32ul * "what goes to its command register in the end",
)


class Flag(IntFlag):
    """RESOURCE.flags."""

    WINDOW = 1  # a bridge's window, not a BAR
    IO = 2
    WIDE = 4  # the BAR has an upper half
    ROM = 8  # stays disabled, so it need not have an address
    MOVABLE = 16  # may go to the second window of its root bus,
    MOVED = 32  # and does


RESOURCE = Struct(
    "next" / Int32ul * "in its list, which is sorted by key, the largest first",
    "function" / Int32ul * "whose it is",
    "register" / Int32ul * "configuration address of the BAR, or of the window's base",
    "mask" / Int64ul * "alignment - 1, in bytes",
    "size" / Int64ul * "in bytes",
    "address" / Int64ul * "0: it has none",
    "key" / Byte * "the alignment's power of two; 0 for windows of I/O and for hot-plug: the last",
    "flags" / Byte * "Flag",
    Padding(2),
)

BUS = Struct(
    "next" / Int32ul * "the BUS made before",
    "parent" / Int32ul * "the BUS above it",
    "function" / Int32ul * "its bridge",
    "config" / Int32ul * "configuration address of the function to look at next",
    "config_end" / Int32ul * "configuration address after the last function",
    "intx" / Int32ul * "what its bridge and those above add to an interrupt pin",
    "has" / Int32ul * "bit n: its bridge has the window of List n",
    "lists" / Array(LISTS, Int32ul) * "a List each: the first RESOURCE",
    "windows" / Array(LISTS, Int32ul) * "a List each: the RESOURCE of its bridge's window",
)

WINDOWS = Struct(
    "start" / Int64ul * "first address",
    "end" / Int64ul * "address after the last",
    "other_start" / Int64ul * "first address for what is MOVED",
    "other_end" / Int64ul * "address after the last",
)

PLAN = Struct(
    # At the start of the region; zeros in the beginning.
    "config_address" / Int32ul * "the value of port 0xcf8",
    "next" / Int32ul * "address of the first free byte of the region",
    "functions" / Int32ul * "the FUNCTION found last",
    "bus_last" / Int32ul * "the BUS made last",
    "bus_number" / Int32ul * "the highest number given so far",
    "roots" / Array(8, Int32ul) * "bit n: bus n is an extra root bus",
    "limits" / Array(LISTS, Byte) * "a List each: the key that is too large for any window",
    Padding(1),
    "limit" / Int64ul * "address where pci_place ends",
    "memory" / WINDOWS * "below 4 GiB; above RAM above 4 GiB",
    "root" / BUS * "all root buses, one after the other",
)

# One of the chipset's own functions: where it is, its IDs, which of BARS_NORMAL it has.
KNOWN = Struct("config" / Int32ul, "id" / Int32ul, "bars" / Int32ul)

# I/O ports: where a PC's firmware puts them, and what else is free (0xa000 up is QEMU's ACPI
# hot-plug, below 0x1000 the ISA devices and power management).
IO_START = 0xC000
IO_END = 0x10000
IO_OTHER_START = 0x1000
IO_OTHER_END = 0xA000
IO_KEY_MAX = 14

MEMORY_KEY_MIN = 12  # a memory BAR has its pages to itself
WINDOW_KEY = 20  # of a bridge's memory window
WINDOW_IO_MASK = 0xFFF
HOT_PLUG_SIZE = 2 << 20  # of a window for what comes later, as Linux and SeaBIOS have it

# Which of the dwords from the first BAR on are BARs, a bit each; the last is the ROM's.
BARS_NORMAL = 0x13F
BARS_BRIDGE = 0x403

MEMORY_64_ALIGN = 1 << 30  # of the 64-bit window's start, as QEMU has it
