"""Errors that no other test is about, each with what brings it about."""

import argparse
import gzip
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lzallright
import pytest

from fwbuild.abi import acpi, elf, linux_boot, offsets
from fwbuild.abi.fw_cfg import Key
from fwbuild.assembler import link, source
from fwbuild.bake import plan
from fwbuild.bake.read import bake, check_pieces
from fwbuild.emulator import recording
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.firmware import layout, preloaded
from fwbuild.guest import RAM_FILE, Guest
from fwbuild.image import place
from fwbuild.image.elf import Segment, pvh_note, write_elf
from fwbuild.image.template import Template
from fwbuild.kernel import bzimage, lzop, vmlinux
from fwbuild.kernel.decompress import PayloadError
from fwbuild.kernel.elf_file import ElfError, read_elf
from fwbuild.payloads.test_kernel import build_bzimage, build_test_bzimage, build_test_kernel
from fwbuild.protocols import bzimage as bzimage_protocol
from fwbuild.protocols import linux, linux64, multiboot2
from fwbuild.protocols.kernel_file import load_file
from fwbuild.protocols.preloaded import load_baked
from fwbuild.protocols.tables.acpi import pointers, read_table, walk
from fwbuild.qemu.gdbstub import GdbStub
from fwbuild.qemu.program import _asked
from fwbuild.qemu.qtest import Qtest
from fwbuild.sizes import MIB
from fwbuild.verbs import verify
from tests.support import messages
from tests.support.elf_files import LOAD, NOTES, Row, elf_file
from tests.support.sources import header
from tests.support.vmlinux64 import vmlinux64

GUEST = Guest("pc", 512 * MIB)


def offered() -> recording.Recording:
    return recording.find(GUEST)


def settled_never(fragments: Any, sizes: Any) -> dict[str, int]:
    settled_never.calls += 1  # type: ignore[attr-defined]
    return {f.name: settled_never.calls for f in fragments}  # type: ignore[attr-defined]


def linked_never() -> object:
    [fragment] = source.parse("a.s", f"{header()}start:\n hlt\n jmp start\n", {})
    settled_never.calls = 0  # type: ignore[attr-defined]
    return link.Linker({}).link([fragment], ["start"], settled_never)


def lost(folder: Path) -> None:
    """The RAM file of a baked guest is gone."""
    kernel = folder / "vmlinux"
    kernel.write_bytes(build_test_kernel())
    bake(Guest("pc", 64 * MIB, kernel=kernel), folder / "baked")
    (folder / "baked" / RAM_FILE).unlink()
    check_pieces(folder / "baked")


def lying(folder: Path) -> object:
    """The record of a baked guest names what lies outside its memory."""
    kernel = folder / "vmlinux"
    kernel.write_bytes(build_test_kernel())
    guest = bake(Guest("pc", 64 * MIB, kernel=kernel), folder / "baked")
    with (folder / "baked" / RAM_FILE).open("r+b") as file:
        file.seek(layout.region("record").base)
        record = preloaded.RECORD.parse(file.read(preloaded.RECORD.sizeof()))
        record.kernel_size = 64 * MIB
        file.seek(layout.region("record").base)
        file.write(preloaded.RECORD.build(record))
    return load_baked(guest)


def low(folder: Path) -> object:
    """A kernel that is linked below 1 MiB."""
    kernel = folder / "vmlinux"
    kernel.write_bytes(write_elf([Segment(0x8000, b"\xf4", 1, 5)], [], 0x8000, pvh_note(0x8000)))
    return plan.plan(Guest("pc", 64 * MIB, kernel=kernel))


def template(folder: Path, text: str) -> object:
    path = folder / "my.toml"
    path.write_text(text)
    return Template.load(path)


def packed(block: int, data: bytes) -> object:
    """An lzop block that claims another size than its data unpacks to."""
    stored = lzallright.LZOCompressor().compress(data)
    return lzop._content(SimpleNamespace(size=block, stored_size=len(stored), data=stored))


