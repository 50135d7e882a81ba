"""Checks of a recording that was read from a file, which anybody may have written.

What passes is a host that the emulated machine can have, though maybe none of QEMU's.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from fwbuild.abi import chipset, e820, fw_cfg, legacy, pci, x86
from fwbuild.emulator.recorded import PciFunction, Recording
from fwbuild.firmware import file_names
from fwbuild.json_text import is_number

CPUS_MAX = 4096
MEMORY_MAX = 1 << 52  # where physical addresses end
RAM_MIN = 2 << 20  # at address 0
RANGES_MAX = 256  # of memory, RAM and others
DEVICES = (e820.FOUR_GIB - (32 << 20), e820.FOUR_GIB)  # I/O APIC, local APICs, the image
NAME_MAX = fw_cfg.FILE_NAME_SIZE - 1
KEY_MAX = fw_cfg.FILES_MAX - 1
DEPTH_MAX = pci.BUSES


def check(recording: Recording) -> None:
    """Raise ValueError for the first thing that no host of the emulated machine can have."""
    _check_host(recording)
    _check_files(recording)
    _check_ram(recording)
    _check_pci(recording.pci)


def _need(right: object, what: str) -> None:
    if not right:
        raise ValueError(what)


def _texts(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def _check_host(recording: Recording) -> None:
    r = recording
    _need(_texts((r.qemu, r.machine, r.accel, *r.extra)), "a text is none")
    _need(is_number(r.memory, 1, MEMORY_MAX), f"it has {r.memory!r:.40} bytes of memory")
    _need(is_number(r.smp, 1, CPUS_MAX), f"it has {r.smp!r:.40} CPUs")
    _need(len(r.cmos) in (0, legacy.CMOS_SIZE), f"it has {len(r.cmos)} bytes of CMOS")
    for key in r.keys:
        _need(0 <= key <= KEY_MAX, f"it has a fw_cfg item {key:#x}")


def _check_files(recording: Recording) -> None:
    _need(recording.files, "it has no files")
    for f in recording.files:
        _need(isinstance(f.name, str), "a file's name is no text")
        name = f.name
        _need(
            name.isascii() and 0 < len(name) <= NAME_MAX and "\0" not in name,
            f"it has a file named {name[:NAME_MAX]!r}",
        )
        _need(is_number(f.select, fw_cfg.Key.FILE_FIRST, KEY_MAX), f"{name} has no such key")
        _need(is_number(f.size, 0, e820.FOUR_GIB - 1), f"{name} has no such size")
        _need(len(f.data) in (0, f.size), f"{name} has {len(f.data)} bytes, not {f.size}")
    for what in ("name", "select"):
        values = [getattr(f, what) for f in recording.files]
        _need(len(set(values)) == len(values), f"two files have the same {what}")


def _check_ram(recording: Recording) -> None:
    """RAM as the emulated machine has it: whole pages from 0 on, clear of ROM and devices."""
    memory = recording.file(file_names.E820)
    count = memory.size // e820.ENTRY.sizeof() if memory else 0
    _need(count <= RANGES_MAX, f"it has {count} ranges in etc/e820")
    ranges = sorted((a, a + size) for a, size in recording.ram())
    _need(ranges, "it has no RAM in etc/e820")
    first = ranges[0]
    _need(first[0] == 0 and first[1] >= RAM_MIN, f"its RAM does not hold 0 to {RAM_MIN:#x}")
    devices = [DEVICES]
    if (ecam := recording.family.ecam) is not None:
        devices.append((ecam, ecam + chipset.ECAM_SIZE))
    for start, end in ranges:
        text = f"it has RAM at {start:#x} to {end:#x}"
        _need(start % x86.PAGE == end % x86.PAGE == 0 and start < end, f"{text}: no whole pages")
        _need(end <= MEMORY_MAX, f"{text}: too high")
        for low, high in devices:
            _need(end <= low or high <= start, f"{text}, where devices are")
    for below, above in pairwise(ranges):
        _need(below[1] <= above[0], f"it has RAM at {above[0]:#x} twice")


def _check_pci(functions: list[PciFunction]) -> None:
    """No function of unknown size or place, or without its bridge."""
    seen: set[Any] = set()
    bridges: set[Any] = set()
    for f in functions:
        place = f"PCI function {f.place[:40]}"
        size = len(f.config)
        _need(size in (pci.CONFIG_SIZE, pci.ECAM_FUNCTION_SIZE), f"{place} has {size} bytes")
        _need(len(f.mask) <= size, f"{place} has a mask of {len(f.mask)} bytes")
        _need(0 <= f.root < pci.BUSES and len(f.path) <= DEPTH_MAX, f"no such {place}")
        _need(all(0 <= devfn < 256 for devfn in f.path), f"no such {place}")
        _need((f.root, f.path) not in seen, f"two of {place}")
        seen.add((f.root, f.path))
        _need(
            len(f.path) == 1 or (f.root, f.path[:-1]) in bridges,
            f"{place} has no bridge that comes before it",
        )
        if f.is_bridge:
            bridges.add((f.root, f.path))
