"""A verdict for a reader at a terminal, or in a pipe."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from fwbuild.abi import e820, x86
from fwbuild.protocols.report import flag_names
from fwbuild.protocols.verdict import Verdict
from fwbuild.verbs.bar import LETTERS, OF_TYPE, Bar, Span, bars

SHOWN = "eax ebx ecx edx esi edi ebp esp eip eflags cr0 cr4 cs ds es ss tr".split()
BITS = {"eflags": x86.Eflags, "cr0": x86.Cr0}
COLUMNS = 96  # of a bar at most
MARGIN = 4
SOUND = {True: "good", False: "[red]bad[/red]", None: "none"}


def show(console: Console, found: Verdict) -> None:
    """Everything but the departures."""
    if not found.handoff:
        return
    _registers(console, found)
    for label, text in found.handoff.summary():
        console.print(f"{label:14} {text}", markup=False)
    _structure(console, found)
    _memmap(console, found)
    _bars(console, found)
    _areas(console, found)
    _tables(console, found)


def show_departures(console: Console, found: Verdict) -> None:
    """How the handoff compares with the protocol, and who says so."""
    title = found.protocol.title
    for departure in found.departures:
        console.print(f"[red]departs from the {title}:[/red] ", end="")
        console.print(str(departure), end="", markup=False)
        console.print(f" [dim](source: {departure.source})[/dim]")
    if not found.departures:
        console.print(f"[green]The handoff is as the {title} asks.[/green]")


def _registers(console: Console, found: Verdict) -> None:
    table = Table(title="At the kernel's entry", show_header=False, title_justify="left")
    for i in range(0, len(SHOWN), 4):
        row = SHOWN[i : i + 4]
        table.add_row(*(f"{name.upper():6} {found.registers[name]:08x}" for name in row))
    console.print(table)
    for name, kind in BITS.items():
        flags = " ".join(flag_names(kind, found.registers[name]))
        console.print(f"{name.upper():14} {flags}", markup=False)
    for name, (base, limit, access) in found.segments.items():
        selector = found.registers[name]
        words = f"{selector:#06x}: base {base:#x}, limit {limit:#x}, {_kind(access)}"
        console.print(f"{name.upper():14} {words}", markup=False)


def _kind(access: int) -> str:
    """A descriptor's access byte in words. Source: Intel SDM 3A, 3.4.5.1."""
    if not access & 0x80:
        return "not present"
    if not access & 0x10:
        return f"system, type {access & 0xF:#x}"
    if access & 0x08:
        return "code, readable" if access & 2 else "code"
    return "data, writable" if access & 2 else "data, read-only"


def _structure(console: Console, found: Verdict) -> None:
    """The fields of the structure that is handed over, but for those that are 0."""
    assert found.handoff
    for name, fields in found.handoff.more().items():
        if not isinstance(fields, dict):
            continue
        table = Table(title=name, title_justify="left", show_header=False)
        for field, value in fields.items():
            if value:
                table.add_row(field, f"{value:#x}")
        console.print(table)


def _memmap(console: Console, found: Verdict) -> None:
    assert found.handoff
    table = Table(title="Memory map", title_justify="left")
    for heading in ("from", "to", "type"):
        table.add_column(heading, justify="right")
    for entry in found.handoff.memmap:
        known = entry.type in set(e820.Type)
        kind = e820.Type(entry.type).name if known else str(entry.type)
        last = f"{entry.addr + entry.size - 1:#x}" if entry.size else "empty"
        table.add_row(f"{entry.addr:#x}", last, kind)
    console.print(table)


def _spans(found: Verdict) -> Iterator[Span]:
    assert found.handoff
    for entry in found.handoff.memmap:
        yield Span(entry.addr, entry.addr + entry.size, OF_TYPE.get(entry.type, "?"))
    for _, address, size in found.firmware:
        yield Span(address, address + size, "F")
    for table in found.tables:
        yield Span(table.address, table.address + table.size, "T")
    for name, address, size in found.areas:
        large = {"kernel": "K", "initrd": "I", "module": "I"}
        word = "" if name == "module list" else name.partition(" ")[0]
        yield Span(address, address + size, large.get(word, "H"))


def _bars(console: Console, found: Verdict) -> None:
    drawn = list(bars(list(_spans(found)), min(COLUMNS, console.width - MARGIN)))
    for bar in drawn:
        _bar(console, bar)
    used = {letter for bar in drawn for letter in bar.text}
    legend = ", ".join(f"{letter} {what}" for letter, what in LETTERS.items() if letter in used)
    if drawn:
        console.print(legend, markup=False)


def _bar(console: Console, bar: Bar) -> None:
    console.print(f"{bar.start:#x} to {bar.end - 1:#x}, a character is {bar.scale}", markup=False)
    console.print(f"[{bar.text}]", markup=False)


def _areas(console: Console, found: Verdict) -> None:
    table = Table(title="Kernel and handoff", title_justify="left")
    for heading in ("what", "from", "bytes"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for name, address, size in found.areas:
        table.add_row(name, f"{address:#x}", str(size))
    console.print(table)


def _tables(console: Console, found: Verdict) -> None:
    if not found.tables:
        return
    table = Table(title="Tables", title_justify="left")
    for heading in ("table", "at", "bytes", "checksum"):
        table.add_column(heading, justify="right" if heading in ("at", "bytes") else "left")
    for row in found.tables:
        table.add_row(row.name, f"{row.address:#x}", str(row.size), SOUND[row.sound])
    console.print(table)
