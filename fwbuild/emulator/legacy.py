"""The devices of the PC's first years, as far as a firmware that initialises them needs: the
interrupt controllers, the timer, the clock's memory. No time passes and no interrupt comes.

Source: QEMU, hw/intc/i8259.c, hw/timer/i8254.c, hw/rtc/mc146818rtc.c.
"""

from fwbuild.abi import chipset, legacy
from fwbuild.emulator.recording import Recording

ELCR_WRITABLE = {
    chipset.ELCR_MASTER: chipset.ELCR_MASTER_WRITABLE,
    chipset.ELCR_SLAVE: chipset.ELCR_SLAVE_WRITABLE,
}


class Pic:
    """An 8259A: its initialisation words, its mask and what reads give."""

    def __init__(self, base: int) -> None:
        self.ports = frozenset({base, base + 1})
        self._command = base
        self.mask = self.vector = 0
        self._step = 0  # the ICW that the data port expects next, 0 for none
        self._icw4 = self._single = False

    def port_in(self, port: int, size: int) -> int:
        return 0 if port == self._command else self.mask  # no request, none in service

    def port_out(self, port: int, size: int, value: int) -> None:
        value &= 0xFF
        if port == self._command:
            if value & legacy.ICW1:
                self.mask, self._step = 0, 2
                self._icw4 = bool(value & legacy.ICW1_ICW4)
                self._single = bool(value & legacy.ICW1_SINGLE)
        elif self._step == 0:
            self.mask = value
        else:
            if self._step == 2:
                self.vector = value & ~7
            after = {2: 4 if self._single else 3, 3: 4, 4: 0}[self._step]
            self._step = after if after != 4 or self._icw4 else 0


class Elcr:
    """Edge or level of each IRQ; only some bits can be set."""

    ports = frozenset({chipset.ELCR_MASTER, chipset.ELCR_SLAVE})

    def __init__(self) -> None:
        self.levels = dict.fromkeys(self.ports, 0)

    def port_in(self, port: int, size: int) -> int:
        return self.levels[port]

    def port_out(self, port: int, size: int, value: int) -> None:
        self.levels[port] = value & ELCR_WRITABLE[port]


class Pit:
    """An 8254 whose counters stand still at what was loaded, so a latched count is the count."""

    ports = frozenset(range(legacy.PIT, legacy.PIT + 4))

    def __init__(self) -> None:
        self.counts = [0, 0, 0]
        self._access = [0, 0, 0]  # one of legacy.PIT_LOW, PIT_HIGH, PIT_WORD
        self._low: list[int | None] = [None, None, None]  # of a word, its high byte awaited
        self._half_read = [False, False, False]

    def port_in(self, port: int, size: int) -> int:
        channel = port - legacy.PIT
        if channel == legacy.PIT_CONTROL:
            return 0
        high = self._access[channel] == legacy.PIT_HIGH or self._half_read[channel]
        if self._access[channel] == legacy.PIT_WORD:
            self._half_read[channel] = not high
        return self.counts[channel] >> (8 if high else 0) & 0xFF

    def port_out(self, port: int, size: int, value: int) -> None:
        channel, value = port - legacy.PIT, value & 0xFF
        if channel == legacy.PIT_CONTROL:
            self._control(value >> 6, value >> 4 & 3)
        elif self._access[channel] == legacy.PIT_LOW:
            self.counts[channel] = value
        elif self._access[channel] == legacy.PIT_HIGH:
            self.counts[channel] = value << 8
        elif (low := self._low[channel]) is None:
            self._low[channel] = value
        else:
            self.counts[channel], self._low[channel] = value << 8 | low, None

    def _control(self, channel: int, access: int) -> None:
        if channel < len(self.counts) and access:
            self._access[channel] = access
            self._low[channel], self._half_read[channel] = None, False


class Cmos:
    """The clock's memory: what QEMU put there, and what is written."""

    ports = frozenset({legacy.CMOS_INDEX, legacy.CMOS_DATA})

    def __init__(self, content: bytes) -> None:
        self.content = bytearray(content)
        self._index = 0

    def port_in(self, port: int, size: int) -> int:
        return self.content[self._index] if port == legacy.CMOS_DATA else 0xFF

    def port_out(self, port: int, size: int, value: int) -> None:
        if port == legacy.CMOS_INDEX:
            self._index = value & legacy.CMOS_SIZE - 1
        elif self._index not in legacy.CMOS_READ_ONLY:
            self.content[self._index] = value & 0xFF


class ResetControl:
    """Port 0xcf9. A write that asks for a reset is only kept: `asked` tells."""

    ports = frozenset({chipset.RESET_CONTROL})

    def __init__(self) -> None:
        self.value, self.asked = 0, False

    def port_in(self, port: int, size: int) -> int:
        return self.value

    def port_out(self, port: int, size: int, value: int) -> None:
        self.asked |= bool(value & chipset.RESET_CONTROL_CPU)
        self.value = value & chipset.RESET_CONTROL_SYSTEM


Legacy = Pic | Elcr | Pit | Cmos | ResetControl


def devices(recording: Recording) -> list[Legacy]:
    """Those that the machine has: microvm has timer and controllers only without KVM."""
    microvm = recording.machine.startswith("microvm")
    found: list[Legacy] = [] if microvm else [ResetControl()]
    if not microvm or recording.accel != "kvm":
        found += [Pic(legacy.PIC_MASTER), Pic(legacy.PIC_SLAVE), Elcr(), Pit()]
    if recording.cmos:
        found.append(Cmos(recording.cmos))
    return found
