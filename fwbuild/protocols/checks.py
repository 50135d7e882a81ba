"""Checks of the handoff that several boot protocols have in common."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from fwbuild.abi import e820, x86
from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator.state import State
from fwbuild.firmware import file_names
from fwbuild.kernel.placed import Placed
from fwbuild.protocols.departure import Departure
from fwbuild.protocols.protocol import Handoff

# The descriptor's limit field of 4 GiB in pages, and the same in bytes.
FLAT_LIMIT, FLAT_BYTES = 0xFFFFF, 0xFFFFFFFF
REAL_BYTES = 0xFFFF  # the limit of real mode's segments
# Type bits that matter: code readable, data writable. The accessed bit may be either.
CODE_TYPE, DATA_TYPE = x86.Access.CODE & ~1, x86.Access.DATA & ~1


def number(state: State, key: Key) -> int:
    """An item of fw_cfg that holds a number; 0 where there is none."""
    return int.from_bytes(state.items.get(key, b""), "little")


def holds(state: State, address: int, data: bytes) -> bool:
    """Whether memory has `data` at an address."""
    return Placed(address, memoryview(data), len(data)).is_at(state.read)


def is_file(state: State) -> bool:
    """Whether the host has no kernel of its own, so that the firmware loads it."""
    return not number(state, Key.KERNEL_SIZE)


def descriptor(state: State, selector: int) -> tuple[int, int, int, int]:
    """(base, limit field, access, flags) of what the GDT holds for a selector."""
    base, limit = state.gdtr
    size = x86.DESCRIPTOR.sizeof()
    if not 0 < selector <= limit - size + 1:
        return 0, 0, 0, 0
    d = x86.DESCRIPTOR.parse(state.read(base + (selector & ~7), size))
    high = d.limit_flags_base_high
    return (
        d.base_low | (d.base_mid_access & 0xFF) << 16 | (high >> 8) << 24,
        d.limit_low | (high & 0xF) << 16,
        d.base_mid_access >> 8,
        high >> 4 & 0xF,
    )


def flat_segments(state: State, code: int = x86.FLAGS_32) -> Iterator[str]:
    """CS, DS, ES and SS as every protocol wants them that is none of real mode: in the GDT, and as
    the CPU uses them. Flat, 4 KiB granularity, `code` the flags by which CS is of 32 or 64 bits."""
    for name in ("cs", "ds", "es", "ss"):
        kind, mode = (CODE_TYPE, code) if name == "cs" else (DATA_TYPE, x86.FLAGS_32)
        base, limit, access, flags = descriptor(state, state.registers[name])
        if (base, limit, access & ~1, flags) != (0, FLAT_LIMIT, kind, mode | x86.FLAGS_4K):
            yield f"{name.upper()} is not flat: base {base:#x} limit {limit:#x} {access:#x}"
        used = state.hidden.get(name)
        if used and (used.base, used.limit, used.access & ~1) != (0, FLAT_BYTES, kind):
            yield f"the CPU's {name.upper()} is not flat: {used}"


def real_mode_segments(state: State) -> Iterator[str]:
    """Every segment as the CPU uses it: 64 KiB from the selector's paragraph on."""
    for name, used in state.hidden.items():
        wanted = (state.registers[name] << 4, REAL_BYTES)
        if name != "tr" and (used.base, used.limit) != wanted:
            yield f"the CPU's {name.upper()} is not of real mode: {used}"


def protected_mode(state: State) -> Iterator[str]:
    """Protected mode without paging."""
    cr0 = state.registers["cr0"]
    if cr0 & (x86.Cr0.PE | x86.Cr0.PG) != x86.Cr0.PE:
        yield f"CR0 is {cr0:#x}: no protected mode without paging"


def clear_flags(state: State, *flags: x86.Eflags) -> Iterator[str]:
    """Flags that have to be 0."""
    for flag in flags:
        if state.registers["eflags"] & flag:
            yield f"EFLAGS.{flag.name} is set"


def command_line(state: State, handoff: Handoff) -> Iterator[str]:
    """The host's command line, unchanged; it ends at its first zero."""
    wanted = state.items.get(Key.CMDLINE_DATA, b"")
    source = "QEMU, fw_cfg's item 0x15 (-append)"
    if is_file(state) and (said := state.file(file_names.CMDLINE)):
        wanted = said
        source = f"fw_cfg's file {file_names.CMDLINE}"
    if handoff.cmdline != (wanted := wanted.partition(b"\0")[0]):
        what = f"the command line is {handoff.cmdline!r}, not {wanted!r}"
        yield Departure(what, source)


def module_files(
    state: State, found: Sequence[tuple[int, int, bytes]], most: int = 9
) -> Iterator[str]:
    """The modules that the user numbered, up to the first number that is missing: `found` are
    (address, bytes, command line) of those that are handed over, `most` of them."""
    wanted = []
    for number in range(1, most + 1):
        name = file_names.module(number)
        data = state.file(name)
        if not data and state.host.file(name) is None:  # an empty file is a module, too
            break
        wanted.append((data, state.file(file_names.module_cmdline(number))))
    if len(found) != len(wanted):
        why = "" if found else ": an image without the option `modules` leaves them out"
        yield f"{len(found)} modules of {len(wanted)} files{why}"
    for i, ((address, size, text), (data, said)) in enumerate(zip(found, wanted, strict=False), 1):
        if size != len(data) or not holds(state, address, data):
            yield f"module file {i} is damaged"
        if text != (said := said.partition(b"\0")[0]):
            yield f"module file {i}: its command line is {text!r}, not {said!r}"


def loaded(state: State, modules: Sequence[tuple[int, int, bytes]]) -> Iterator[str]:
    """The kernel's segments lie where they are to be, clear of the modules: (address, bytes, ...)
    of each."""
    for placed in state.segments:
        if not placed.is_at(state.read):
            yield f"the kernel's segment at {placed.address:#x} is damaged"
    spans = [(m[0], m[0] + m[1]) for m in modules]
    spans += [(placed.address, placed.end) for placed in state.segments]
    for low, high in pairwise(sorted(spans)):
        if high[0] < low[1]:
            yield f"a module overlaps another or the kernel at {high[0]:#x}"


def ram_of(memmap: Sequence[Any]) -> list[tuple[int, int]]:
    """[address, end) of each range of RAM."""
    return [(m.addr, m.addr + m.size) for m in memmap if m.type == e820.Type.RAM]


def inside(ranges: Sequence[tuple[int, int]], start: int, end: int) -> bool:
    """Whether [start, end) lies in one of the ranges."""
    return any(a <= start and end <= b for a, b in ranges)
