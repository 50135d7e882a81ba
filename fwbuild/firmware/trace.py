"""Trace points: a number written to a port says what begins.

The port and the numbers 1, 5 and 7 are those of qboot's BENCHMARK_HACK and of the patches for
Linux that go with it, so that tools made for these understand ours.
Source: qboot, benchmark.h; github.com/stefano-garzarella/qemu-boot-time, benchmark.h.
"""

from enum import IntEnum

PORT = 0xF5


class Stage(IntEnum):
    """The stages that the firmware begins, in the order of main. HANDOFF is the kernel's start,
    USER the first user program's."""

    START = 1
    HANDOFF = 5
    USER = 7
    FILES = 0x10
    CHIPSET = 0x11
    MEMMAP = 0x12
    MTRR = 0x13
    PCI = 0x14
    KERNEL = 0x15
    CMDLINE = 0x16
    INITRD = 0x17
    ACPI = 0x18
    MPTABLE = 0x19
    SMBIOS = 0x1A
    CPUS = 0x1B
