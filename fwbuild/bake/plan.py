"""Where a baked guest's pieces lie in its RAM, and the record that says so."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fwbuild.abi import e820
from fwbuild.abi.x86 import PAGE
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import read_file
from fwbuild.firmware import layout, preloaded, work
from fwbuild.guest import Guest
from fwbuild.kernel.bzimage import extract_vmlinux
from fwbuild.kernel.placed import Placed, placed
from fwbuild.kernel.vmlinux import Vmlinux, parse_vmlinux
from fwbuild.protocols import LINUX, LINUX16, identify
from fwbuild.protocols.loading import MORE_MEMORY
from fwbuild.sizes import align_up

SPLIT = "max-ram-below-4g"  # a property of pc and q35


@dataclass(frozen=True)
class Plan:
    """A guest's RAM before its first instruction: the rest is zeros."""

    guest: Guest
    pieces: tuple[Placed, ...]


def plan(guest: Guest, modules: Sequence[Path] = ()) -> Plan:
    """Lay a guest out: its kernel where it is linked to lie, the initrd and further modules after
    it in whole pages. Raises FwbuildError for what cannot be baked."""
    assert guest.kernel
    where = str(guest.kernel)
    if any(part.partition("=")[0] == SPLIT for part in guest.machine.split(",")):
        what = f"{SPLIT} moves the end of low RAM"
        raise FwbuildError(ExitCode.USAGE, what, where="-M", hint="leave it out")
    kernel = parse_vmlinux(_vmlinux(guest.kernel), where)
    end = guest.family.low_ram(guest.memory)
    if kernel.low < e820.EXTENDED:
        what = f"the kernel's segment at {kernel.low:#x} lies below 1 MiB"
        raise FwbuildError(ExitCode.KERNEL, what, where=where, hint="link it at 1 MiB or higher")
    _check(kernel.high, end, where)
    files = [path for path in (guest.initrd, *modules) if path]
    if len(files) > work.MODULES_MAX:
        what = f"{len(files)} modules, initrd included"
        hint = f"at most {work.MODULES_MAX}"
        raise FwbuildError(ExitCode.USAGE, what, hint=hint)
    cmdline = os.fsencode(guest.append)
    if len(cmdline) > layout.CMDLINE_MAX:
        what, hint = f"a command line of {len(cmdline)} bytes", f"at most {layout.CMDLINE_MAX}"
        raise FwbuildError(ExitCode.USAGE, what, where="--append", hint=hint)
    laid, at = [], kernel.high
    for path in files:
        laid.append(placed(align_up(at, PAGE), read_file(path)))
        at = laid[-1].end
        _check(at, end, str(path))
    record = _record(kernel, end, len(cmdline), laid)
    own = [placed(layout.region(r).base, d) for r, d in (("cmdline", cmdline), ("record", record))]
    return Plan(guest, (*own, *kernel.placed, *laid))


def _vmlinux(path: Path) -> bytes:
    """The kernel as an ELF file: the one inside, if it is a bzImage."""
    data = read_file(path)
    if identify(data) in (LINUX, LINUX16):
        _, vmlinux, _ = extract_vmlinux(path)
        return vmlinux
    return data


def _check(piece_end: int, ram_end: int, where: str) -> None:
    if piece_end > ram_end:
        what = f"ends at {piece_end:#x}, and RAM below 4 GiB at {ram_end:#x}"
        raise FwbuildError(ExitCode.INPUT, what, where=where, hint=MORE_MEMORY)


def _record(kernel: Vmlinux, ram_end: int, cmdline: int, laid: list[Placed]) -> bytes:
    empty = dict.fromkeys(("paddr", "size", "cmdline_paddr", "reserved"), 0)
    modules = [empty | {"paddr": p.address, "size": p.size} for p in laid]
    built: bytes = preloaded.RECORD.build(
        {
            "magic": preloaded.MAGIC,
            "protocol": preloaded.Entry.PVH,
            "low_ram_end": ram_end,
            "kernel_entry": kernel.pvh_entry,
            "kernel_start": kernel.low,
            "kernel_size": kernel.high - kernel.low,
            "cmdline_size": cmdline,
            "nr_modules": len(laid),
            "modules": modules + [empty] * (work.MODULES_MAX - len(laid)),
        }
    )
    return built
