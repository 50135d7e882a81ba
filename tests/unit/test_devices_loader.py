"""Where a kernel and its initrd go, and recordings as files."""

from pathlib import Path

import pytest

from fwbuild import protocols
from fwbuild.abi import fw_cfg
from fwbuild.abi.fw_cfg import Key
from fwbuild.abi.x86 import PAGE
from fwbuild.emulator import recording
from fwbuild.emulator.recording import File, Recording
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.guest import Guest
from fwbuild.payloads.test_kernel import build_test_kernel
from fwbuild.sizes import MIB

# machine, MiB, initrd bytes -> the address that QEMU 7.2.22 gave it
INITRDS = [
    ("pc", 512, 1, 0x1FFD7000), ("pc", 512, PAGE, 0x1FFD6000), ("q35", 512, 1, 0x1FFD7000),
    ("microvm", 512, 1, 0x1FFFF000), ("microvm", 512, PAGE, 0x1FFFE000),
    ("pc", 6144, 1, 0xBFFD7000), ("q35", 6144, 1, 0x7FFD7000), ("microvm", 6144, 1, 0xBFFFF000),
]  # fmt: skip


@pytest.mark.parametrize(("name", "megabytes", "size", "address"), INITRDS)
def test_initrd(name: str, megabytes: int, size: int, address: int, tmp_path: Path) -> None:
    initrd = tmp_path / "initrd"
    initrd.write_bytes(bytes(size))
    guest = Guest(name, megabytes * MIB, initrd=initrd, append="a b")
    loaded = protocols.load(guest, recording.find(guest), build_test_kernel())
    assert loaded
    assert int.from_bytes(loaded.keys[Key.INITRD_ADDR], "little") == address
    assert int.from_bytes(loaded.keys[Key.INITRD_SIZE], "little") == size
    assert loaded.keys[Key.CMDLINE_DATA] == b"a b\0"
    assert loaded.keys[Key.CMDLINE_SIZE] == b"\4\0\0\0"


def test_no_kernel() -> None:
    assert protocols.load(Guest(), recording.find(Guest())) is None


def test_initrd_larger_than_memory(tmp_path: Path) -> None:
    initrd = tmp_path / "initrd"
    with initrd.open("wb") as file:
        file.truncate(64 * MIB)
    guest = Guest("pc", 64 * MIB, initrd=initrd)
    with pytest.raises(FwbuildError, match="initrd is larger than low memory") as error:
        protocols.load(guest, recording.find(guest), build_test_kernel())
    assert error.value.code == ExitCode.INPUT


def small(size: int) -> Recording:
    """A machine with `size` bytes of RAM."""
    entry = bytes(8) + size.to_bytes(8, "little") + b"\1\0\0\0"
    return Recording(
        qemu="1",
        machine="pc",
        memory=size,
        smp=1,
        accel="tcg",
        keys={3: b"\5"},
        files=[File("etc/e820", 32, 20, entry)],
    )


def test_kernel_outside_ram() -> None:
    with pytest.raises(FwbuildError, match=r"a segment at 0x100000 lies outside RAM") as error:
        protocols.load(Guest("pc"), small(MIB), build_test_kernel())
    assert error.value.code == ExitCode.KERNEL


def test_recording_as_text() -> None:
    """A recording survives the trip to JSON and back."""
    kept = small(MIB)
    again = Recording.from_json(kept.to_json())
    assert again == kept
    assert again.to_json() == kept.to_json()
    assert again.ram() == [(0, MIB)]
    assert again.has_ram(MIB - 4, 4)
    assert not again.has_ram(MIB - 4, 5)


@pytest.mark.parametrize("path", recording.packaged(), ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_packaged_recording(path: Path) -> None:
    found = recording.load(path)
    keys = [f.select for f in found.files]
    assert keys == list(range(Key.FILE_FIRST, Key.FILE_FIRST + len(keys)))
    recorded = [f for f in found.files if not f.name.startswith(("genroms/", "vgaroms/"))]
    assert all(len(f.data) == f.size for f in recorded)
    assert all(len(f.name) < fw_cfg.FILE_NAME_SIZE for f in found.files)
    assert sum(size for _, size in found.ram()) == found.memory
    assert int.from_bytes(found.keys[Key.RAM_SIZE], "little") == found.memory
