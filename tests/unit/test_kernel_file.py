"""Kernels that the firmware loads itself, from fw_cfg's files."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from fwbuild import protocols
from fwbuild.abi import elf, offsets, pvh
from fwbuild.emulator import recording
from fwbuild.emulator.machine import Machine
from fwbuild.emulator.state import End
from fwbuild.errors import FwbuildError
from fwbuild.firmware import file_names, layout, stop_codes, work
from fwbuild.guest import Guest
from fwbuild.image.build import Image, build_image
from fwbuild.image.elf import Segment, pvh_note, write_elf
from fwbuild.machines import MACHINES
from fwbuild.protocols import PVH, ways
from tests.support.booted import emulated
from tests.support.files import bare
from tests.support.noted import ENTRY, LAYOUTS, WIDTHS, link
from tests.support.small_kernel import vmlinux

pytestmark = pytest.mark.usefixtures("sandbox")
KERNEL = vmlinux(bytes(range(256)))  # for tables: its code is never run


def boot(guest: Guest, image: Image, kernel: bytes | None = None, dma: bool = True) -> Machine:
    return emulated(guest, image.image, kernel, dma=dma)


@pytest.mark.parametrize(
    ("append", "dma"), [("", True), ("a", False), ("a", True), ("quiet a=b,c", True)]
)
@pytest.mark.parametrize("name", MACHINES)
def test_pvh(name: str, append: str, dma: bool, image: Image) -> None:
    machine = boot(Guest(name, append=append, firmware_loads=True), image, dma=dma)
    assert PVH.judge(machine.state()) == []
    outcome = machine.run_kernel()
    assert (outcome.kind, outcome.exit_value) == ("exit", 1)
    assert f"cmdline {append}\n" in outcome.console


def test_the_initrd_is_the_first_module(image: Image, tmp_path: Path) -> None:
    initrd = tmp_path / "initrd"
    initrd.write_bytes(bytes(range(256)) * 100)
    machine = boot(Guest("pc", initrd=initrd, firmware_loads=True), image)
    assert PVH.judge(machine.state()) == []
    (module,) = PVH.read(machine.state()).modules
    assert machine.read(module.paddr, module.size) == initrd.read_bytes()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("merged", LAYOUTS)
def test_gnu_ld_makes_a_64_bit_kernel(
    merged: str, width: int, image: Image, tmp_path: Path
) -> None:
    """QEMU misreads the notes of two of the three (tests/support/noted.py)."""
    kernel = link(merged, width, tmp_path).read_bytes()
    assert kernel[4] == 2  # ELFCLASS64
    machine = boot(Guest("q35", firmware_loads=True), image, kernel)
    assert machine.outcome.kind == End.HANDOFF, machine.outcome.console
    assert machine.outcome.registers["eip"] == ENTRY
    assert PVH.judge(machine.state()) == []


def test_a_segment_is_one_skip_and_one_read(image: Image) -> None:
    """Besides them: the head, the notes, the command line; 1 item of QEMU's is not read."""
    guest = Guest("microvm", append="a")
    ours, theirs = (
        sum(a.port == 0x518 for a in boot(g, image).outcome.accesses)
        for g in (Guest("microvm", append="a", firmware_loads=True), guest)
    )
    assert ours == theirs + 1 + 2 + 2


def test_a_command_line_is_one_transfer(image: Image) -> None:
    some, none = (
        sum(a.port == 0x518 for a in boot(guest, image).outcome.accesses)
        for guest in (Guest(append=a, firmware_loads=True) for a in ("a", ""))
    )
    assert some == none + 1


@dataclass
class Case:
    """A stop, its detail, and bytes to put at an offset of the test kernel's file."""

    stop: str
    detail: int
    at: int = 0
    data: bytes = b""
    size: int | None = None  # bytes of the file that are left


def header(field: str) -> int:
    return {"ident": elf.IDENT_CLASS}.get(field) or offsets(elf.EHDR)[field]


def phdr(index: int, field: str) -> int:
    return int(elf.EHDR.sizeof() + index * elf.PHDR.sizeof()) + offsets(elf.PHDR)[field]


def word(value: int, size: int = 4) -> bytes:
    return value.to_bytes(size, "little")


