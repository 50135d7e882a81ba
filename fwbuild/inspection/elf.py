"""Reports on an ELF kernel, with a PVH note or without."""

import re
from typing import Any

from elftools.common.exceptions import ELFError

from fwbuild.abi import e820, pvh
from fwbuild.abi.elf import MAGIC
from fwbuild.inspection.report import Problem, Report
from fwbuild.kernel.multiboot import has_multiboot2
from fwbuild.kernel.vmlinux import Elf, parse_elf, pvh_problem

BANNER = re.compile(rb"Linux version ([\x20-\x7e]{1,200})")
REFUSAL = "Error loading uncompressed kernel without PVH ELF Note"
# Xen, common/libelf/libelf-dominfo.c; rust-vmm's linux-loader, src/loader/elf/mod.rs
OTHER_NAME = (
    'its PVH note is named "{}": QEMU takes it by its type alone, but Xen, Firecracker and '
    'Cloud Hypervisor only by the name "Xen"'
)
OLD_MACHINES = "machine types up to 3.1 (pc-i440fx-3.1, pc-q35-3.1) do not load it"


def report(data: bytes) -> Report | None:
    """The report on an ELF file that is no Multiboot kernel, None for another file."""
    if not data.startswith(MAGIC):
        return None
    try:
        elf = parse_elf(data)
    except ELFError as error:
        found = Report("vmlinux", "ELF file that cannot be loaded")
        found.problems.append(
            Problem(
                f'QEMU: "Error while loading elf kernel": {error}',
                "copy the file again, or build it for x86",
            )
        )
        return found
    note = "without" if elf.pvh_note is None else "with"
    found = Report("vmlinux", f"vmlinux, {elf.bits}-bit, {note} PVH note", facts(elf))
    found.facts["multiboot2"] = has_multiboot2(data)
    if banner := BANNER.search(data):
        found.facts["kernel_version"] = banner[1].decode("ascii")
    _pvh(elf, found)
    return found


def facts(elf: Elf) -> dict[str, Any]:
    """What an ELF kernel says of itself."""
    return {
        "bits": elf.bits,
        "elf_entry": elf.entry,
        "load_address": elf.low,
        "load_end": elf.high,
        "pvh_entry": elf.pvh_note and elf.pvh_note.entry,
        "pvh_note_name": elf.pvh_note and elf.pvh_note.name.decode("ascii", "replace"),
    }


def _pvh(elf: Elf, found: Report) -> None:
    """How QEMU and the firmware take its PVH note."""
    found.qemu = f'refuses it: "{REFUSAL}"'
    if elf.pvh_qemu is not None:
        found.qemu = f"loads its segments and takes {elf.pvh_qemu:#x} for its PVH entry"
    if problem := pvh_problem(elf):
        what, hint = problem
        if found.facts["multiboot2"]:
            what += ", and QEMU does not know Multiboot 2"
            hint = "add a PVH note or a Multiboot 1 header, or boot it by GRUB"
        found.problems.append(Problem(what, hint))
        return
    assert elf.pvh_qemu is not None
    found.protocol = "pvh"
    if elf.pvh_note and elf.pvh_note.name != pvh.ELF_NOTE_NAME:
        found.notes.append(OTHER_NAME.format(found.facts["pvh_note_name"]))
    found.notes.append(OLD_MACHINES)
    if not elf.low <= elf.pvh_qemu < elf.high:
        found.stops("KERNEL_ENTRY", f"{elf.low:08x}")
    elif elf.low < e820.EXTENDED:
        found.stops("KERNEL_OVERLAP", f"{elf.low:08x}")
