"""The I/O ports of the devices that the firmware speaks through.

Source: QEMU, hw/char/debugcon.c, hw/misc/debugexit.c; the 16550 UART's data sheet.
"""

DEBUG_CONSOLE = 0x402  # QEMU's isa-debugcon as `-debugcon` places it with iobase=0x402
DEBUG_CONSOLE_READBACK = 0xE9  # what a read of it returns

SERIAL = 0x3F8  # COM1
SERIAL_LSR = 5  # line status register
SERIAL_LSR_THRE = 0x20  # transmit holding register empty
SERIAL_PATIENCE = 0x10000  # reads of LSR before a port is given up

DEBUG_EXIT = 0x501  # QEMU's isa-debug-exit: the process ends with (value << 1) | 1


def debug_exit_status(value: int) -> int:
    """QEMU's exit status after `value` is written to isa-debug-exit."""
    return (value << 1 | 1) & 0xFF
