"""The PC BIOS as real-mode payloads know it: vectors, data area, calls.

Source: IBM PC/AT Technical Reference (vectors, data area); ACPI 6.5, 15.1 (INT 15h E820);
Phoenix System BIOS reference for the rest; Intel 8259A and 8254 data sheets.
"""

from enum import IntEnum

from construct import Array, Int8ul, Int16ul, Int32ul, Padding, Struct

from fwbuild.abi import legacy, x86

VECTORS = 256
BASE_MEMORY_MIN = 0x80000  # the least conventional memory of a PC with memory above 1 MiB


class Vector(IntEnum):
    """Interrupt vectors."""

    TIMER = legacy.PIC_MASTER_VECTOR  # IRQ 0
    KEYBOARD = 0x09  # IRQ 1, and the six after it
    VIDEO = 0x10
    EQUIPMENT = 0x11
    MEMORY = 0x12
    DISK = 0x13
    SYSTEM = 0x15
    KEYS = 0x16
    NO_BOOT = 0x18
    BOOTSTRAP = 0x19
    TIME = 0x1A
    TICK = 0x1C
    CLOCK = legacy.PIC_SLAVE_VECTOR  # IRQ 8, and the seven after it


class Call(IntEnum):
    """Functions: a value of AH, or of AX where it has four digits."""

    VIDEO_CURSOR = 0x03
    VIDEO_TELETYPE = 0x0E
    VIDEO_MODE = 0x0F
    VIDEO_VBE = 0x4F
    SYSTEM_A20_ON = 0x2401
    SYSTEM_EXTENDED = 0x88
    SYSTEM_E801 = 0xE801
    SYSTEM_E820 = 0xE820
    KEYS_PEEK = 0x01
    KEYS_SHIFT = 0x02
    KEYS_PEEK_ENHANCED = 0x11


DISK_BAD = 0x01  # AH: no such function or drive
VBE_FAILED = 0x014F
UNSUPPORTED = 0x86  # AH of INT 15h
TEXT_MODE = 3  # 80 x 25
COLUMNS = 80
ROWS = 25
CURSOR_SHAPE = 0x0607
EQUIPMENT_80_COLUMNS = 0x20
EQUIPMENT_ONE_SERIAL = 0x200
E801_LOW_MAX = 0x3C00  # KiB: from 1 MiB to 16 MiB
EXTENDED_MAX = 0xFC00  # KiB: what AH=88h tells at most
SMAP = 0x534D4150

BDA_BASE = 0x400
BDA = Struct(
    "serial_ports" / Array(4, Int16ul),
    "parallel_ports" / Array(3, Int16ul),
    "ebda_segment" / Int16ul,
    "equipment" / Int16ul,
    Padding(1),
    "base_memory" / Int16ul,  # KiB
    Padding(0x49 - 0x15),
    "video_mode" / Int8ul,
    "columns" / Int16ul,
    Padding(0x6C - 0x4C),
    "ticks" / Int32ul,  # 18.2 a second
    Padding(0x84 - 0x70),
    "last_row" / Int8ul,
    Padding(0x100 - 0x85),
)

# What a BIOS leaves interrupt controllers and timer with.
MASTER_MASK = 0xFE  # the timer alone gets through
TIMER_MODE = legacy.PIT_WORD << 4 | legacy.PIT_RATE << 1  # channel 0; a count of 0 is 65536

# The boot CPU's local APIC, through which the controllers' interrupts reach it (Intel SDM
# volume 3A, 11.4.7 and 11.5.1): none do at reset.
APIC_LINT0 = x86.APIC_LVT_LEVEL | x86.APIC_LVT_EXTINT
APIC_LINT1 = x86.APIC_LVT_LEVEL | x86.APIC_LVT_NMI
