"""The I/O ports of the devices that the firmware speaks through.

Source: QEMU, hw/char/debugcon.c, hw/misc/debugexit.c; the 16550 UART's data sheet.
"""

from enum import IntEnum

DEBUG_CONSOLE = 0x402  # QEMU's isa-debugcon as `-debugcon` places it with iobase=0x402
DEBUG_CONSOLE_READBACK = 0xE9  # what a read of it returns

SERIAL = 0x3F8  # COM1
SERIAL_LSR = 5  # line status register
SERIAL_LSR_THRE = 0x20  # transmit holding register empty
SERIAL_LSR_TEMT = 0x40  # transmitter empty
SERIAL_LSR_DR = 0x01  # data ready
SERIAL_PATIENCE = 0x4000  # reads of LSR before a port is given up


class Uart(IntEnum):
    """The 16550's registers, counted from its first port."""

    DATA = 0  # or the divisor's low byte
    IER = 1  # interrupt enable, or the divisor's high byte
    IIR = 2  # interrupt identification; a write is to the FIFO control register
    LCR = 3  # line control
    MCR = 4  # modem control
    LSR = SERIAL_LSR
    MSR = 6  # modem status
    SCRATCH = 7


UART_IER_BITS = 0x0F
UART_IER_THRI = 0x02  # transmit holding register empty
UART_IIR_NONE = 0x01  # no interrupt is pending
UART_IIR_THRI = 0x02
UART_IIR_FIFO = 0xC0  # the FIFOs are on
UART_FCR_ENABLE = 0x01
UART_FCR_CLEAR_TRANSMIT = 0x04
UART_FCR_KEPT = 0xC9  # the bits that are not commands
UART_LCR_DLAB = 0x80  # the divisor is at registers 0 and 1
UART_MCR_BITS = 0x1F
UART_MCR_OUT2 = 0x08
UART_MCR_LOOP = 0x10
UART_MSR_CONNECTED = 0xB0  # DCD, DSR and CTS
UART_DIVISOR = 12  # at reset: 9600 baud

DEBUG_EXIT = 0x501  # QEMU's isa-debug-exit: the process ends with (value << 1) | 1


def debug_exit_status(value: int) -> int:
    """QEMU's exit status after `value` is written to isa-debug-exit."""
    return (value << 1 | 1) & 0xFF
