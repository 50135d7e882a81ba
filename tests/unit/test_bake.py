"""Guests in a RAM file: laid out, started in the emulated machine, and refused where it lies."""

import json
import os
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fwbuild import protocols
from fwbuild.bake.plan import plan
from fwbuild.bake.read import bake as bake_in
from fwbuild.bake.read import baked_guest
from fwbuild.bake.write import write
from fwbuild.cli import main
from fwbuild.emulator import recording
from fwbuild.emulator.loaded import Loaded
from fwbuild.emulator.machine import Machine
from fwbuild.emulator.wake import judge_wake, reset, suspend
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.firmware import layout, preloaded, stop_codes
from fwbuild.guest import RAM_FILE, Guest
from fwbuild.image.build import Image, build_image
from fwbuild.kernel.placed import placed
from fwbuild.machines import MACHINES
from fwbuild.payloads.test_kernel import write_test_kernel
from fwbuild.protocols import PRELOADED
from fwbuild.qemu import command as qemu_command
from fwbuild.qemu.command import command
from fwbuild.qemu.program import Qemu
from tests.support.files import put_files
from tests.support.matrix import recorded

pytestmark = pytest.mark.usefixtures("sandbox")
RECORD = layout.region("record").base
ACCESSES = {"microvm": 5, "pc": 15, "q35": 15}  # at most


def image(machine: str, **values: object) -> Image:
    return build_image("baked", machines=[machine], **values)


def bake(
    folder: Path, machine: str, modules: int = 0, append: str = "", name: str = "out"
) -> Guest:
    """A baked test kernel with so many modules, the first of them the initrd."""
    files = [folder / f"module{n}" for n in range(modules)]
    for n, path in enumerate(files):
        path.write_bytes(bytes([n + 1]) * (5000 + n))
    kernel = write_test_kernel(folder)
    guest = Guest(machine, kernel=kernel, initrd=files[0] if files else None, append=append)
    return bake_in(guest, folder / name, files[1:])


def start(guest: Guest, firmware: Image, change: Callable[[Any], None] | None = None) -> Machine:
    """The emulated machine after its run; `change` alters the record before."""
    found = recording.find(replace(guest, baked=None))
    loaded = protocols.load(guest, found)
    assert loaded
    if change:
        loaded = changed(loaded, change)
    machine = Machine(firmware.image, found, loaded, poison=0)
    put_files(machine, loaded.files)
    machine.run()
    return machine


def changed(loaded: Loaded, change: Callable[[Any], None]) -> Loaded:
    (old,) = (p for p in loaded.laid if p.address == RECORD)
    record = preloaded.RECORD.parse(bytes(old.content))
    change(record)
    new = placed(RECORD, preloaded.RECORD.build(record))
    return replace(loaded, laid=[new if p is old else p for p in loaded.laid])


@pytest.mark.parametrize(("modules", "append"), [(0, ""), (1, "quiet"), (10, "a=b c")])
@pytest.mark.parametrize("name", MACHINES)
def test_a_guest_starts(name: str, modules: int, append: str, tmp_path: Path) -> None:
    machine = start(bake(tmp_path, name, modules, append), image(name))
    assert PRELOADED.judge(machine.state()) == []
    assert len(machine.outcome.accesses) <= ACCESSES[name]
    handoff = PRELOADED.read(machine.state())
    assert handoff.cmdline == append.encode()
    assert [m.size for m in handoff.modules] == [5000 + n for n in range(modules)]
    outcome = machine.run_kernel()
    assert (outcome.kind, outcome.exit_value) == ("exit", 1)
    assert f"cmdline {append}\n" in outcome.console


@pytest.mark.parametrize("machines", [list(MACHINES), ["pc", "q35"]])
def test_an_image_for_several_machines(machines: list[str], tmp_path: Path) -> None:
    firmware = build_image("baked", machines=machines)
    for name in machines:
        machine = start(bake(tmp_path, name), firmware)
        assert PRELOADED.judge(machine.state()) == []


