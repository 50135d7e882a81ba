"""Recordings as files: what is kept, what is refused, and which is found."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fwbuild import cli
from fwbuild.emulator import recording
from fwbuild.emulator.machine import Machine
from fwbuild.emulator.recording import PciFunction, Recording
from fwbuild.errors import FwbuildError
from fwbuild.guest import Guest
from tests.support.matrix import recorded

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


def bare(place: str) -> Callable[[dict[str, Any]], None]:
    """Add a function of 256 zeros."""
    entry = {"place": place, "config": recording._pack(bytes(256)), "mask": recording._pack(b"")}
    return lambda plain: plain["pci"].append(entry)


BAD: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "below no bridge": (bare("00:00.0/01.0"), "00:00.0/01.0 has no bridge"),
    "below nothing": (bare("00:1d.0/01.0"), "has no bridge"),
    "odd size": (lambda p: p["pci"][0].update(config=recording._pack(bytes(255))), "255 bytes"),
    "no place": (lambda p: p["pci"][0].update(place="nowhere"), "no recording"),
    "no such slot": (bare("00:zz.0"), "zz"),
    "no mask": (lambda p: p["pci"][0].pop("mask"), "mask"),
    "not base64": (lambda p: p["pci"][0].update(mask="!"), "no recording"),
    "no RAM": (lambda p: p["files"].clear(), "no RAM"),
}


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
