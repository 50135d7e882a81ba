"""The consoles and the exit: devices of a register or two."""

from fwbuild.abi import ports


class DebugConsole:
    """QEMU's isa-debugcon."""

    ports = frozenset({ports.DEBUG_CONSOLE})

    def __init__(self) -> None:
        self.text = ""

    def port_in(self, port: int, size: int) -> int:
        return ports.DEBUG_CONSOLE_READBACK

    def port_out(self, port: int, size: int, value: int) -> None:
        self.text += chr(value & 0xFF)


class Serial:
    """A 16550 whose transmitter is always ready."""

    ports = frozenset(range(ports.SERIAL, ports.SERIAL + 8))

    def __init__(self) -> None:
        self.text = ""

    def port_in(self, port: int, size: int) -> int:
        return ports.SERIAL_LSR_THRE if port == ports.SERIAL + ports.SERIAL_LSR else 0

    def port_out(self, port: int, size: int, value: int) -> None:
        if port == ports.SERIAL:
            self.text += chr(value & 0xFF)


class DebugExit:
    """QEMU's isa-debug-exit: the first value written ends the run."""

    ports = frozenset({ports.DEBUG_EXIT, ports.DEBUG_EXIT + 1})

    def __init__(self) -> None:
        self.value: int | None = None

    def port_in(self, port: int, size: int) -> int:
        return 0

    def port_out(self, port: int, size: int, value: int) -> None:
        self.value = value
