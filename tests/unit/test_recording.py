"""Recordings as files: what is kept, what is refused, and which is found."""

import json
from collections.abc import Callable
from dataclasses import replace
from math import inf, nan
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fwbuild import cli
from fwbuild.abi import e820
from fwbuild.api import emulate
from fwbuild.emulator import recording
from fwbuild.emulator.machine import Machine
from fwbuild.emulator.recorded import pack
from fwbuild.emulator.recording import PciFunction, Recording
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.firmware import file_names
from fwbuild.guest import Guest
from fwbuild.sizes import MIB
from tests.support.matrix import recorded
from tests.support.pci_machine import memory_of

GUESTS = recorded()
PACKAGED = recording.packaged()


@pytest.mark.parametrize("path", PACKAGED, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_text_and_back(path: Path) -> None:
    text = path.read_text()
    kept = Recording.from_json(text)
    assert kept.to_json() == text
    assert Recording.from_json(kept.to_json()) == kept


@pytest.mark.parametrize(("root", "path", "place"), [
    (0, (0,), "00:00.0"), (0, (0xFB,), "00:1f.3"), (0x40, (0, 0x18), "40:00.0/03.0"),
    (0, (0xE0, 0, 0x0F), "00:1c.0/00.0/01.7"),
])  # fmt: skip
def test_place(root: int, path: tuple[int, ...], place: str) -> None:
    function = PciFunction(root, path, b"config", b"mask")
    assert function.place == place
    assert PciFunction.at(place, b"config", b"mask") == function


def test_one_without_pci() -> None:
    """From before PCI was recorded: no function answers, and the machine is otherwise whole."""
    plain = json.loads(recording.find(Guest("pc")).to_json())
    for key in ("pci", "cmos", "extra"):
        del plain[key]
    old = Recording.from_json(json.dumps(plain))
    assert (old.pci, old.cmos, old.extra) == ([], b"", ())
    devices = Machine(bytes(0x10000), old).devices
    devices[0xCF8].port_out(0xCF8, 4, 0x80000000)
    assert devices[0xCFC].port_in(0xCFC, 4) == 0xFFFFFFFF


Damage = Callable[[dict[str, Any]], object]


def bare(place: str) -> Damage:
    """Add a function of 256 zeros."""
    entry = {"place": place, "config": pack(bytes(256)), "mask": pack(b"")}
    return lambda plain: plain["pci"].append(entry)


def put(**values: object) -> Damage:
    return lambda plain: plain.update(values)


def file(**fields: object) -> Damage:
    """Add a file of one byte, but for these fields."""
    whole = {"name": "a", "select": 0x3000, "size": 1, "data": pack(b"a")}
    return lambda plain: plain["files"].append(whole | fields)


def ram(*ranges: tuple[int, int]) -> Damage:
    """Another etc/e820: (address, bytes) of RAM."""
    data = b"".join(e820.ENTRY.build({"addr": a, "size": s, "type": 1}) for a, s in ranges)

    def damage(plain: dict[str, Any]) -> None:
        entry = next(f for f in plain["files"] if f["name"] == "etc/e820")
        entry.update(size=len(data), data=pack(data))

    return damage


BOMB = pack(bytes(65 << 20))
FORM = "not of the form"
BAD: dict[str, tuple[Damage, str]] = {
    "below no bridge": (bare("00:00.0/01.0"), "00:00.0/01.0 has no bridge"),
    "below nothing": (bare("00:1d.0/01.0"), "has no bridge"),
    "odd size": (lambda p: p["pci"][0].update(config=pack(bytes(255))), "255 bytes"),
    "no place": (lambda p: p["pci"][0].update(place="nowhere"), "no recording"),
    "no such slot": (bare("00:zz.0"), "zz"),
    "no such bus": (bare("100:00.0"), "no such PCI function"),
    "a slot below 0": (bare("00:-1.0"), "no such PCI function"),
    "a slot twice": (bare("00:00.0"), "two of PCI function 00:00.0"),
    "below 300 bridges": (bare("00:" + "/".join(["01.0"] * 300)), "no such PCI function"),
    "no mask": (lambda p: p["pci"][0].pop("mask"), "mask"),
    "a long mask": (
        lambda p: p["pci"][0].update(mask=pack(bytes(257))), "a mask of 257"),
    "not base64": (lambda p: p["pci"][0].update(mask="!"), "no recording"),
    "not zlib": (lambda p: p["pci"][0].update(mask="QUFB"), "incorrect header"),
    "cut short": (lambda p: p["pci"][0].update(mask="eA=="), "cut short"),
    "no files": (put(files=[]), "it has no files"),
    "files of text": (put(files="abc"), FORM),
    "functions of numbers": (put(pci=[1]), FORM),
    "no accelerator": (lambda p: p.pop("accel"), FORM),
    "no keys": (lambda p: p.pop("keys"), "it has no 'keys'"),
    "another field": (put(colour="red"), FORM),
    "no such machine": (put(machine="x"), "no firmware for machine type 'x'"),
    "a number for a text": (put(qemu=7), "a text is none"),
    "too many CPUs": (put(smp=10**9), "it has 1000000000 CPUs"),
    "a word of CPUs": (put(smp="a" * 99), "it has 'aaaa"),
    "too much memory": (put(memory=1 << 70), "bytes of memory"),
    "an odd clock": (put(cmos=pack(b"a")), "1 bytes of CMOS"),
    "no such key": (lambda p: p["keys"].update({"0x4000": "00"}), "fw_cfg item 0x4000"),
    "half a byte": (lambda p: p["keys"].update({"0x5": "0"}), "non-hexadecimal"),
    "a file's key": (file(select=0x19), "a has no such key"),
    "a key of text": (file(select="x"), "a has no such key"),
    "a file's size": (file(size=-1), "a has no such size"),
    "a file of another size": (file(size=2), "a has 1 bytes, not 2"),
    "a file's name": (file(name="\u00fc"), "a file named"),
    "a long name": (file(name="a" * 56), "a file named"),
    "a name of a number": (file(name=5), "name is no text"),
    "a file twice": (file(name="etc/e820"), "two files have the same name"),
    "a key twice": (lambda p: p["files"].append({**p["files"][0], "name": "a"}), "same select"),
    "64 MiB of zeros": (file(data=BOMB, size=65 << 20), "contents take more than 64 MiB"),
    "no RAM": (ram(), "no RAM"),
    "1 TiB of RAM at 0": (ram((0, 1 << 40)), "where devices are"),
    "no RAM at 0": (ram((0x1000, 64 << 20)), "its RAM does not hold"),
    "RAM that wraps": (ram((0, 64 << 20), ((1 << 64) - 4096, 8192)), "too high"),
    "half a page": (ram((0, (64 << 20) + 1)), "no whole pages"),
    "RAM twice": (ram((0, 64 << 20), (32 << 20, 64 << 20)), "twice"),
    "300 ranges": (ram((0, 2 << 20), *(((1 << 32) + (i << 13), 4096) for i in range(300))),
                   "301 ranges"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad(name: str, tmp_path: Path) -> None:
    damage, words = BAD[name]
    plain = json.loads(recording.find(Guest("pc")).to_json())
    damage(plain)
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(plain))
    with pytest.raises(FwbuildError, match="no recording") as error:
        recording.load(path)
    assert words in str(error.value)


TEXTS = {
    "nothing": (b"", "line 1 is no JSON"),
    "no text": (b"\xff", "byte 0 is no UTF-8"),
    "nested": (b"[" * 100_000, "nested too deep"),
    "a long number": (b'{"memory":' + b"9" * 5000 + b"}", "4300 digits"),
    "a list": (b"[]", FORM),
    "17 MiB": (bytes(17 << 20), "more than 16384 KiB"),
}


WHOLE = recording.packaged()[0].read_text()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
    | st.sampled_from(["eJwDAAAAAAE=", "0x5", "00:01.0", "pc", "q35"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)  # fmt: skip


# What JSON takes for a number, or Python for a whole one.
NO_NUMBERS = (inf, -inf, nan, 1.5, 512.0, True, None, "1", [1], -1, 10**400)
NUMBERS: dict[str, Callable[[object], Damage]] = {
    "memory": lambda value: put(memory=value),
    "smp": lambda value: put(smp=value),
    "a file's key": lambda value: file(select=value),
    "a file's size": lambda value: file(size=value),
}


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: f"{value!r:.9}")
@pytest.mark.parametrize("name", NUMBERS)
def test_bad_number(name: str, value: object, tmp_path: Path) -> None:
    plain = json.loads(recording.find(Guest("pc")).to_json())
    NUMBERS[name](value)(plain)
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(plain))
    with pytest.raises(FwbuildError, match="no recording: ") as error:
        recording.load(path)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("name", TEXTS)
def test_bad_text(name: str, tmp_path: Path) -> None:
    text, words = TEXTS[name]
    path = tmp_path / "bad.json"
    path.write_bytes(text)
    with pytest.raises(FwbuildError, match=words) as error:
        recording.load(path)
    assert error.value.hint and error.value.code == ExitCode.INPUT


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damage_is_told_or_harmless(data: st.DataObject) -> None:
    """Whatever stands in a place of the recording, it is refused in one way, or is a host of
    which the machine can be made."""
    plain = json.loads(WHOLE)
    at: Any = plain
    above, key = at, "qemu"
    for _ in range(data.draw(st.integers(1, 3))):
        if not isinstance(at, dict | list) or not at:
            break
        keys = sorted(at) if isinstance(at, dict) else range(len(at))
        above, key = at, data.draw(st.sampled_from(keys))
        at = above[key]
    above[key] = data.draw(JSON)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "r.json"
        path.write_text(json.dumps(plain))
        try:
            kept = recording.load(path)
        except FwbuildError as error:
            assert error.code == ExitCode.INPUT
            return
    Machine(bytes(0x10000), kept)


def test_further_arguments_tell_guests_apart() -> None:
    names = {guest.extra: recording.find(guest).extra for guest in GUESTS.values()}
    assert all(wanted == found for wanted, found in names.items())
    with pytest.raises(FwbuildError, match="-device e1000"):
        recording.find(replace(GUESTS["pc"], extra=("-device", "e1000")))


def test_devices_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """--device and the like are QEMU's: with them the packaged recording is found."""
    guest = GUESTS["q35-with-ports"]
    arguments = [f"-{word}" if word.startswith("-") else word for word in guest.extra]
    assert cli.main(["verify", "--json", "-M", guest.machine, *arguments]) == 0
    assert '"end": "handoff"' in capsys.readouterr().out


def test_tables_are_of_a_programmed_chipset() -> None:
    """MCFG has the ECAM base at 44, FADT the PM1a event block at 56 (PCI Firmware 3.2, 4.1.2;
    ACPI 6.5, 5.2.9): QEMU leaves both out, or 0, while the registers are as at reset."""
    tables = {}
    for name in ("pc", "q35"):
        file = recording.find(Guest(name)).file("etc/acpi/tables")
        assert file
        tables[name] = file.data
        fadt = file.data.index(b"FACP")
        assert int.from_bytes(file.data[fadt + 56 : fadt + 60], "little") == 0x600
    mcfg = tables["q35"].index(b"MCFG")
    assert int.from_bytes(tables["q35"][mcfg + 44 : mcfg + 52], "little") == 0xB0000000
    assert b"MCFG" not in tables["pc"]


def test_newest_unless_told() -> None:
    releases = recording.packaged_series()
    assert releases == ["11.1", "10.0", "7.2"]
    for name, guest in GUESTS.items():
        assert recording.find(guest).qemu.startswith("11.1."), name
        for release in releases:
            assert recording.find(guest, release).qemu.startswith(f"{release}."), name
    with pytest.raises(FwbuildError, match=r"by QEMU 6\.0"):
        recording.find(Guest("pc"), "6.0")


def test_two_of_one_guest_and_release(tmp_path: Path) -> None:
    first, second = (tmp_path / name for name in ("first.json", "second.json"))
    kept = recording.find(Guest("pc"), "10.0")
    first.write_text(kept.to_json())
    second.write_text(replace(kept, qemu="10.1.0").to_json())
    assert len(recording.by_guest([first, second])) == 2
    second.write_text(replace(kept, qemu="10.0.99").to_json())
    with pytest.raises(FwbuildError, match=r"same guest and QEMU 10\.0 as .*first"):
        recording.by_guest([first, second])


@pytest.mark.parametrize("path", PACKAGED, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_folder_is_the_release(path: Path) -> None:
    assert recording.series(recording.load(path).qemu) == path.parent.name


# a memory map that another host may well have, in which unicorn has no place for its RAM
MAPS: dict[str, list[tuple[int, int, int]]] = {
    "half a page": [(0, 0x1000001, e820.Type.RAM)],
    "over the devices": [(0, 0xFFF00000, e820.Type.RAM)],
    "twice the same": [(0, 512 * MIB, e820.Type.RAM), (256 * MIB, 512 * MIB, e820.Type.RAM)],
}


@pytest.mark.parametrize("name", MAPS)
def test_a_host_that_cannot_be_emulated(name: str) -> None:
    offer = recording.find(Guest()).with_files({file_names.E820: memory_of(MAPS[name])})
    with pytest.raises(FwbuildError, match="no emulated machine has such a host") as caught:
        emulate(Guest(), offer=offer)
    assert caught.value.code == ExitCode.INPUT
