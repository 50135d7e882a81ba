"""The devices of the PC's first years, as far as a firmware that initialises them needs: the
interrupt controllers, the timer, the clock's memory. No time passes and no interrupt comes.

Source: QEMU, hw/intc/i8259.c, hw/timer/i8254.c, hw/rtc/mc146818rtc.c.
"""

from fwbuild.abi import chipset, legacy
from fwbuild.emulator.recording import Recording


class ByteDevice:
    """A device whose registers are bytes: QEMU makes several accesses of a wider one, all of
    them to the same device (impl.max_access_size in its MemoryRegionOps)."""

    def __init__(self, base: int, count: int) -> None:
        self._base = base
        self.ports = frozenset(range(base, base + count))

    def port_in(self, port: int, size: int) -> int:
        parts = (self.read(port + i - self._base) for i in range(size))
        return int.from_bytes(bytes(parts), "little")

    def port_out(self, port: int, size: int, value: int) -> None:
        for i, byte in enumerate(value.to_bytes(size, "little")):
            self.write(port + i - self._base, byte)

    def read(self, register: int) -> int:
        raise NotImplementedError

    def write(self, register: int, value: int) -> None:
        raise NotImplementedError


class Pic(ByteDevice):
    """An 8259A: its initialisation words, its mask and what reads give."""

    def __init__(self, base: int) -> None:
        super().__init__(base, 2)
        self.mask = self.vector = 0
        self._step = 0  # the ICW that the data port expects next, 0 for none
        self._icw4 = self._single = False

    def read(self, register: int) -> int:
        return self.mask if register else 0  # no request, none in service

    def write(self, register: int, value: int) -> None:
        if register == 0:
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


class Elcr(ByteDevice):
    """Edge or level of eight IRQs; only some bits can be set."""

    def __init__(self, port: int, writable: int) -> None:
        super().__init__(port, 1)
        self.levels, self._writable = 0, writable

    def read(self, register: int) -> int:
        return self.levels

    def write(self, register: int, value: int) -> None:
        self.levels = value & self._writable


class Pit(ByteDevice):
    """An 8254 whose counters stand still at what was loaded, so a latched count is the count."""

    def __init__(self) -> None:
        super().__init__(legacy.PIT, 4)
        self.counts = [0, 0, 0]
        self._access = [0, 0, 0]  # one of legacy.PIT_LOW, PIT_HIGH, PIT_WORD
        self._low: list[int | None] = [None, None, None]  # of a word, its high byte awaited
        self._half_read = [False, False, False]

    def read(self, register: int) -> int:
        if register == legacy.PIT_CONTROL:
            return 0
        high = self._access[register] == legacy.PIT_HIGH or self._half_read[register]
        if self._access[register] == legacy.PIT_WORD:
            self._half_read[register] = not high
        return self.counts[register] >> (8 if high else 0) & 0xFF

    def write(self, register: int, value: int) -> None:
        if register == legacy.PIT_CONTROL:
            self._control(value >> 6, value >> 4 & 3)
        elif self._access[register] == legacy.PIT_LOW:
            self.counts[register] = value
        elif self._access[register] == legacy.PIT_HIGH:
            self.counts[register] = value << 8
        elif (low := self._low[register]) is None:
            self._low[register] = value
        else:
            self.counts[register], self._low[register] = value << 8 | low, None

    def _control(self, channel: int, access: int) -> None:
        if channel < len(self.counts) and access:
            self._access[channel] = access
            self._low[channel], self._half_read[channel] = None, False


class Cmos(ByteDevice):
    """The clock's memory: what QEMU put there, and what is written."""

    def __init__(self, content: bytes) -> None:
        super().__init__(legacy.CMOS_INDEX, 2)
        self.content = bytearray(content)
        self._index = 0

    def read(self, register: int) -> int:
        return self.content[self._index] if register else 0xFF

    def write(self, register: int, value: int) -> None:
        if register == 0:
            self._index = value & legacy.CMOS_SIZE - 1
        elif self._index not in legacy.CMOS_READ_ONLY:
            self.content[self._index] = value


class ResetControl(ByteDevice):
    """Port 0xcf9. A write that asks for a reset does nothing."""

    def __init__(self) -> None:
        super().__init__(chipset.RESET_CONTROL, 1)
        self.value = 0

    def read(self, register: int) -> int:
        return self.value

    def write(self, register: int, value: int) -> None:
        self.value = value & chipset.RESET_CONTROL_SYSTEM


def devices(recording: Recording) -> list[ByteDevice]:
    """Those that the machine has."""
    family = recording.family
    found: list[ByteDevice] = [ResetControl()] if family.config_ports else []
    if family.pic_with_kvm or recording.accel != "kvm":
        found += [Pic(legacy.PIC_MASTER), Pic(legacy.PIC_SLAVE), Pit()]
        found.append(Elcr(chipset.ELCR_MASTER, chipset.ELCR_MASTER_WRITABLE))
        found.append(Elcr(chipset.ELCR_SLAVE, chipset.ELCR_SLAVE_WRITABLE))
    if recording.cmos:
        found.append(Cmos(recording.cmos))
    return found
