"""A kernel, as far as the bench needs to know it: how it is entered, and where its events are.

Addresses are those without KASLR (`nokaslr`). The kernel may say itself where start_kernel is;
where its ELF file has no symbols, the package vmlinux-to-elf finds them in its kallsyms.
"""

import io
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile

from fwbuild.bench.events import Event, Step
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import read_file
from fwbuild.kernel.bzimage import extract_vmlinux
from fwbuild.protocols import MULTIBOOT, expect
from fwbuild.protocols.bzimage import BzimageProtocol

START_KERNEL = "start_kernel"


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


def read_kernel(path: Path) -> Kernel:
    """Linux, in a file that QEMU takes for -kernel: a PVH vmlinux or a bzImage."""
    data = read_file(path)
    protocol = expect(data)
    if protocol is MULTIBOOT:
        raise FwbuildError(
            ExitCode.KERNEL,
            "a Multiboot kernel runs no user program of ours",
            where=str(path),
            hint="`fwbuild cost` counts the way to its entry",
        )
    entries = protocol.entries(data, str(path))
    packed = isinstance(protocol, BzimageProtocol)
    vmlinux = extract_vmlinux(path)[1] if packed else data
    steps = [Step(Event.FW_DO_BOOT, tuple(entries.values()))]
    elf = ELFFile(io.BytesIO(vmlinux))
    notes = []
    if elf.elfclass == 64:
        steps.append(Step(Event.STARTUP_64, (elf.header["e_entry"],)))
    else:
        notes.append("the bench's first user program needs a 64-bit kernel")
    address, why_not = start_kernel(elf, vmlinux)
    if address is not None:
        steps.append(Step(Event.START_KERNEL, (address,)))
    else:
        notes.append(why_not)
    kind = "bzImage" if packed else "vmlinux"
    return Kernel(path=path, kind=kind, entries=entries, steps=tuple(steps), note="; ".join(notes))


def read_entries(path: Path) -> dict[str, int]:
    """The linear address of each entry that a firmware may take, by name."""
    data = read_file(path)
    return expect(data).entries(data, str(path))


def start_kernel(elf: ELFFile, vmlinux: bytes) -> tuple[int | None, str]:
    """(virtual address, "") of start_kernel, or (None, why not)."""
    table = elf.get_section_by_name(".symtab")
    found = table.get_symbol_by_name(START_KERNEL) if table else None
    if found:
        return int(found[0]["st_value"]), ""
    try:
        from vmlinux_to_elf.core.kallsyms import KallsymsFinder  # noqa: PLC0415 (optional)
    except ImportError:
        return None, "no start_kernel: the kernel has no symbols, and vmlinux-to-elf is not there"
    try:
        finder = KallsymsFinder(vmlinux, elf.elfclass)
    except Exception as error:  # what it raises on a kernel that it cannot read is not documented
        return None, f"no start_kernel: {type(error).__name__} in vmlinux-to-elf"
    names = dict(
        zip((name[1:] for name in finder.symbol_names), finder.kernel_addresses, strict=False)
    )
    return names.get(START_KERNEL), "" if START_KERNEL in names else "no start_kernel in kallsyms"
