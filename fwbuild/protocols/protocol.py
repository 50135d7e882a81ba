"""A boot protocol: everything that differs from one to the other, in one class."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fwbuild.emulator.loaded import Loaded
from fwbuild.emulator.recording import Recording
from fwbuild.emulator.state import End, ReadMemory, State
from fwbuild.firmware import file_names
from fwbuild.firmware.options import BootProtocol
from fwbuild.guest import Guest
from fwbuild.kernel.placed import Placed
from fwbuild.protocols.departure import Departure, by
from fwbuild.protocols.report import Report

STRING_MAX = 1 << 17
MODULES_MAX = 64


@dataclass(frozen=True, kw_only=True)
class Handoff(ABC):
    """The information that a kernel is handed, read back from guest memory. `address` is where
    it starts, `memmap` entries that have addr, size and type."""

    address: int
    memmap: list[Any]
    cmdline: bytes

    def plain(self) -> dict[str, Any]:
        """The same as numbers and text, for JSON and for comparing."""
        return {
            "address": self.address,
            **self.more(),
            "memmap": [numbers(entry) for entry in self.memmap],
            "cmdline": self.cmdline.decode("latin-1"),
        }

    def summary(self) -> list[tuple[str, str]]:
        """(name, text) of what a user wants to see of it but the memory map."""
        name, text = self.heading()
        cmdline = ("command line", f"'{self.cmdline.decode('latin-1')}'")
        return [(name, f"{self.address:#x}, {text}"), cmdline, *self.pieces()]

    @property
    def rsdp(self) -> int:
        """Where the kernel is told to find ACPI's root pointer; 0 where it has to search."""
        return 0

    @abstractmethod
    def areas(self) -> dict[str, tuple[int, int]]:
        """(address, bytes) of each part that is handed over, by name."""

    @abstractmethod
    def more(self) -> dict[str, Any]:
        """The protocol's own part of plain()."""

    @abstractmethod
    def heading(self) -> tuple[str, str]:
        """The name of what lies at `address`, and a word on it."""

    @abstractmethod
    def pieces(self) -> list[tuple[str, str]]:
        """(name, text) of initrd, modules and the like."""


class Protocol(ABC):
    """One boot protocol, as host, firmware and kernel take part in it.

    name:    its name in templates.
    title:   the name of its specification.
    source:  where that can be read.
    pointer: the register that leads to what is handed over.
    nowhere: what a wrong pointer leads to nothing from, in words.
    reloaded: whether QEMU puts the kernel into RAM itself, again at each reset. Then a kernel
             cannot wake from S3, for a wake is a reset.
    modules_max: modules that a kernel which the firmware loads gets; an initrd is one.
    """

    name: BootProtocol
    title: str
    source: str
    pointer: str
    nowhere: str
    reloaded = False
    modules_max = file_names.MODULES_MAX

    @abstractmethod
    def recognises(self, data: bytes) -> bool:
        """Whether QEMU takes a file for a kernel of this protocol, if it is of no protocol that
        comes before this one in PROTOCOLS."""

    @abstractmethod
    def load(self, guest: Guest, recording: Recording, data: bytes, where: str) -> Loaded:
        """Do what QEMU's loader does with the kernel file `data`. Errors name `where`. Raises
        FwbuildError for a file that QEMU refuses."""

    def place(self, data: bytes, where: str, top: int) -> tuple[int, list[Placed]] | None:
        """(entry, segments) of a kernel that the firmware loads from a file of fw_cfg; None if the
        firmware does not take the file for one of this protocol. `top` is where RAM below 4 GiB
        ends. Errors name `where`. Raises FwbuildError for a file that the firmware refuses."""
        return None

    @abstractmethod
    def entries(self, data: bytes, where: str) -> dict[str, int]:
        """The linear address of each entry of a kernel that a firmware may take, by name."""

    @abstractmethod
    def report(self, data: bytes) -> Report:
        """Everything that `fwbuild inspect` tells about a kernel of this protocol."""

    @abstractmethod
    def read(self, state: State) -> Handoff:
        """The information that the kernel is handed. Raises MemoryError where it lies nowhere."""

    @abstractmethod
    def registers(self, state: State) -> Iterator[str]:
        """Each departure of the processor's state from the protocol, in words."""

    @abstractmethod
    def handed(self, state: State, handoff: Any) -> Iterator[str]:
        """Each departure of what is handed over from the protocol and the host, in words."""

    def judge(self, state: State) -> list[Departure]:
        """Each departure from the protocol in words; none when all is well."""
        if state.end != End.HANDOFF:
            what = f"the kernel was not entered: {state.end} {state.detail}".strip()
            return [Departure(what, self.source)]
        problems: list[Departure] = []
        nowhere = f"the {self.nowhere}"
        try:
            problems.extend(by(self.source, self.registers(state)))
            handoff = self.read(state)
            nowhere = "what is handed over"
            problems.extend(by(self.source, self.handed(state, handoff)))
        except MemoryError as error:  # what came before it is kept
            problems.append(Departure(f"{nowhere} points nowhere: {error}", self.source))
        return problems


def numbers(entry: Any) -> dict[str, int]:
    """The numbers in a parsed structure, by their names."""
    return {k: int(v) for k, v in entry.items() if isinstance(v, int)}


def read_string(read: ReadMemory, address: int) -> bytes:
    """The bytes up to a zero, which is not part of them."""
    found = b""
    while b"\0" not in found and len(found) < STRING_MAX:
        found += read(address + len(found), 256)
    return found.partition(b"\0")[0]


def name_of(guest: Guest) -> str:
    """The kernel's file in words."""
    return str(guest.kernel or Path("the test kernel"))
