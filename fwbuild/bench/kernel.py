"""What the bench needs to know of a kernel: how it is entered, and where its events are.

Addresses are those without KASLR (`nokaslr`). The kernel may say itself where start_kernel is;
where its ELF file has no symbols, the package vmlinux-to-elf finds them in its kallsyms.
"""

import io
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile

from fwbuild.abi import linux_boot
from fwbuild.abi.linux_boot import XLoadFlag
from fwbuild.bench.events import Event, Step
from fwbuild.emulator.loader.linux import KERNEL_ADDR, REAL_ADDR
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import read_file
from fwbuild.kernel.bzimage import extract_vmlinux, is_bzimage, parse_bzimage
from fwbuild.kernel.multiboot import find_header, parse_multiboot
from fwbuild.kernel.vmlinux import parse_vmlinux

ENTRY_64 = 0x200  # of the protected-mode part: the 64-bit entry
START_KERNEL = "start_kernel"
MULTIBOOT = "Multiboot"


@dataclass(frozen=True)
class Kernel:
    """A kernel file. `kind` is "vmlinux" or "bzImage", `entries` the linear address of each of
    its entries by name, `steps` the events that breakpoints show, `note` what is missing."""

    path: Path
    kind: str
    entries: dict[str, int]
    steps: tuple[Step, ...]
    note: str = ""

    def entry_name(self, address: int | None) -> str:
        """What an entry is called."""
        return next((name for name, at in self.entries.items() if at == address), "")


def read_kernel(path: Path) -> Kernel:
    """Linux, in a file that QEMU takes for -kernel: a PVH vmlinux or a bzImage."""
    entries = read_entries(path)
    if MULTIBOOT in entries:
        raise FwbuildError(
            ExitCode.KERNEL,
            "a Multiboot kernel runs no user program of ours",
            where=str(path),
            hint="`fwbuild cost` counts the way to its entry",
        )
    packed = is_bzimage(read_file(path))
    vmlinux = extract_vmlinux(path)[1] if packed else read_file(path)
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
    return Kernel(path, kind, entries, tuple(steps), "; ".join(notes))


def read_entries(path: Path) -> dict[str, int]:
    """The linear address of each entry that a firmware may take, by name. Kernels are told
    apart in QEMU's order."""
    data = read_file(path)
    if not is_bzimage(data):
        if find_header(data):
            return {MULTIBOOT: parse_multiboot(data, str(path)).entry}
        return {"PVH": parse_vmlinux(data, str(path)).entry}
    header = parse_bzimage(data).header
    entries = {"16-bit": REAL_ADDR + linux_boot.SECTOR, "32-bit": KERNEL_ADDR}
    if header.version >= linux_boot.PROTOCOL_MODERN and header.xloadflags & XLoadFlag.KERNEL_64:
        entries["64-bit"] = KERNEL_ADDR + ENTRY_64
    return entries


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
