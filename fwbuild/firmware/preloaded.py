"""The record by which a RAM file tells the firmware what lies in it.

`fwbuild bake` writes it, asm/protocols/preloaded.s reads and checks it. Where it lies is in
layout.py; why it is so, in docs/decisions/13-a-guest-in-a-ram-file.md.
"""

from enum import IntEnum

from construct import Array, Int32ul, Struct

from fwbuild.abi import pvh
from fwbuild.firmware import work

MAGIC = int.from_bytes(b"bake", "little")
SPENT = int.from_bytes(b"done", "little")  # the kernel has been entered: it is good for one start


class Entry(IntEnum):
    """How the kernel is entered."""

    PVH = 1


RECORD = Struct(
    "magic" / Int32ul * "MAGIC, or SPENT from the kernel's entry on",
    "protocol" / Int32ul * "a number of Entry",
    "low_ram_end" / Int32ul * "address where RAM from 0 on ends",
    "kernel_entry" / Int32ul * "address",
    "kernel_start" / Int32ul * "address of the lowest segment",
    "kernel_size" / Int32ul * "bytes up to the end of the highest one",
    "cmdline_size" / Int32ul * "bytes of the command line, in layout's region of that name",
    "nr_modules" / Int32ul * "modules; the first is the initrd",
    "modules"
    / Array(work.MODULES_MAX, pvh.MODLIST_ENTRY)
    * "by rising address, from the kernel's end on",
)
