"""The x86 CPU: control registers, descriptors, MTRRs, the local APIC.

Source: Intel SDM volume 3A, 2.5 (control registers), 3.4.5 (segment descriptors),
4.5 (4-level paging), 8.2 (task state segments), 11.4 and 11.6 (local APIC), 12.11 (MTRRs); volume
4 for the MSR numbers.
"""

from enum import IntEnum, IntFlag

from construct import Int16ul, Int32ul, Struct


class Cr0(IntFlag):
    """CR0. ET is hard-wired to 1."""

    PE = 1 << 0
    MP = 1 << 1
    EM = 1 << 2
    TS = 1 << 3
    ET = 1 << 4
    NE = 1 << 5
    WP = 1 << 16
    AM = 1 << 18
    NW = 1 << 29
    CD = 1 << 30
    PG = 1 << 31


class Cr4(IntFlag):
    """CR4."""

    PAE = 1 << 5


CR0_RESET = Cr0.CD | Cr0.NW | Cr0.ET


class Eflags(IntFlag):
    """EFLAGS; bit 1 always reads 1."""

    CF = 1 << 0
    FIXED = 1 << 1
    PF = 1 << 2
    AF = 1 << 4
    ZF = 1 << 6
    TF = 1 << 8
    IF = 1 << 9
    DF = 1 << 10
    VM = 1 << 17


PAGE = 0x1000
RESET_VECTOR = 0xFFFFFFF0
RESET_CS_SELECTOR = 0xF000
RESET_CS_BASE = 0xFFFF0000
RESET_EDX = 6 << 8  # the CPU's family and model (table 10-1)

DESCRIPTOR = Struct(
    "limit_low" / Int16ul * "limit 15:0",
    "base_low" / Int16ul * "base 15:0",
    "base_mid_access" / Int16ul * "base 23:16, then the access byte",
    "limit_flags_base_high" / Int16ul * "limit 19:16, flags, base 31:24",
)

GDTR = Struct("limit" / Int16ul, "base" / Int32ul)


class Access(IntEnum):
    """Access bytes. All have the accessed bit: the CPU would write it, and a GDT in ROM
    cannot take the write (KVM then hangs)."""

    CODE = 0x9B  # present, DPL 0, execute/read, accessed
    DATA = 0x93  # present, DPL 0, read/write, accessed
    TSS32 = 0x89  # present, DPL 0, 32-bit TSS, available
    TSS32_BUSY = 0x8B  # what LTR makes of it


FLAGS_64 = 0x2  # L: 64-bit code, in long mode
FLAGS_32 = 0x4  # D/B: 32-bit
FLAGS_4K = 0x8  # G: limit counts 4 KiB pages

TSS32_LIMIT = 0x67  # the smallest: 104 bytes

# Selectors of the firmware's GDT. Linux's 32-bit boot protocol wants 0x10 and 0x18.
SELECTOR_TSS = 0x08
SELECTOR_CODE = 0x10
SELECTOR_DATA = 0x18

UNDEFINED_INSTRUCTION = 6
DOUBLE_FAULT = 8
EXCEPTIONS = 22  # vectors that the CPU's exceptions have
INTERRUPT_GATE = 0x8E  # present, DPL 0, 32-bit
EXCEPTIONS_WITH_ERROR_CODE = frozenset({8, 10, 11, 12, 13, 14, 17, 21})
REAL_MODE_IDT_LIMIT = 0x3FF

CPUID_FEATURES = 1
CPUID_FEATURES_EDX_MTRR = 1 << 12
CPUID_ADDRESS_SIZES = 0x80000008
CPUID_EXTENDED_MAX = 0x80000000
CPUID_EXTENDED_FEATURES = 0x80000001
CPUID_EXTENDED_FEATURES_EDX_LM_BIT = 29  # long mode


class Efer(IntFlag):
    """IA32_EFER, the MSR of long mode."""

    LME = 1 << 8
    LMA = 1 << 10