def holding(data: bytes) -> bytes:
    """A bzImage with this in its payload, in gzip."""
    stored = gzip.compress(data)
    return build_bzimage(stored, payload_offset=0, payload_length=len(stored))


def at_the_other_end(use: Callable[[socket.socket], object], said: bytes) -> object:
    """What a client makes of this answer, behind which nothing comes."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(said)
        theirs.shutdown(socket.SHUT_WR)
        return use(ours)


def stub(use: Callable[[GdbStub], object], answer: str) -> object:
    check = sum(answer.encode()) % 256
    said = f"+${answer}#{check:02x}".encode()
    return at_the_other_end(lambda connection: use(GdbStub(connection)), said)


def setup_data(at: int) -> object:
    """The host's list of setup_data begins there, outside the kernel."""
    setup = bytearray(linux_boot.SETUP_HEADER.sizeof())
    where = offsets(linux_boot.SETUP_HEADER)["setup_data"]
    setup[where : where + 8] = at.to_bytes(8, "little")
    items = {Key.SETUP_DATA: bytes(setup), Key.KERNEL_DATA: bytes(64), Key.KERNEL_ADDR: bytes(4)}
    state: Any = SimpleNamespace(items=items)
    return linux.host_setup_data(state)


def absurd_table(length: int) -> object:
    table = acpi.TABLE_HEADER.build(
        acpi.TABLE_HEADER.parse(bytes(acpi.TABLE_HEADER.sizeof())) | {"length": length}
    )
    return read_table(lambda _at, size: table[:size].ljust(size, b"\0"), 0x1000)


def the_same_tables(count: int, length: int) -> object:
    """A root table that names one table many times."""
    head = acpi.TABLE_HEADER.parse(bytes(acpi.TABLE_HEADER.sizeof()))
    root = acpi.TABLE_HEADER.build(head | {"length": acpi.TABLE_HEADER.sizeof() + 4 * count})
    rsdp = acpi.RSDP.build(
        acpi.RSDP.parse(bytes(acpi.RSDP.sizeof()))
        | {"signature": acpi.RSDP_SIGNATURE, "rsdt_address": 0x1000}
    )
    rsdp = bytearray(rsdp)
    rsdp[8] = -sum(rsdp) % 256  # its checksum
    table = acpi.TABLE_HEADER.build(head | {"signature": b"SSDT", "length": length})
    memory = {0: bytes(rsdp), 0x1000: root + (0x2000).to_bytes(4, "little") * count, 0x2000: table}
    return list(walk(lambda at, size: memory[at][:size].ljust(size, b"\0"), 0))


HIGH = (1 << 32) - 16
HUGE = Row(elf.PT_LOAD, memsz=0xE0000000 - 0x100000)
MANY = [LOAD, *[Row(0)] * 1100]
BIG_ENDIAN = bytearray(elf_file([LOAD]))
BIG_ENDIAN[elf.IDENT_DATA] = 2
SHORT = Row(elf.PT_LOAD, memsz=1)
KERNEL = elf_file([LOAD, NOTES])

