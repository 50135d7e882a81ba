"""The report on a file: facts, how QEMU and the firmware take it, and why they may not."""

from dataclasses import dataclass, field
from enum import IntFlag
from typing import Any

from fwbuild.firmware import stop_codes
from fwbuild.firmware.options import BootProtocol
from fwbuild.image import template
from fwbuild.image.template import Template
from fwbuild.kernel.vmlinux import Elf


@dataclass(frozen=True)
class Problem:
    """One reason why a file does not boot, and what to do about it."""

    what: str
    hint: str


@dataclass
class Report:
    """The report on a file.

    kind:     a key that does not change: see KINDS.
    what:     the same in words.
    facts:    what the file says, keys in the words of its format. Sizes in bytes.
    qemu:     what QEMU does with it as -kernel or -bios.
    protocol: how the firmware enters it, None if it cannot.
    problems: why it does not boot.
    notes:    what else is good to know.
    size:     of the file, in bytes.
    """

    kind: str
    what: str
    facts: dict[str, Any] = field(default_factory=dict)
    qemu: str = ""
    protocol: BootProtocol | None = None
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    size: int = 0

    @property
    def templates(self) -> list[str]:
        """The templates whose image boots it."""
        return [n for n in template.names() if self.protocol in Template.load(n).words("protocols")]

    def stops(self, name: str, detail: str = "") -> None:
        """Add the problem that the firmware would stop with, by the name of its stop code."""
        stop = stop_codes.BY_NAME[name]
        text = f"the firmware stops: {stop.code:02x} {stop.what}{detail and ' ' + detail}"
        self.problems.append(Problem(text, stop.hint))

    def plain(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "kind": self.kind,
            "what": self.what,
            "facts": self.facts,
            "qemu": self.qemu,
            "protocol": self.protocol,
            "templates": self.templates,
            "boots": not self.problems,
            "problems": [{"what": p.what, "hint": p.hint} for p in self.problems],
            "notes": self.notes,
        }


def flag_names(kind: type[IntFlag], value: int) -> list[str]:
    """The names of the bits that are set; a bit without a name as its number."""
    known = {int(flag): flag.name or "" for flag in kind}
    bits = [1 << i for i in range(value.bit_length()) if value >> i & 1]
    return [known.get(bit, f"{bit:#x}") for bit in bits]


def elf_facts(elf: Elf) -> dict[str, Any]:
    """The facts of an ELF kernel's own headers."""
    return {
        "bits": elf.bits,
        "elf_entry": elf.elf_entry,
        "load_address": elf.low,
        "load_end": elf.high,
        "pvh_entry": elf.pvh_note and elf.pvh_note.entry,
        "pvh_note_name": elf.pvh_note and elf.pvh_note.name.decode("ascii", "replace"),
    }


KINDS = {
    "bzimage": "a Linux kernel as /boot has it, or what is made like one",
    "multiboot": "a Multiboot 1 kernel",
    "vmlinux": "an ELF kernel, with a PVH note or without",
    "uki": "a unified kernel image: an EFI application with a kernel, its initrd and command line",
    "efi": "another EFI application",
    "compressed": "a compressed file",
    "image": "a firmware image of fwbuild's",
    "firmware": "another firmware image",
    "option-rom": "an option ROM",
}