@pytest.mark.parametrize("baked", ["", "a", "quiet"])
@pytest.mark.parametrize("more", ["a", "a=b c=d", os.fsdecode(b"name=\xff")])
def test_the_host_adds_to_the_command_line(baked: str, more: str, tmp_path: Path) -> None:
    guest = bake(tmp_path, "microvm", append=baked)
    machine = start(replace(guest, append=more), image("microvm"))
    assert PRELOADED.judge(machine.state()) == []
    assert PRELOADED.read(machine.state()).cmdline == os.fsencode(f"{baked} {more}".strip())


ROOM = layout.region("cmdline").size - 4


@pytest.mark.parametrize(
    ("baked", "more", "fits"),
    [(0, ROOM, False), (0, ROOM - 1, True), (ROOM - 2, 1, True), (ROOM - 1, 1, False)],
)
def test_room_for_the_command_line(baked: int, more: int, fits: bool, tmp_path: Path) -> None:
    guest = bake(tmp_path, "microvm", append="a" * baked)
    machine = start(replace(guest, append="b" * more), image("microvm"))
    if fits:
        assert PRELOADED.judge(machine.state()) == []
    else:
        assert machine.outcome.exit_value == stop_codes.BY_NAME["CMDLINE_SIZE"].code


def put(**fields: int) -> Callable[[Any], None]:
    return lambda record: record.update(fields)


def at_module(field: str, value: int, number: int = 1) -> Callable[[Any], None]:
    return lambda record: record.modules[number].update({field: value})