# What brings an error about, in a folder; its exit code or its class; its words.
CASES: dict[str, tuple[Callable[[Path], object], ExitCode | type[Exception], str]] = {
    ".rept of what is no number": (
        lambda _: source.parse("a.s", ".rept many\n", {}),
        ExitCode.ASSEMBLY,
        "a.s:1: undefined symbol 'many'",
    ),
    ".rept in a .rept": (
        lambda _: source.parse("a.s", ".rept 2\n.rept 2\n", {}),
        ExitCode.ASSEMBLY,
        "a.s:2: misplaced",
    ),
    ".rept without an end": (
        lambda _: source.parse("a.s", ".rept 2\n", {}),
        ExitCode.ASSEMBLY,
        "a.s: .rept without .endr",
    ),
    "addresses that do not settle": (
        lambda _: linked_never(),
        ExitCode.ASSEMBLY,
        "the image: the addresses do not settle",
    ),
    "past 4 GiB": (
        lambda _: place.check({"a": HIGH}, {"a": 17}, 0x10000),
        ExitCode.LAYOUT,
        "ROM: a passes 4 GiB",
    ),
    "over each other in ROM": (
        lambda _: place.check({"a": HIGH - 8, "b": HIGH}, {"a": 16, "b": 16}, 0x10000),
        ExitCode.LAYOUT,
        "ROM: a overlaps b by 8",
    ),
    "a QEMU and a recording": (
        lambda _: verify._offer(
            GUEST, argparse.Namespace(qemu="qemu", recording=None, release="7.2")
        ),
        ExitCode.USAGE,
        "--qemu and a recording are two sources of one thing",
    ),
    "a template without what has no default": (
        lambda folder: template(folder, 'what = "a"\n'),
        ExitCode.TEMPLATE,
        "my.toml: missing '",
    ),
    "preloaded and another protocol": (
        lambda folder: template(folder, 'extends = "baked"\nprotocols = ["preloaded", "pvh"]\n'),
        ExitCode.TEMPLATE,
        "my.toml:2: 'protocols' has preloaded and another",
    ),
    "a baked kernel below 1 MiB": (low, ExitCode.KERNEL, "segment at 0x8000 lies below 1 MiB"),
    "a baked guest without its RAM file": (lost, ExitCode.INPUT, "ram.img: cannot read"),
    "a baked guest whose record lies": (
        lying,
        ExitCode.INPUT,
        "ram.img: its record names what lies outside the guest's memory",
    ),
    "a vmlinux in a bzImage beyond the limits": (
        lambda _: bzimage.unpack(bzimage.parse_bzimage(holding(elf_file(MANY)))),
        PayloadError,
        "beyond fwbuild's limits",
    ),
    "a big-endian ELF file": (
        lambda _: read_elf(bytes(BIG_ENDIAN)),
        ElfError,
        "it is not little-endian",
    ),
    "a segment with more bytes than memory": (
        lambda _: vmlinux.parse_elf(elf_file([SHORT])),
        ElfError,
        "a segment of 0x1 bytes at 0x100000",
    ),
    "no segment": (
        lambda _: vmlinux.parse_elf(elf_file([NOTES])),
        ElfError,
        "nothing to load",
    ),
    "segments over each other": (
        lambda _: vmlinux.parse_elf(elf_file([LOAD, LOAD])),
        ElfError,
        "segments overlap at 0x100000",
    ),
    "an lzop block of another size": (
        lambda _: packed(64, bytes(32)),
        lzop.LzopError,
        "a block gives 32 bytes, not 64",
    ),
    "a bzImage of an old protocol": (
        lambda _: bzimage_protocol._check(
            bzimage.parse_bzimage(build_test_bzimage(version=0x201)), "k"
        ),
        ExitCode.KERNEL,
        "k: a bzImage that is cut short, or older than boot protocol 2.02",
    ),
    "a video mode that is none": (
        lambda _: bzimage_protocol._video_mode("best"),
        ExitCode.INPUT,
        "--append: QEMU refuses vga=best",
    ),
    "a kernel's file with more memory than is kept": (
        lambda _: load_file(GUEST, offered(), elf_file([HUGE, NOTES]), "k"),
        ExitCode.KERNEL,
        "k: ",
    ),
    "more modules than there are files for": (
        lambda _: load_file(
            Guest("pc", 512 * MIB, initrd=Path("a," * 9 + "a"), firmware_loads=True),
            offered(),
            KERNEL,
            "k",
        ),
        ExitCode.USAGE,
        "--initrd: 10 modules",
    ),
    "a second initrd, which the 64-bit protocol has no place for": (
        lambda _: load_file(
            Guest("pc", initrd=Path("a,b"), firmware_loads=True), offered(), vmlinux64(), "k"
        ),
        ExitCode.USAGE,
        "--initrd: 2 modules",
    ),
    "the 64-bit protocol and what is no ELF file": (
        lambda _: linux64.LINUX64.place(b"no", "k", 0),
        ExitCode.KERNEL,
        "k: ",
    ),
    "Multiboot 2 by QEMU": (
        lambda _: multiboot2.MULTIBOOT2.load(GUEST, offered(), b"", "k"),
        ExitCode.KERNEL,
        "k: ",
    ),
    "setup_data outside the kernel": (
        lambda _: setup_data(0x5000),
        MemoryError,
        "the host's setup_data at 0x5000 lies outside the kernel",
    ),
    "an ACPI table of absurd size": (
        lambda _: absurd_table(1 << 31),
        MemoryError,
        "a table of 2147483648 bytes at 0x1000",
    ),
    "more ACPI tables than a host has": (
        lambda _: pointers(bytes(acpi.TABLE_HEADER.sizeof() + 4 * 257), 0x1000, 4),
        MemoryError,
        "257 tables at 0x1000",
    ),
    "the same ACPI table again and again": (
        lambda _: the_same_tables(65, 1 << 20),
        MemoryError,
        "tables of more than 64 MiB at 0x1000",
    ),
    "gdb's stub at another stop": (
        lambda _: stub(lambda s: s.run_to(), "S06"),
        OSError,
        "for another reason than the breakpoint",
    ),
    "gdb's stub without breakpoints": (
        lambda _: stub(lambda s: s.set_breakpoint(0), "E22"),
        OSError,
        "refuses the breakpoint",
    ),
    "gdb's stub that keeps a breakpoint": (
        lambda _: stub(lambda s: s.clear_breakpoint(0), "E22"),
        OSError,
        "does not give the breakpoint back",
    ),
    "gdb's stub without memory": (
        lambda _: stub(lambda s: s.read(0x5000, 1), "E14"),
        MemoryError,
        "no memory at 0x5000",
    ),
    "qtest that goes away": (
        lambda _: at_the_other_end(lambda c: Qtest(c).command("x"), b""),
        OSError,
        "QEMU closed the qtest connection",
    ),
    "qtest that refuses": (
        lambda _: at_the_other_end(lambda c: Qtest(c).command("x"), b"FAIL no\n"),
        OSError,
        "qtest: FAIL no",
    ),
    "a QEMU that does not start": (
        lambda folder: _asked(str(folder)),
        ExitCode.QEMU,
        "it does not start: ",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_an_error(name: str, tmp_path: Path) -> None:
    act, kind, words = CASES[name]
    with pytest.raises(FwbuildError if isinstance(kind, ExitCode) else kind) as caught:
        act(tmp_path)
    assert words in str(caught.value)
    if isinstance(kind, ExitCode):
        assert isinstance(caught.value, FwbuildError)
        assert caught.value.code == kind


def test_a_layout_that_overlaps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "problems", lambda: ["a overlaps b"])
    with pytest.raises(FwbuildError, match="the RAM layout: a overlaps b") as caught:
        place.check({"a": HIGH}, {"a": 16}, 0x10000)
    assert caught.value.code == ExitCode.LAYOUT


LINES = """
def a():
    raise FwbuildError(1, "a")

def b():
    try:
        return OtherError(
            "b")
    except KeyError:
        raise

def c():
    raise made("c") from None

def d():
    raise AssertionError
"""


def test_which_messages_no_test_reaches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.py").write_text(LINES)
    monkeypatch.setattr(messages, "PACKAGE", tmp_path / "package")
    report = {"files": {"a.py": {"missing_lines": [7, 13, 16]}}}
    missing = list(messages.unreached(report))
    assert [(place.first, place.last) for place in missing] == [(7, 8), (13, 13)]
    reason = {"file": "a.py", "statements": ["raise made('c') from None", "raise d"], "why": "a"}
    assert messages.problems(missing, {"unreached": [reason]}) == [
        "a.py:7: no test, no reason: return OtherError('b')",
        "a.py: a reason for what a test reaches, or does not exist: raise d",
    ]
