"""Configuration space without a step of Python where no function is: a scan of the buses asks for
thousands of them. native.py answers by a table; what is not in it yet is asked for here."""

from fwbuild.abi import offsets, pci
from fwbuild.emulator.board import Board
from fwbuild.emulator.mmio import Range
from fwbuild.emulator.pci.access import ConfigAddress, ConfigData, Ecam
from fwbuild.emulator.pci.bridge import Bridge, Bus
from fwbuild.emulator.pci.function import Function
from fwbuild.emulator.pci.hierarchy import Hierarchy
from tests.support.fuzz.native import ABSENT, Counters, Hooks

BRIDGE = offsets(pci.BRIDGE)
# A write of one of these may change which bus a number stands for.
NUMBERS = frozenset({*range(BRIDGE["primary"], BRIDGE["primary"] + 4), BRIDGE["control"]})


class LeanHierarchy(Hierarchy):
    """The same, each bus looked for once after every change of bus numbers."""

    hooks: Hooks
    known: dict[int, Bus | None]

    def find(self, number: int, devfn: int) -> Function | None:
        if number not in self.known:
            bus = self.known[number] = self._bus(number)
            if "find" not in vars(self):  # no lie: what is not there reads as ones
                row = bytearray([ABSENT]) * pci.DEVFNS
                for there in bus.functions if bus else ():
                    row[there] = 0
                self.hooks.tell(number * pci.DEVFNS, bytes(row))
        found = self.known[number]
        return found.functions.get(devfn) if found else None

    def forget(self) -> None:
        """Bus numbers have changed, or functions have come or gone."""
        self.known.clear()
        self.hooks.forget()

    def wrote(self, function: Function | None, register: int, size: int) -> None:
        """A function was written to."""
        if isinstance(function, Bridge) and not NUMBERS.isdisjoint(
            range(register, register + size)
        ):
            self.forget()


class LeanAddress(ConfigAddress):
    """The address port, whose writes machine code keeps."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    @property
    def value(self) -> int:  # type: ignore[override]
        return int(self._counters.config_address)


class LeanData(ConfigData):
    """The data port, which tells of writes."""

    def port_out(self, port: int, size: int, value: int) -> None:
        super().port_out(port, size, value)
        function, register, width = self._reach(port - pci.CONFIG_DATA, size)
        assert isinstance(self._hierarchy, LeanHierarchy)
        self._hierarchy.wrote(function, register, width)


class LeanEcam(Ecam):
    """The window of the enhanced mechanism, which tells of writes."""

    def write(self, offset: int, size: int, value: int) -> None:
        super().write(offset, size, value)
        bus, devfn, register = self._split(offset)
        assert isinstance(self._hierarchy, LeanHierarchy)
        self._hierarchy.wrote(self._hierarchy.find(bus, devfn), register, size)


def install(board: Board, hooks: Hooks) -> None:
    """Let a board that is made have these in the place of its own."""
    hierarchy = board.pci
    hierarchy.__class__ = LeanHierarchy
    assert isinstance(hierarchy, LeanHierarchy)
    hierarchy.hooks, hierarchy.known = hooks, {}
    for port, device in list(board.devices.items()):
        if isinstance(device, ConfigAddress):
            board.devices[port] = LeanAddress(hooks.counters)
        elif isinstance(device, ConfigData):
            device.__class__ = LeanData
            device._address = LeanAddress(hooks.counters)
    ecams = [e for f in hierarchy.everything() if (e := getattr(f, "ecam", None))]
    for base, window in board.mmio._ranges.items():
        if isinstance(ecam := getattr(window.read, "__self__", None), Ecam):
            ecam.__class__ = LeanEcam
            board.mmio._ranges[base] = Range(base, window.size, ecam.read, ecam.write)
    for ecam in ecams:
        ecam.__class__ = LeanEcam
