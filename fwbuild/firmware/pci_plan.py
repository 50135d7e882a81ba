"""The tables that the firmware makes of PCI's functions while it gives them addresses.

They lie in the RAM region `pci` after PLAN, in the order in which they are made. All pointers
are addresses, 0 for none. Nothing outside the firmware relies on this layout.
"""

from enum import IntEnum, IntFlag

from construct import Array, Byte, Int32ul, Int64ul, Padding, Struct


class List(IntEnum):
    """The lists of a bus, and the windows of its bridge."""

    IO = 0
    MEMORY = 1  # 32-bit addresses
    PREFETCH = 2  # 64-bit addresses; a root bus keeps these in MEMORY, as MOVABLE


class Kind(IntEnum):
    """The address spaces. The number is that of the first List in it."""

    IO = 0
    MEMORY = 1  # List.MEMORY and List.PREFETCH


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
    MOVABLE = 16  # may go to the second aperture of the root buses,
    MOVED = 32  # and does
    DROPPED = 64  # gets nothing but what is left when all others have their addresses
    HINT = 128  # a window's room is what the host asks for


RESOURCE = Struct(
    "next" / Int32ul * "in its list, which is sorted by key, the largest first",
    "function" / Int32ul * "whose BAR it is",
    "register" / Int32ul * "configuration address of the BAR, or of the window's base",
    "size" / Int64ul * "in bytes",
    "address" / Int64ul * "0: it has none",
    "rank" / Int32ul * "DROPPED if this is PLAN.threshold or more; a window: its room is",
    "key" / Byte * "the alignment's power of two",
    "flags" / Byte * "Flag",
    Padding(2),
)

WINDOW = Struct(
    Padding(RESOURCE.sizeof()),
    "room" / Int64ul * "bytes that it has at least, for devices that come later",
    "room_key" / Byte * "the power of two in it, which it is aligned to",
    Padding(3),
)

BUS = Struct(
    "next" / Int32ul * "the one made after it; buses downstream come later",
    "previous" / Int32ul * "the one made before it",
    "parent" / Int32ul * "the BUS above it",
    "function" / Int32ul * "its bridge",
    "config" / Int32ul * "configuration address of the function to look at next",
    "config_end" / Int32ul * "configuration address after the last function",
    "intx" / Int32ul * "what its bridge and those above add to an interrupt pin",
    "has" / Int32ul * "bit n: its bridge has the window of List n",
    "express" / Int32ul * "its bridge's kind of express port, 0 for none",
    "hints" / Int32ul * "configuration address of pci.RESERVE in its bridge, 0 without",
    "lists" / Array(LISTS, Int32ul) * "a List each: the first RESOURCE",
    "windows" / Array(LISTS, Int32ul) * "a List each: the WINDOW of its bridge",
)

APERTURES = Struct(
    "start" / Int64ul * "first address",
    "end" / Int64ul * "address after the last",
    "other_start" / Int64ul * "first address for what is MOVED",
    "other_end" / Int64ul * "address after the last",
)

PLAN = Struct(
    # At the start of the region; zeros in the beginning, up to `buckets`.
    "config_address" / Int32ul * "the value of port 0xcf8",
    "next" / Int32ul * "address of the first free byte of the region",
    "functions" / Int32ul * "the FUNCTION found last",
    "bus_last" / Int32ul * "the BUS made last",
    "bus_number" / Int32ul * "the highest number given so far",
    "roots" / Array(8, Int32ul) * "bit n: bus n is an extra root bus",
    "limits" / Array(LISTS, Byte) * "a List each: the largest key that an aperture can hold",
    Padding(1),
    "limit" / Int64ul * "address where pci_place ends",
    "kind" / Int32ul * "the Kind that is being placed",
    "short" / Int32ul * "the Short that is being mended",
    "threshold" / Int32ul * "the least RESOURCE.rank that loses",
    "keys" / Int64ul * "bit n: buckets[n] is in use",
    "memory" / APERTURES * "below 4 GiB; above RAM above 4 GiB",
    "root" / BUS * "all root buses, one after the other",
    "buckets" / Array(64, Int32ul) * "lists by key, while pci_sort runs",
)


class Short(IntFlag):
    """The apertures that pci_try finds too small."""

    FIRST = 1  # the first aperture, when all has moved to the other that may
    OTHER = 2


class Rank(IntEnum):
    """Who loses first where space runs out: the highest. Next come the key, and what was found
    last. Storage, network and bridges are what boots a guest."""

    BOOT = 0
    DEVICE = 1
    HINT = 2  # room that the host asks for
    ROM = 3
    ROOM = 4  # room that nobody asks for


RANK_KEY_SHIFT = 15  # below: the offset of the RESOURCE in the region, in dwords
RANK_SHIFT = RANK_KEY_SHIFT + 6
RANK_END = (max(Rank) + 1) << RANK_SHIFT  # more than any
NEVER = 0xFFFFFFFF  # the rank of what has lost for good

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
WINDOW_IO_KEY = 12
WINDOW_MEMORY_KEY = 20
# Room for what comes later, in bytes, where no hint says otherwise: as Linux and SeaBIOS have it.
ROOM_MEMORY = 2 << 20
ROOM_IO = 1 << WINDOW_IO_KEY  # on a conventional bus: express devices do without I/O

# Which of the dwords from the first BAR on are BARs, a bit each; the last is the ROM's.
BARS_NORMAL = 0x13F
BARS_BRIDGE = 0x403

MEMORY_64_ALIGN = 1 << 30  # of the 64-bit aperture's start, as QEMU has it

# The line for what gets no address, and where its digits are (all hexadecimal).
NOTE = "fwbuild: no room for PCI 00:00.0 register 00 size 0000000000000000\n"
NOTE_BUS = NOTE.index("00:")
NOTE_DEVICE = NOTE_BUS + 3
NOTE_FUNCTION = NOTE_DEVICE + 3
NOTE_REGISTER = NOTE.index("00 size")
NOTE_SIZE = NOTE.index("size ") + 5
NOTE_LENGTH = len(NOTE)
