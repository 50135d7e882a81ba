"""The report on a file: facts, how QEMU and the firmware take it, and why they may not."""

from dataclasses import dataclass, field
from enum import IntFlag, StrEnum
from typing import Any

from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.firmware import stop_codes
from fwbuild.firmware.options import BootProtocol
from fwbuild.image import template
from fwbuild.image.template import Template
from fwbuild.kernel.vmlinux import LIMITED, Elf


@dataclass(frozen=True)
class Problem:
    """One reason why a file does not boot, and what to do about it."""

    what: str
    hint: str


class Way(StrEnum):
    """What `fwbuild run` makes of a kernel's file."""

    KERNEL = "kernel"  # QEMU's -kernel
    VMLINUX = "vmlinux"  # the vmlinux inside it, as -kernel
    FILE = "file"  # the file of fw_cfg that the firmware loads
    PARTS = "parts"  # the parts of a UKI


@dataclass(frozen=True, kw_only=True)
class ByFile:
    """What the firmware does with a kernel's file as opt/fwbuild/kernel.

    protocol, title: how it enters the kernel, and the name of that specification; None if it
             refuses the file.
    entry:   the address that it enters, None then.
    refusal: why it refuses the file."""

    protocol: BootProtocol | None = None
    title: str = ""
    entry: int | None = None
    refusal: FwbuildError | None = None

    @property
    def templates(self) -> list[str]:
        """The templates whose image loads it."""
        return [n for n in template.names() if self.loaded_by(Template.load(n))]

    def loaded_by(self, made: Template) -> bool:
        """Whether a template's image loads it."""
        return bool(made.values["kernel_file"]) and self.protocol in made.words("protocols")

    def plain(self) -> dict[str, Any]:
        """All of it as plain data."""
        no = self.refusal
        return {
            "protocol": self.protocol,
            "entry": self.entry,
            "templates": self.templates,
            "problem": {"what": no.what, "hint": no.hint} if no else None,
        }


@dataclass
class Report:
    """The report on a file.

    kind:     a key that does not change: see KINDS.
    what:     the same in words.
    facts:    what the file says, keys in the words of its format. Sizes in bytes.
    qemu:     what QEMU does with it as -kernel or -bios.
    protocol: how the firmware enters it after that, None if it cannot.
    problems: why it does not boot by that way.
    by_file:  what the firmware does with it as a file of fw_cfg; None for what is no kernel.
    inner:    what `fwbuild run` takes out of it, None if it takes the file as it is.
    notes:    what else is good to know.
    size:     of the file, in bytes.
    """

    kind: str
    what: str
    facts: dict[str, Any] = field(default_factory=dict)
    qemu: str = ""
    protocol: BootProtocol | None = None
    problems: list[Problem] = field(default_factory=list)
    by_file: ByFile | None = None
    inner: Way | None = None
    notes: list[str] = field(default_factory=list)
    size: int = 0

    @property
    def templates(self) -> list[str]:
        """The templates whose image boots it."""
        return [n for n in template.names() if self.protocol in Template.load(n).words("protocols")]

    def stops(self, name: str, detail: str = "") -> None:
        """Add the problem that the firmware would stop with, by the name of its stop code."""
        self.problems.append(stop_problem(name, detail))

    @property
    def limited(self) -> bool:
        """Whether QEMU may take what fwbuild does not read."""
        return any(problem.what.startswith(LIMITED) for problem in self.problems)

    @property
    def way(self) -> Way | None:
        """The way by which the file itself boots; None for none, or an unknown one. QEMU goes
        first."""
        if not self.problems:
            return Way.KERNEL
        if self.limited:
            return None
        return Way.FILE if self.by_file and self.by_file.protocol else None

    def plain(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "kind": self.kind,
            "what": self.what,
            "facts": self.facts,
            "qemu": self.qemu,
            "protocol": self.protocol,
            "templates": self.templates,
            "by_file": self.by_file and self.by_file.plain(),
            "run": self.inner or (self.by_file and self.way),
            "boots": self.way is not None,
            "problems": [{"what": p.what, "hint": p.hint} for p in self.problems],
            "notes": self.notes,
        }


def stop_problem(name: str, detail: str = "") -> Problem:
    """The problem that the firmware would stop, by the name of its stop code."""
    stop = stop_codes.BY_NAME[name]
    text = f"the firmware stops: {stop.code:02x} {stop.what}{detail and ' ' + detail}"
    return Problem(text, stop.hint)


def stop_error(name: str, detail: int, where: str) -> FwbuildError:
    """The error of a kernel with which the firmware would stop."""
    problem = stop_problem(name, f"{detail:08x}")
    return FwbuildError(ExitCode.KERNEL, problem.what, where=where, hint=problem.hint)


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
        "pvh_relocation": elf.relocation and elf.relocation._asdict(),
    }


KINDS = {
    "bzimage": "a Linux kernel as /boot has it, or what is made like one",
    "multiboot": "a Multiboot 1 kernel",
    "multiboot2": "a Multiboot 2 kernel that is no ELF file",
    "vmlinux": "an ELF kernel, with a PVH note or without",
    "uki": "a unified kernel image: an EFI application with a kernel, its initrd and command line",
    "efi": "another EFI application",
    "compressed": "a compressed file",
    "image": "a firmware image of fwbuild's",
    "firmware": "another firmware image",
    "option-rom": "an option ROM",
}
