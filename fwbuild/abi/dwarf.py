"""Debugging information for one unit of assembly: the numbers that its line table needs.

Source: DWARF Debugging Information Format, version 4, chapters 6.2 and 7.
"""

from enum import IntEnum

VERSION = 4
LANG_ASSEMBLER = 0x8001  # DW_LANG_Mips_Assembler, which GNU as writes for every CPU


class Tag(IntEnum):
    """Kinds of entries (7.5.4)."""

    LABEL = 0x0A
    COMPILE_UNIT = 0x11
    SUBPROGRAM = 0x2E


class At(IntEnum):
    """Attributes (7.5.4)."""

    NAME = 0x03
    STMT_LIST = 0x10
    LOW_PC = 0x11
    HIGH_PC = 0x12
    LANGUAGE = 0x13
    PRODUCER = 0x25
    DECL_FILE = 0x3A
    DECL_LINE = 0x3B
    EXTERNAL = 0x3F
    RANGES = 0x55


class Form(IntEnum):
    """How an attribute's value is written (7.5.4)."""

    ADDR = 0x01
    DATA2 = 0x05
    DATA4 = 0x06
    STRING = 0x08
    UDATA = 0x0F
    SEC_OFFSET = 0x17
    FLAG_PRESENT = 0x19


class Line(IntEnum):
    """Standard opcodes of a line program (7.21); 0 introduces an extended one."""

    EXTENDED = 0
    COPY = 1
    ADVANCE_PC = 2
    ADVANCE_LINE = 3
    SET_FILE = 4


class LineExtended(IntEnum):
    """Extended opcodes (7.21)."""

    END_SEQUENCE = 1
    SET_ADDRESS = 2


# Operands of the standard opcodes 1 to 12 (6.2.5.2), which a line program's header repeats.
OPERANDS = (0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1)