class Msr(IntEnum):
    """Model-specific registers."""

    FEATURE_CONTROL = 0x03A  # IA32_FEATURE_CONTROL
    MTRR_CAP = 0x0FE
    MTRR_PHYS_BASE0 = 0x200
    MTRR_PHYS_MASK0 = 0x201
    MTRR_FIX64K_00000 = 0x250
    MTRR_FIX16K_80000 = 0x258
    MTRR_FIX16K_A0000 = 0x259
    MTRR_FIX4K_C0000 = 0x268
    MTRR_FIX4K_F8000 = 0x26F
    MTRR_DEF_TYPE = 0x2FF
    EFER = 0xC0000080  # IA32_EFER


class PageFlag(IntFlag):
    """Bits of an entry of any page table in long mode."""

    PRESENT = 1 << 0
    WRITABLE = 1 << 1
    LARGE = 1 << 7  # in a page directory: a page of 2 MiB


PAGE_2M = 1 << 21
PAGE_ENTRIES = 512  # of a page table, 8 bytes each


class MemoryType(IntEnum):
    """MTRR memory types."""

    UC = 0
    WP = 5
    WB = 6


MTRR_CAP_FIXED = 1 << 8
MTRR_DEF_TYPE_FIXED_ENABLE = 1 << 10
MTRR_DEF_TYPE_ENABLE = 1 << 11
MTRR_PHYS_MASK_VALID = 1 << 11
MTRR_FIXED_WB = MemoryType.WB * 0x01010101  # half of a fixed-range MTRR: four ranges, a byte each
MTRR_FIXED_WP = MemoryType.WP * 0x01010101
PHYS_BITS_DEFAULT = 36  # of a CPU that has no CPUID_ADDRESS_SIZES


# IA32_FEATURE_CONTROL: lock, VMX inside and outside SMX, SENTER, SGX launch control, SGX, LMCE
FEATURE_CONTROL_BITS = 0x0016FF07

APIC_BASE = 0xFEE00000  # the local APIC's page
APIC_SIZE = 0x1000


class Apic(IntEnum):
    """Registers of the local APIC, by offset: 32 bits each, 16 bytes apart."""

    ID = 0x020
    VERSION = 0x030
    TPR = 0x080
    LOGICAL_DESTINATION = 0x0D0
    DESTINATION_FORMAT = 0x0E0
    SPURIOUS = 0x0F0
    ICR_LOW = 0x300
    ICR_HIGH = 0x310
    LVT_TIMER = 0x320
    LVT_THERMAL = 0x330
    LVT_PERFORMANCE = 0x340
    LVT_LINT0 = 0x350
    LVT_LINT1 = 0x360
    LVT_ERROR = 0x370
    TIMER_INITIAL = 0x380
    TIMER_CURRENT = 0x390
    TIMER_DIVIDE = 0x3E0


APIC_LVT_MASKED = 1 << 16
APIC_LVT_NMI = 4 << 8
APIC_LVT_EXTINT = 7 << 8
APIC_LVT_LEVEL = 1 << 15  # level triggered
APIC_SPURIOUS_ENABLE = 1 << 8
APIC_ENABLED = APIC_SPURIOUS_ENABLE | 0xFF  # with the spurious vector that it has at reset
APIC_ICR_VECTOR = 0xFF  # of STARTUP: the number of the page that a CPU starts in
APIC_ICR_MODE = 7 << 8
APIC_ICR_INIT = 5 << 8  # delivery modes
APIC_ICR_STARTUP = 6 << 8
APIC_ICR_ASSERT = 1 << 14
APIC_ICR_OTHERS = 3 << 18  # shorthand: all but this one
APIC_ICR_DESTINATION_SHIFT = 24  # in ICR_HIGH


def descriptor(base: int, limit: int, access: int, flags: int) -> bytes:
    """The 8 bytes of a segment descriptor; `limit` is the raw 20-bit field."""
    return bytes(
        DESCRIPTOR.build(
            {
                "limit_low": limit & 0xFFFF,
                "base_low": base & 0xFFFF,
                "base_mid_access": (base >> 16 & 0xFF) | access << 8,
                "limit_flags_base_high": (limit >> 16 & 0xF) | flags << 4 | (base >> 24) << 8,
            }
        )
    )