# A record's change, the stop that it comes to, and its detail.
LIES: dict[str, tuple[Callable[[Any], None], str, int]] = {
    "no record": (put(magic=0), "NO_RECORD", 0),
    "started": (put(magic=preloaded.SPENT), "RECORD_SPENT", preloaded.SPENT),
    "other memory": (put(low_ram_end=1 << 30), "RECORD_MEMORY", 1 << 30),
    "another protocol": (put(protocol=2), "KERNEL_KIND", 2),
    "no entry": (put(kernel_entry=0), "KERNEL_ENTRY", 0x100000),
    "entry outside": (put(kernel_entry=0x8000000), "KERNEL_ENTRY", 0x100000),
    "kernel too long": (put(kernel_size=0x20000000), "KERNEL_RANGE", 0x100000),
    "kernel that wraps": (put(kernel_size=0xFFFFFFFF), "KERNEL_RANGE", 0x100000),
    "kernel of no bytes": (put(kernel_size=0), "KERNEL_ENTRY", 0x100000),
    "kernel below 1 MiB": (
        put(kernel_start=0x8000, kernel_entry=0x8000), "KERNEL_OVERLAP", 0x8000),
    "command line too long": (put(cmdline_size=ROOM + 1), "CMDLINE_SIZE", ROOM + 1),
    "command line that wraps": (
        put(cmdline_size=0xFFFFFFFF), "CMDLINE_SIZE", 0xFFFFFFFF),
    "eleven modules": (put(nr_modules=11), "RECORD_MODULES", 11),
    "modules without end": (
        put(nr_modules=0xFFFFFFFF), "RECORD_MODULES", 0xFFFFFFFF),
    "module in the kernel": (at_module("paddr", 0x100000), "INITRD_OVERLAP", 0x100000),
    "first module in the kernel": (
        at_module("paddr", 0x100000, 0), "INITRD_OVERLAP", 0x100000),
    "module at 0": (at_module("paddr", 0), "INITRD_OVERLAP", 0),
    "module outside RAM": (at_module("paddr", 0x20000000), "INITRD_RANGE", 0x20000000),
    "module of all memory": (at_module("size", 0x20000000), "INITRD_RANGE", 0x106000),
    "module that wraps": (at_module("size", 0xFFFFFFFF), "INITRD_RANGE", 0),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_a_record_that_lies(name: str, tmp_path: Path) -> None:
    change, stop_name, detail = LIES[name]
    machine = start(bake(tmp_path, "microvm", modules=2), image("microvm"), change)
    stop = stop_codes.BY_NAME[stop_name]
    outcome = machine.outcome
    assert (outcome.kind, outcome.exit_value) == ("exit", stop.code), outcome.console
    if name != "module that wraps":  # it starts where the bake has laid it
        assert outcome.console == f"fwbuild: {stop.code:02x} {stop.what} {detail:08x}\n"


def test_tables_keep_clear_of_the_modules(tmp_path: Path) -> None:
    """A module that lies where the tables would be: they go below the kernel's and its range."""
    guest = bake(tmp_path, "pc", modules=1)
    top = 0x20000000 - 0x2000

    def move(record: Any) -> None:
        record.modules[0].paddr = top

    found = recording.find(replace(guest, baked=None))
    loaded = protocols.load(guest, found)
    assert loaded
    module = replace(loaded.laid[0], address=top)
    loaded = changed(replace(loaded, laid=[module, *loaded.laid[1:]]), move)
    machine = Machine(image("pc").image, found, loaded, poison=0)
    outcome = machine.run()
    # no room is left below what lies between kernel and module
    assert outcome.exit_value == stop_codes.BY_NAME["NO_ROOM"].code


@pytest.mark.parametrize("name", ["pc", "q35"])  # microvm offers no S3
def test_a_guest_wakes(name: str, tmp_path: Path) -> None:
    """The mark of a kernel that is used up stops a new start, and no wake."""
    vector = 0x9A010
    before = start(bake(tmp_path, name), image(name))
    handoff = PRELOADED.read(before.state())
    assert before.loaded
    kernel = before.loaded.segments[0].address
    before.memory.dma_write(kernel, b"used")
    after = suspend(before, handoff.rsdp, vector)
    assert after.read(kernel, 4) == b"used"  # QEMU loads nothing over it
    assert int.from_bytes(after.read(RECORD, 4), "little") == preloaded.SPENT
    assert judge_wake(before, after, after.run(), vector) == []


@pytest.mark.parametrize("name", MACHINES)
def test_a_guest_that_resets_finds_its_kernel_used(name: str, tmp_path: Path) -> None:
    before = start(bake(tmp_path, name), image(name))
    assert before.outcome.kind == "handoff"
    assert before.loaded
    after = reset(before, before.loaded.entry)
    outcome = after.run()
    stop = stop_codes.BY_NAME["RECORD_SPENT"]
    assert (outcome.kind, outcome.exit_value) == ("exit", stop.code), outcome.console


@pytest.mark.parametrize("other", MACHINES)
@pytest.mark.parametrize("name", MACHINES)
def test_an_image_for_another_machine(name: str, other: str, tmp_path: Path) -> None:
    machine = start(bake(tmp_path, other), image(name))
    if name == other:
        assert machine.outcome.kind == "handoff"
    else:
        stop = stop_codes.BY_NAME["MACHINE"]
        assert machine.outcome.console == f"fwbuild: {stop.code:02x} {stop.what} 00000000\n"


def test_one_guest_gives_one_folder(tmp_path: Path) -> None:
    """The same bytes again, in another folder; and only pages that hold something take room."""
    one, two = (bake(tmp_path, "pc", 2, "quiet", name).baked for name in ("one", "two"))
    assert one
    assert two
    for path in one.iterdir():
        assert path.read_bytes() == (two / path.name).read_bytes(), path.name
    ram = (one / RAM_FILE).stat()
    assert ram.st_size == Guest().memory
    assert ram.st_blocks * 512 <= 1 << 20


def test_qemu_options(tmp_path: Path) -> None:
    folder = bake(tmp_path, "pc").baked
    assert folder
    words = json.loads((folder / "qemu.json").read_text())["options"]
    assert words[:4] == ["-M", "pc,memory-backend=ram", "-m", "512M"]
    assert words[-2:] == ["-bios", "bios.bin"]
    backend = dict(part.partition("=")[::2] for part in words[5].split(","))
    assert (backend["id"], backend["size"], backend["mem-path"]) == ("ram", "536870912", RAM_FILE)
    assert backend["share"] == "off"


def test_a_guest_whose_reset_ends_qemu(tmp_path: Path) -> None:
    """A firmware that stops by a reset would stop again at each; the written options end that."""
    guest = Guest("pc", kernel=write_test_kernel(tmp_path))
    for stop, once in (("halt", False), ("reset", True)):
        write(plan(guest), image("pc", stop=stop), tmp_path / stop)
        options = json.loads((tmp_path / stop / "qemu.json").read_text())["options"]
        assert ("-no-reboot" in options) == once
        domain = (tmp_path / stop / "libvirt.xml").read_text()
        assert ("<on_reboot>destroy</on_reboot>" in domain) == once


@pytest.mark.parametrize("name", recorded())
def test_low_ram(name: str) -> None:
    """Where QEMU ends RAM below 4 GiB."""
    guest = recorded()[name]
    ranges = dict(recording.find(guest).ram())
    assert ranges[0] == guest.family.low_ram(sum(ranges.values()))


def sized(size: int) -> Callable[[Path], object]:
    return lambda folder: os.truncate(folder / RAM_FILE, size)


def described(**values: object) -> Callable[[Path], object]:
    plain = {"machine": "microvm", "memory": Guest().memory, "smp": 1} | values
    return lambda folder: (folder / "bake.json").write_text(json.dumps(plain))


def record_of(folder: Path, change: Callable[[Any], None]) -> None:
    """Alter the record in a RAM file."""
    with (folder / RAM_FILE).open("r+b") as file:
        file.seek(RECORD)
        record = preloaded.RECORD.parse(file.read(preloaded.RECORD.sizeof()))
        change(record)
        file.seek(RECORD)
        file.write(preloaded.RECORD.build(record))


def spent(folder: Path) -> None:
    record_of(folder, put(magic=preloaded.SPENT))


NONE = "does not describe"
# What was done to a baked guest's folder, and words of the error.
DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no RAM file": (lambda f: (f / RAM_FILE).unlink(), "ram.img: cannot read"),
    "RAM file cut short": (sized(1 << 20), "it has 1048576 bytes"),
    "RAM file too long": (sized(1 << 30), "it has 1073741824 bytes"),
    "empty RAM file": (sized(0), "no baked guest in it"),
    "used with share=on": (spent, "used with share=on"),
    "no description": (lambda f: (f / "bake.json").unlink(), "bake.json: cannot read"),
    "no JSON": (lambda f: (f / "bake.json").write_text("{"), NONE),
    "other JSON": (lambda f: (f / "bake.json").write_text("[]"), NONE),
    "no text": (lambda f: (f / "bake.json").write_bytes(b"\xff\xfe"), NONE),
    "other memory": (described(memory=128 << 20), "and the guest's memory 134217728"),
    "no CPUs": (described(smp=0), NONE),
    "no memory": (described(memory=0), NONE),
    "negative memory": (described(memory=-5), NONE),
    "infinite memory": (described(memory=float("inf")), NONE),
    "memory of words": (described(memory="512M"), NONE),
    "machine that is a number": (described(machine=5), NONE),
    "machine with a NUL": (described(machine="pc,x=\0"), NONE),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_folder(name: str, tmp_path: Path) -> None:
    """Each is found before QEMU starts, which would make a RAM file and fill up an empty one."""
    damage, words = DAMAGE[name]
    folder = bake(tmp_path, "microvm").baked
    assert folder
    damage(folder)
    before = {path.name: path.stat().st_size for path in folder.iterdir()}
    with pytest.raises(FwbuildError, match=words) as error:
        baked_guest(folder, Guest())
    assert error.value.code == ExitCode.INPUT
    assert {path.name: path.stat().st_size for path in folder.iterdir()} == before


@pytest.mark.parametrize("name", LIES)
def test_a_file_whose_record_lies(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The firmware judges what the file can be loaded for; the rest is refused."""
    change, stop_name, _ = LIES[name]
    folder = bake(tmp_path, "microvm", modules=2).baked
    assert folder
    record_of(folder, change)
    code = main(["verify", "--baked", str(folder), "--release", "11.1"])
    said = capsys.readouterr()
    if code == ExitCode.STOPPED:
        assert stop_codes.BY_NAME[stop_name].what in said.out
    else:
        assert code == ExitCode.INPUT
        assert said.err.count("\n") == 1
        assert "(hint: " in said.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-m", "128M"], "it is baked for -M pc -m 512M (hint: leave out"),
        (["-M", "q35"], "it is baked for -M pc -m 512M (hint: leave out"),
        (["--template", "linux"], "a baked guest has its image (hint: leave out --template"),
    ],
)
def test_options_for_another_guest(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = bake(tmp_path, "pc").baked
    assert main(["verify", "--baked", str(folder), *words]) == ExitCode.USAGE
    assert said in capsys.readouterr().err


def test_a_file_that_may_only_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A QEMU that opens it for writing would fail; one with rom=off opens it for reading."""
    guest = bake(tmp_path, "microvm")
    monkeypatch.setattr(os, "access", lambda path, mode, **_: mode != os.W_OK)
    monkeypatch.setattr(qemu_command, "program", lambda: Qemu("qemu", "7.2.22"))
    monkeypatch.setattr(qemu_command, "opens_read_only", lambda: True)
    assert any("readonly=on,rom=off" in word for word in command(guest))
    monkeypatch.setattr(qemu_command, "opens_read_only", lambda: False)
    with pytest.raises(FwbuildError, match="may only read it, and QEMU"):
        command(guest)


def test_no_room(tmp_path: Path) -> None:
    """A bake that fails leaves the folder as it was."""
    guest = bake(tmp_path, "microvm")
    assert guest.baked
    before = {path.name: path.read_bytes() for path in guest.baked.iterdir()}
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, most[1]))
    try:
        with pytest.raises(FwbuildError, match=r"ram\.img: cannot write: File too large"):
            bake(tmp_path, "pc")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
    assert {path.name: path.read_bytes() for path in guest.baked.iterdir()} == before


