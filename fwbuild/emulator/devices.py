"""The consoles, the exit and the panic, as QEMU's hw/char/debugcon.c, hw/char/serial.c,
hw/misc/debugexit.c and hw/misc/pvpanic-isa.c behave."""

from fwbuild.abi import ports, pvpanic
from fwbuild.abi.ports import Uart


class DebugConsole:
    """QEMU's isa-debugcon. A wider access also reaches the next ports, where nothing is."""

    ports = frozenset({ports.DEBUG_CONSOLE})

    def __init__(self) -> None:
        self.text = ""

    def port_in(self, port: int, size: int) -> int:
        return (1 << 8 * size) - 0x100 | ports.DEBUG_CONSOLE_READBACK

    def port_out(self, port: int, size: int, value: int) -> None:
        self.text += chr(value & 0xFF)


class Serial:
    """A 16550A whose transmitter is always ready. It receives only what it sends to itself in
    loopback, the last byte of it, and raises no interrupt."""

    ports = frozenset(range(ports.SERIAL, ports.SERIAL + len(Uart)))

    def __init__(self) -> None:
        self.text = ""
        self._registers = bytearray(len(Uart))
        self._registers[Uart.IIR] = ports.UART_IIR_NONE
        self._registers[Uart.MCR] = ports.UART_MCR_OUT2
        self._registers[Uart.LSR] = ports.SERIAL_LSR_THRE | ports.SERIAL_LSR_TEMT
        self._registers[Uart.MSR] = ports.UART_MSR_CONNECTED
        self._fifo_control = 0
        self._divisor = bytearray(ports.UART_DIVISOR.to_bytes(2, "little"))

    def port_in(self, port: int, size: int) -> int:
        """A read of `size` registers, one after the other."""
        first = port - ports.SERIAL
        return int.from_bytes((self._read(first + i) for i in range(size)), "little")

    def port_out(self, port: int, size: int, value: int) -> None:
        """A write of `size` registers, one after the other."""
        for i, byte in enumerate(value.to_bytes(size, "little")):
            self._write(port - ports.SERIAL + i, byte)

    def _latched(self, register: int) -> bool:
        """Whether a register is one of the divisor's now."""
        return register < len(self._divisor) and bool(
            self._registers[Uart.LCR] & ports.UART_LCR_DLAB
        )

    def _read(self, register: int) -> int:
        if self._latched(register):
            return self._divisor[register]
        value = self._registers[register]
        if register == Uart.DATA:
            self._registers[Uart.LSR] &= ~ports.SERIAL_LSR_DR
        if register == Uart.IIR and value & ~ports.UART_IIR_FIFO == ports.UART_IIR_THRI:
            self._identify(ports.UART_IIR_NONE)
        looped = self._registers[Uart.MCR]
        if register == Uart.MSR and looped & ports.UART_MCR_LOOP:
            # OUT2, OUT1, RTS and DTR arrive as DCD, RI, CTS and DSR
            return (looped & 0xC) << 4 | (looped & 2) << 3 | (looped & 1) << 5
        return value

    def _write(self, register: int, value: int) -> None:
        if self._latched(register):
            self._divisor[register] = value
        elif register == Uart.DATA:
            self._send(value)
        elif register == Uart.IER:
            changed = self._registers[register] ^ value
            self._registers[register] = value & ports.UART_IER_BITS
            if changed & ports.UART_IER_THRI:
                self._empty()
        elif register == Uart.IIR:
            self._control_fifos(value)
        elif register == Uart.MCR:
            self._registers[register] = value & ports.UART_MCR_BITS
        elif register in (Uart.LCR, Uart.SCRATCH):
            self._registers[register] = value

    def _control_fifos(self, value: int) -> None:
        """The FIFOs are switched, which empties them, or emptied."""
        switched = (value ^ self._fifo_control) & ports.UART_FCR_ENABLE
        emptied = value != self._fifo_control and value & ports.UART_FCR_CLEAR_TRANSMIT
        self._fifo_control = value & ports.UART_FCR_KEPT
        if switched:
            self._registers[Uart.IIR] ^= ports.UART_IIR_FIFO
        if switched or emptied:
            self._empty()

    def _send(self, value: int) -> None:
        if self._registers[Uart.MCR] & ports.UART_MCR_LOOP:
            self._registers[Uart.DATA] = value
            self._registers[Uart.LSR] |= ports.SERIAL_LSR_DR
        else:
            self.text += chr(value)
        self._empty()

    def _empty(self) -> None:
        """The transmitter is empty, which is an interrupt where that is enabled."""
        enabled = self._registers[Uart.IER] & ports.UART_IER_THRI
        self._identify(ports.UART_IIR_THRI if enabled else ports.UART_IIR_NONE)

    def _identify(self, interrupt: int) -> None:
        fifo = self._registers[Uart.IIR] & ports.UART_IIR_FIFO
        self._registers[Uart.IIR] = fifo | interrupt


class DebugExit:
    """QEMU's isa-debug-exit: the first value written ends the run."""

    ports = frozenset({ports.DEBUG_EXIT, ports.DEBUG_EXIT + 1})

    def __init__(self) -> None:
        self.value: int | None = None

    def port_in(self, port: int, size: int) -> int:
        return 0

    def port_out(self, port: int, size: int, value: int) -> None:
        self.value = value


class Pvpanic:
    """QEMU's pvpanic on ISA, which knows no event but the panic. `reported`: the bits of the
    events that the guest reported."""

    def __init__(self, port: int) -> None:
        self.ports = frozenset({port})
        self.reported = 0

    def port_in(self, port: int, size: int) -> int:
        return pvpanic.PANICKED

    def port_out(self, port: int, size: int, value: int) -> None:
        self.reported |= value
