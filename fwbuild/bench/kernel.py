"""A kernel, as far as the bench needs to know it: how it is entered, and where its events are.

Addresses are those without KASLR. The kernel may say itself where start_kernel is; where its ELF
file has no symbols, the package vmlinux-to-elf finds them in its kallsyms.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

from fwbuild.abi import elf as abi
from fwbuild.bench.events import Event, Step
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import read_file
from fwbuild.kernel.bzimage import extract_vmlinux
from fwbuild.kernel.elf_file import ElfFile, read_elf
from fwbuild.protocols import MULTIBOOT, expect
from fwbuild.protocols.bzimage import BzimageProtocol

START_KERNEL = "start_kernel"
NO_KASLR = "nokaslr"  # to Linux: a bzImage's vmlinux is to lie where it was linked, too
OTHER = "Multiboot"  # the kind of a kernel that is no Linux


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """A kernel file. `kind` is "vmlinux" or "bzImage", `entries` the linear address of each of
    its entries by name, `steps` the events that breakpoints show, `note` what is missing."""

    path: Path
    kind: str
    entries: dict[str, int]
    steps: tuple[Step, ...]
    note: str = ""

    def entry_name(self, address: int | None) -> str:
        """The name of an entry."""
        return next((name for name, at in self.entries.items() if at == address), "")


def read_kernel(path: Path, *, to_user: bool = True) -> Kernel:
    """A kernel that QEMU takes for -kernel. `to_user`: it is to run the bench's user program, so it
    has to be Linux."""
    data = read_file(path)
    protocol = expect(data)
    if protocol is MULTIBOOT and not to_user:
        there = protocol.entries(data, str(path))
        first = Step(Event.FW_DO_BOOT, tuple(there.values()))
        return Kernel(path=path, kind=OTHER, entries=there, steps=(first,))
    if protocol is MULTIBOOT:
        raise FwbuildError(
            ExitCode.KERNEL,
            "a Multiboot kernel runs no user program of ours",
            where=str(path),
            hint="--until ends its boot at a line; `fwbuild cost` counts the way to its entry",
        )
    entries = protocol.entries(data, str(path))
    packed = isinstance(protocol, BzimageProtocol)
    vmlinux = extract_vmlinux(path)[1] if packed else data
    steps = [Step(Event.FW_DO_BOOT, tuple(entries.values()))]
    elf = read_elf(vmlinux)
    notes = []
    if elf.bits == 64:
        steps.append(Step(Event.STARTUP_64, (elf.entry,)))
    else:
        notes.append("the bench's first user program needs a 64-bit kernel")
    address, why_not = start_kernel(elf, vmlinux)
    if address is not None:
        steps.append(Step(Event.START_KERNEL, (address,)))
    else:
        notes.append(why_not)
    kind = "bzImage" if packed else "vmlinux"
    return Kernel(path=path, kind=kind, entries=entries, steps=tuple(steps), note="; ".join(notes))


def start_kernel(elf: ElfFile, vmlinux: bytes) -> tuple[int | None, str]:
    """(virtual address, "") of start_kernel, or (None, why not)."""
    if (found := symbol(elf, START_KERNEL)) is not None:
        return found, ""
    try:
        from vmlinux_to_elf.core.kallsyms import KallsymsFinder  # noqa: PLC0415 (optional)
    except ImportError:
        return None, "no start_kernel: the kernel has no symbols, and vmlinux-to-elf is not there"
    try:
        finder = KallsymsFinder(vmlinux, elf.bits)
    except Exception as error:  # what it raises on a kernel that it cannot read is not documented
        return None, f"no start_kernel: {type(error).__name__} in vmlinux-to-elf"
    names = dict(
        zip((name[1:] for name in finder.symbol_names), finder.kernel_addresses, strict=False)
    )
    return names.get(START_KERNEL), "" if START_KERNEL in names else "no start_kernel in kallsyms"


def symbol(elf: ElfFile, name: str) -> int | None:
    """The value of a symbol in an ELF file's table of symbols; None without one."""
    entry = abi.SYM64 if elf.bits == 64 else abi.SYM
    size = entry.sizeof()
    for table in elf.sections:
        if table.type != abi.SHT_SYMTAB or table.link >= len(elf.sections):
            continue
        names = bytes(elf.sections[table.link].content)
        whole = table.content[: len(table.content) // size * size]
        for index, (start,) in enumerate(struct.iter_unpack(f"<I{size - 4}x", whole)):
            if names.startswith(name.encode() + b"\0", start):
                return int(entry.parse(whole[index * size :][:size]).value)
    return None