def test_a_bake_that_fails_leaves_no_folder(tmp_path: Path) -> None:
    kernel = write_test_kernel(tmp_path)
    out = tmp_path / "new" / "folder"
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, most[1]))
    try:
        argv = ["bake", "--kernel", str(kernel), "--out", str(out)]
        assert main(argv) == ExitCode.INPUT
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
    assert sorted(tmp_path.iterdir()) == [kernel]


def test_what_cannot_be_baked(tmp_path: Path) -> None:
    kernel = write_test_kernel(tmp_path)
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(600 << 20)
    with pytest.raises(FwbuildError, match="RAM below 4 GiB"):
        plan(Guest(kernel=kernel, initrd=large))
    with pytest.raises(FwbuildError, match="11 modules"):
        plan(Guest(kernel=kernel), [kernel] * 11)
    with pytest.raises(FwbuildError, match="a command line of"):
        plan(Guest(kernel=kernel, append="a" * (ROOM + 1)))
    with pytest.raises(FwbuildError, match="max-ram-below-4g moves the end"):
        plan(Guest("pc,max-ram-below-4g=1G", kernel=kernel))
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(FwbuildError, match="something else in it"):
        write(plan(Guest(kernel=kernel)), image("microvm"), tmp_path)
    assert (tmp_path / "mine").read_text() == "keep"