BASE = 0x100000
FIRST = int.from_bytes(b"\x7fELF", "little")
NOTE_AT = int.from_bytes(KERNEL[phdr(1, "offset") : phdr(1, "offset") + 4], "little")
CASES = {
    "no ELF file": Case("KERNEL_FILE", 0x464C4500, 0, b"\0"),
    "nothing": Case("KERNEL_FILE", 0, size=0),
    "two bytes": Case("KERNEL_FILE", 0x457F, size=2),
    "for ARM": Case("KERNEL_FILE", 40, header("machine"), word(40, 2)),
    "big-endian": Case("KERNEL_FILE", 0x010201, header("ident"), b"\1\2\1"),
    "of no class": Case("KERNEL_FILE", 0x010103, header("ident"), b"\3"),
    "no note": Case("KERNEL_FILE", FIRST, phdr(1, "type"), word(0)),
    "a note behind its segment": Case("KERNEL_FILE", FIRST, phdr(1, "filesz"), word(12)),
    "its descriptor behind its segment": Case("KERNEL_FILE", FIRST, phdr(1, "filesz"), word(16)),
    "another note": Case("KERNEL_FILE", FIRST, NOTE_AT + 8, word(17)),
    "a note's name is too long": Case("KERNEL_FILE", FIRST, NOTE_AT, word(0xFFFFFFFF)),
    "a note's descriptor is too long": Case("KERNEL_FILE", FIRST, NOTE_AT + 4, word(0xFFFFFFF9)),
    "a note without an entry": Case("KERNEL_FILE", FIRST, NOTE_AT + 4, word(3)),
    "no program headers": Case("KERNEL_ELF", 0, header("phnum"), word(0, 2)),
    "too many": Case("KERNEL_ELF", 129, header("phnum"), word(129, 2)),
    "far away": Case("KERNEL_ELF", 2, header("phoff"), word(layout.region("head").size)),
    "of another size": Case("KERNEL_ELF", 2, header("phentsize"), word(56, 2)),
    "nothing to load": Case("KERNEL_ELF", 0xFFFFFFFF, phdr(0, "memsz"), word(0)),
    "a segment ends behind the file": Case("KERNEL_ELF", BASE, phdr(0, "offset"), word(1 << 20)),
    "a segment goes on behind the file": Case(
        "KERNEL_ELF", BASE, phdr(0, "filesz"), word(1 << 20) * 2),
    "its end wraps": Case("KERNEL_ELF", BASE, phdr(0, "offset"), word(0xFFFFFFFF)),
    "more in the file than in memory": Case("KERNEL_ELF", BASE, phdr(0, "memsz"), word(16)),
    "a segment wraps": Case("KERNEL_ELF", BASE, phdr(0, "memsz"), word(0xFFFFFFFF)),
    "notes behind the file": Case("KERNEL_ELF", 1 << 20, phdr(1, "offset"), word(1 << 20)),
    "a segment outside RAM": Case("KERNEL_RANGE", 1 << 29, phdr(0, "paddr"), word(1 << 29)),
    "an entry outside": Case("KERNEL_ENTRY", BASE, NOTE_AT + 16, word(BASE - 1)),
    "entry 0": Case("KERNEL_ENTRY", 0, NOTE_AT + 16, word(0)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_stop(name: str, image: Image) -> None:
    case = CASES[name]
    kernel = bytearray(KERNEL)
    kernel[case.at : case.at + len(case.data)] = case.data
    machine = bare(image.image, {file_names.KERNEL: bytes(kernel[: case.size])})
    outcome = machine.run()
    stop = stop_codes.BY_NAME[case.stop]
    assert outcome.console == f"fwbuild: {stop.code:02x} {stop.what} {case.detail:08x}\n"
    assert max(machine.writes) < 0xA0  # pages: only below 1 MiB
    if case.stop != "KERNEL_RANGE":  # of the guest's memory
        assert ways.by_file(bytes(kernel[: case.size]), "k").refusal


def test_a_kernel_below_1_mib(image: Image) -> None:
    kernel = bytearray(KERNEL)
    for at in (phdr(0, "paddr"), NOTE_AT + 16):
        kernel[at : at + 4] = word(0x8000)
    outcome = bare(image.image, {file_names.KERNEL: bytes(kernel)}).run()
    assert outcome.exit_value == stop_codes.BY_NAME["KERNEL_OVERLAP"].code


ORDERS = {
    "upwards": (0x100000, 0x180000, 0x200000),
    "downwards": (0x200000, 0x180000, 0x100000),
    "the ends first": (0x100000, 0x200000, 0x180000),
}


@pytest.mark.parametrize("order", ORDERS)
def test_segments_in_any_order(order: str, image: Image) -> None:
    """The kernel reaches from the lowest of them to the highest end, both of which are in use."""
    segments = [Segment(at, at.to_bytes(4, "little") * 8, 0x100, 7) for at in ORDERS[order]]
    for entry in (0x100000, 0x2000FF):
        kernel = write_elf(segments, [], entry, pvh_note(entry))
        machine = boot(Guest("microvm", firmware_loads=True), image, kernel)
        assert machine.outcome.registers["eip"] == entry
        assert PVH.judge(machine.state()) == []
        start, span = (variable(machine, name) for name in ("kernel_start", "kernel_span"))
        assert (start, start + span) == (0x100000, 0x200100)


OVER = {
    # the zeros of the second lie over bytes of the first, which come later in memory
    "zeros over bytes": [(0x101000, 0x800, 0x800), (0x100000, 0x1000, 0x3000)],
    "zeros over bytes that follow": [(0x100000, 0x1000, 0x3000), (0x101000, 0x800, 0x800)],
    "zeros over zeros": [(0x100000, 0x100, 0x3000), (0x101000, 0x100, 0x1800)],
    "bytes over bytes": [(0x100000, 0x1000, 0x1000), (0x100800, 0x1000, 0x1000)],
    "bytes within bytes": [(0x100000, 0x1000, 0x1000), (0x100800, 0x100, 0x900)],
    "the same place": [(0x100000, 0x1000, 0x1000), (0x100000, 0x1000, 0x1000)],
}


@pytest.mark.parametrize("name", OVER)
def test_segments_over_each_other(name: str, image: Image) -> None:
    """Bytes go over zeros, and over the bytes of those before."""
    rows = [(at, bytes([n + 1]) * length, size) for n, (at, length, size) in enumerate(OVER[name])]
    wanted = bytearray(0x4000)
    for at, data, _ in rows:
        wanted[at - BASE : at - BASE + len(data)] = data
    kernel = write_elf([Segment(at, d, s, 7) for at, d, s in rows], [], BASE, pvh_note(BASE))
    machine = boot(Guest("microvm", firmware_loads=True), image, kernel)
    assert machine.outcome.kind == End.HANDOFF
    assert PVH.judge(machine.state()) == []
    end = max(at + size for at, _, size in rows)
    assert machine.read(BASE, end - BASE) == wanted[: end - BASE]


def variable(machine: Machine, name: str) -> int:
    return int.from_bytes(machine.read(layout.address("work", name), 4), "little")


NOTES = layout.region("notes").size
FILLER = word(4) + word(NOTES) + word(1) + b"abc\0" + bytes(NOTES)


@pytest.mark.parametrize(("before", "ends"), [(b"", ""), (FILLER, "KERNEL_FILE")])
def test_more_notes_than_are_looked_at(before: bytes, ends: str, image: Image) -> None:
    """The first NOTES bytes count, and nothing is written behind their region."""
    kernel = write_elf(
        [Segment(BASE, bytes(16), 16, 7)],
        [],
        BASE,
        before + pvh_note(BASE) + (before or FILLER)[:0x2000],
    )
    if ends:
        outcome = bare(image.image, {file_names.KERNEL: kernel}).run()
        assert outcome.exit_value == stop_codes.BY_NAME[ends].code
        assert ways.by_file(kernel, "k").refusal
    else:
        outcome = boot(Guest("microvm", firmware_loads=True), image, kernel).outcome
        assert (outcome.kind, outcome.registers["eip"]) == (End.HANDOFF, BASE)


@pytest.mark.parametrize("numbers", [(), (0x200000,), (0x200000, BASE, 0x3FFFFFFF)])
def test_a_kernel_that_may_be_moved_stays(numbers: tuple[int, ...], image: Image) -> None:
    """The note of that says nothing of the entry, wherever it stands: the other one has it."""
    data = b"".join(map(word, numbers))
    move = word(4) + word(len(data)) + word(pvh.ELF_NOTE_PHYS32_RELOC) + b"Xen\0" + data
    for notes in (move + pvh_note(BASE), pvh_note(BASE) + move):
        kernel = write_elf([Segment(BASE, bytes(16), 16, 7)], [], BASE, notes)
        machine = boot(Guest("microvm", firmware_loads=True), image, kernel)
        assert machine.outcome.registers["eip"] == BASE
        assert PVH.judge(machine.state()) == []
        found = PVH.report(kernel).facts["pvh_relocation"]
        assert tuple(found.values()) == numbers + (0x200000, 0, 0xFFFFFFFF)[len(numbers) :]


def test_notes_are_padded(image: Image) -> None:
    """A name of 6 bytes and 5 bytes of data take 8 each."""
    odd = word(6) + word(5) + word(1) + b"Linux\0\0\0" + b"data!\0\0\0"
    kernel = write_elf([Segment(BASE, bytes(16), 16, 7)], [], BASE, odd + pvh_note(BASE))
    machine = boot(Guest("microvm", firmware_loads=True), image, kernel)
    assert machine.outcome.registers["eip"] == BASE
    assert PVH.judge(machine.state()) == []


def test_a_note_with_too_few_bytes_for_an_entry_is_none(image: Image) -> None:
    """A later segment's is taken."""
    short = word(4) + word(3) + word(pvh.ELF_NOTE_PHYS32_ENTRY) + b"Xen\0" + bytes(4)
    rows = [Segment(BASE, bytes(16), 16, 7), Segment(0x200000, short, len(short), 4)]
    kernel = bytearray(write_elf(rows, [], BASE, pvh_note(BASE)))
    kernel[phdr(1, "type") : phdr(1, "type") + 4] = word(elf.PT_NOTE)
    machine = boot(Guest("microvm", firmware_loads=True), image, bytes(kernel))
    assert machine.outcome.registers["eip"] == BASE


def test_a_note_that_another_segments_bytes_would_complete(image: Image) -> None:
    """Of the second segment's last note 8 bytes are there. What the first had behind them does not
    count, which is no note there, but the data of one."""
    fake = word(pvh.ELF_NOTE_PHYS32_ENTRY) + b"Xen\0" + word(BASE)
    first = word(4) + word(24) + word(1) + b"Xen\0" + bytes(12) + fake
    second = word(4) + word(4) + word(1) + b"Xen\0" + bytes(4) + word(4) + word(4)
    rows = [Segment(BASE, bytes(16), 16, 7), Segment(0x200000, first, len(first), 4)]
    kernel = bytearray(write_elf(rows, [], BASE, second))
    kernel[phdr(1, "type") : phdr(1, "type") + 4] = word(elf.PT_NOTE)
    outcome = bare(image.image, {file_names.KERNEL: bytes(kernel)}).run()
    assert outcome.exit_value == stop_codes.BY_NAME["KERNEL_FILE"].code
    assert ways.by_file(bytes(kernel), "k").refusal


def test_64_bit_program_headers_of_another_size(image: Image, tmp_path: Path) -> None:
    kernel = bytearray(link("alone", 4, tmp_path).read_bytes())
    kernel[offsets(elf.EHDR64)["phentsize"]] -= 1
    outcome = bare(image.image, {file_names.KERNEL: bytes(kernel)}).run()
    assert outcome.exit_value == stop_codes.BY_NAME["KERNEL_ELF"].code


LAST = layout.region("head").size - work.SEGMENTS_MAX * elf.PHDR64.sizeof()


@pytest.mark.parametrize(("at", "taken"), [(LAST, True), (LAST + 1, False), (0x9000, False)])
def test_where_program_headers_may_lie(at: int, taken: bool, image: Image, tmp_path: Path) -> None:
    """What the tool says of the file is what the firmware does with it."""
    kernel = bytearray(link("alone", 4, tmp_path).read_bytes().ljust(0xA000, b"\0"))
    header = elf.EHDR64.parse(bytes(kernel))
    size = header.phnum * header.phentsize
    kernel[at : at + size] = kernel[header.phoff : header.phoff + size]
    field = offsets(elf.EHDR64)["phoff"]
    kernel[field : field + 8] = at.to_bytes(8, "little")
    outcome = bare(image.image, {file_names.KERNEL: bytes(kernel)}).run()
    assert outcome.console.startswith("fwbuild: 29") != taken
    assert (ways.by_file(bytes(kernel), "k").refusal is None) == taken


@pytest.mark.parametrize("size", [4, 5, 8, 12])
def test_a_note_of_any_size(size: int, image: Image) -> None:
    """The entry is its first 4 bytes, for QEMU as well."""
    note = word(4) + word(size) + word(pvh.ELF_NOTE_PHYS32_ENTRY) + b"Xen\0" + word(BASE)
    note = note.ljust(16 + -(-size // 4) * 4, b"\0")
    kernel = write_elf([Segment(BASE, bytes(16), 16, 7)], [], BASE + 4, note)
    machine = boot(Guest("microvm", firmware_loads=True), image, kernel)
    assert machine.outcome.registers["eip"] == BASE
    assert PVH.report(kernel).problems == []


def test_segments_without_memory_do_not_count(image: Image) -> None:
    """Wherever they say that they lie."""
    places = [(0xFFFFF000, b""), (0, b""), (0x200000, b"bytes")]
    rows = [Segment(BASE, bytes(16), 16, 7), *(Segment(at, data, 0, 7) for at, data in places)]
    kernel = write_elf(rows, [], BASE, pvh_note(BASE))
    machine = boot(Guest("microvm", firmware_loads=True), image, kernel)
    assert PVH.judge(machine.state()) == []
    assert machine.read(0x200000, 5) == bytes(5)


@pytest.mark.parametrize("field", ["paddr", "offset", "filesz", "memsz"])
def test_above_4_gib(field: str, image: Image, tmp_path: Path) -> None:
    kernel = bytearray(link("alone", 4, tmp_path).read_bytes())
    at = elf.EHDR64.sizeof() + offsets(elf.PHDR64)[field]
    kernel[at + 4] = 1
    outcome = bare(image.image, {file_names.KERNEL: bytes(kernel)}).run()
    assert outcome.exit_value == stop_codes.BY_NAME["KERNEL_ELF"].code


def test_a_command_line_that_is_too_long(image: Image) -> None:
    files = {file_names.KERNEL: KERNEL, file_names.CMDLINE: b"a" * 0xFFFD}
    outcome = bare(image.image, files).run()
    assert outcome.exit_value == stop_codes.BY_NAME["CMDLINE_SIZE"].code


def test_a_kernel_of_qemus_goes_first(image: Image) -> None:
    machine = emulated(Guest("pc"), image.image, files={file_names.KERNEL: b"no kernel"})
    assert PVH.judge(machine.state()) == []


def test_a_template_may_leave_it_out(image: Image) -> None:
    without = build_image("linux")
    outcome = bare(without.image, {file_names.KERNEL: KERNEL}).run()
    assert outcome.exit_value == stop_codes.BY_NAME["NO_KERNEL"].code
    assert not any(name.startswith("elf_") for name in without.linked.addresses)


def test_the_judge_sees_what_is_damaged(image: Image) -> None:
    machine = boot(Guest("pc", append="a=b", firmware_loads=True), image)
    machine.uc.mem_write(BASE + 0x2000, b"\1")  # of what has to be zeros
    machine.uc.mem_write(layout.region("cmdline").base, b"x")
    words = " / ".join(PVH.judge(machine.state()))
    assert "segment at 0x100000 is damaged" in words
    assert "the command line is b'x=b'" in words


@pytest.mark.parametrize("data", [b"", b"text", bytes(64)])
def test_what_is_no_kernel_is_refused(data: bytes) -> None:
    guest = Guest(firmware_loads=True)
    with pytest.raises(FwbuildError, match="no ELF file"):
        protocols.load(guest, recording.find(Guest()), data)


def test_declarations() -> None:
    assert work.SEGMENT.sizeof() == 4 + 2 * 4 * work.SEGMENT_FIELDS
