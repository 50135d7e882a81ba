"""The emulated machine against the real one: the same state, the same counts, the same fw_cfg."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from unicorn import UC_PROT_WRITE

from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator import loader, recording
from fwbuild.emulator.handoff import read_handoff
from fwbuild.emulator.judge import judge
from fwbuild.emulator.machine import Machine
from fwbuild.guest import MACHINES, MIB, Guest
from fwbuild.image import artefacts
from fwbuild.image.build import Image
from fwbuild.qemu.command import command
from fwbuild.qemu.count import count
from fwbuild.qemu.gdbstub import GdbStub
from fwbuild.qemu.qtest import Qtest
from fwbuild.qemu.record import KERNEL_KEYS, record, version
from fwbuild.qemu.session import stopped
from tests.conftest import need
from tests.support import debian
from tests.support.kvm import kvm_works

pytestmark = pytest.mark.qemu

REGISTERS = "eax ebx ecx edx esi edi ebp esp eip cr0 cr4 cs ds es ss".split()


@contextmanager
def at_entry(guest: Guest, bios: Path, entry: int) -> Iterator[GdbStub]:
    with stopped([*command(guest, bios=bios), "-serial", "null"], "-gdb", 60) as connection:
        stub = GdbStub(connection)
        stub.run_to(entry)
        yield stub


@pytest.fixture(params=["test kernel", "Debian"])
def kernel(request: pytest.FixtureRequest, tmp_path: Path, test_kernel: bytes) -> Path:
    if request.param == "Debian":
        return debian.cloud_vmlinux()
    path = tmp_path / "kernel"
    path.write_bytes(test_kernel)
    return path


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("megabytes", [512, 6144])
@pytest.mark.parametrize("accel", ["tcg", pytest.param("kvm", marks=pytest.mark.kvm)])
def test_same_state(
    name: str, megabytes: int, accel: str, kernel: Path, image: Image, tmp_path: Path
) -> None:
    if accel == "kvm" and not kvm_works():
        pytest.skip("no usable /dev/kvm")
    bios, initrd = tmp_path / "bios.bin", tmp_path / "initrd"
    bios.write_bytes(image.image)
    initrd.write_bytes(bytes(range(256)) * 4096)
    guest = Guest(name, megabytes * MIB, kernel=kernel, initrd=initrd, append="same state",
                  accel=accel)  # fmt: skip
    found = record(guest)
    loaded = loader.load(guest, found)
    assert loaded
    for key in KERNEL_KEYS:  # QEMU's loader and ours
        assert loaded.keys[key] == found.keys[key], Key(key).name
    machine = Machine(image.image, found, loaded, poison=0)
    ours = machine.run()
    assert judge(machine, ours) == []
    with at_entry(guest, bios, loaded.entry) as stub:
        theirs = stub.registers()
        handoff = read_handoff(stub.read, theirs["ebx"])
    assert {r: theirs[r] for r in REGISTERS} == {r: ours.registers[r] for r in REGISTERS}
    assert (theirs["gdt_base"], theirs["gdt_limit"]) == ours.gdtr
    assert handoff.plain() == read_handoff(machine.read, ours.registers["ebx"]).plain()
    # the hidden parts, which the emulator cannot show
    assert (theirs["tr"], theirs["tr_base"], theirs["tr_limit"]) == (ours.tr, 0, 0x67)
    for segment in ("cs", "ds", "es", "ss"):
        assert (theirs[f"{segment}_base"], theirs[f"{segment}_limit"]) == (0, 0xFFFFFFFF)
    assert theirs["cs_flags"] & 0xFF00 == 0x9B00
    assert theirs["ds_flags"] & 0xFF00 == 0x9300


@pytest.mark.parametrize("name", MACHINES)
def test_same_counts(name: str, image: Image, tmp_path: Path, test_kernel: bytes) -> None:
    bios, kernel = tmp_path / "bios.bin", tmp_path / "kernel"
    bios.write_bytes(image.image)
    kernel.write_bytes(test_kernel)
    guest = Guest(name, kernel=kernel)
    found = record(guest)
    loaded = loader.load(guest, found)
    assert loaded
    outcome = Machine(image.image, found, loaded).run()
    real = count(guest, bios, loaded.entry)
    assert (real.accesses, real.instructions) == (len(outcome.accesses), outcome.instructions)


RECORDINGS = sorted(recording.PACKAGED.glob("*.json"))


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda p: p.stem)
def test_recordings_are_what_qemu_offers(path: Path) -> None:
    kept = recording.load(path)
    if kept.accel == "kvm" and not kvm_works():
        pytest.skip("no usable /dev/kvm")
    if kept.qemu != version():
        pytest.skip(f"recorded with QEMU {kept.qemu}")
    extra: tuple[str, ...] = ()
    if kept.memory > 1 << 36:  # more than the host lets QEMU reserve
        extra = ("-object", f"memory-backend-ram,id=ram,size={kept.memory},reserve=off",
                 "-machine", "memory-backend=ram", "-cpu", "max,phys-bits=46")  # fmt: skip
    live = record(Guest(kept.machine, kept.memory, kept.smp, accel=kept.accel, extra=extra))
    assert [(f.name, f.size) for f in live.files] == [(f.name, f.size) for f in kept.files]
    for theirs, ours in zip(live.files, kept.files, strict=True):
        assert theirs == ours, ours.name
    assert live.keys == kept.keys


def test_dma_and_data_port_agree() -> None:
    with stopped(command(Guest("pc")), "-qtest") as connection:
        qtest = Qtest(connection)
        for key in (Key.SIGNATURE, Key.ID, Key.FILE_DIR):
            assert qtest.fw_cfg_read(key, 600) == qtest.fw_cfg_read_bytes(key, 600)
        assert qtest.fw_cfg_read(Key.SIGNATURE, 6) == b"QEMU\0\0"


def test_gdb_breaks_by_name(image: Image, tmp_path: Path) -> None:
    """The command that the README gives."""
    if not shutil.which("gdb"):
        need("gdb")
    artefacts.write(image, tmp_path / "bios.bin")
    socket = tmp_path / "gdb"
    argv = [*command(Guest("pc"), bios=tmp_path / "bios.bin"), "-S", "-gdb",
            f"unix:{socket},server=on,wait=off"]  # fmt: skip
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as qemu:
        try:
            while not socket.exists() and qemu.poll() is None:
                time.sleep(0.02)
            commands = ("set architecture i386:x86-64", f"target remote {socket}",
                        "hbreak *memmap_build", "continue", "info symbol $pc")  # fmt: skip
            options = [word for line in commands for word in ("-ex", line)]
            done = subprocess.run(["gdb", "-nx", "-batch", *options, tmp_path / "bios.elf"],
                                  capture_output=True, text=True, timeout=60,
                                  check=True)  # fmt: skip
        finally:
            qemu.kill()
    assert "memmap_build in section .text" in done.stdout


def writable(machine: Machine, address: int) -> bool:
    """Whether a guest's write at `address` would stay."""
    (rights,) = (r for a, b, r in machine.uc.mem_regions() if a <= address <= b)
    return bool(rights & UC_PROT_WRITE)


@pytest.mark.parametrize("name", ["pc", "q35"])
def test_host_bridge(name: str) -> None:
    """The same accesses to configuration space and to the F segment, with the same answers."""
    machine = Machine(bytes(0x10000), recording.find(Guest(name)))
    bridge = machine.bridge
    assert bridge
    pam = bridge._pam
    with stopped(command(Guest(name)), "-qtest") as connection:
        qtest = Qtest(connection)

        def both(register: int, value: int | None = None) -> tuple[int, int]:
            address = 1 << 31 | register & 0xFC
            port = 0xCFC + (register & 3)
            qtest.command(f"outl 0xcf8 {address:#x}")
            bridge.port_out(0xCF8, 4, address)
            if value is not None:
                qtest.command(f"outb {port:#x} {value:#x}")
                bridge.port_out(port, 1, value)
            return int(qtest.command(f"inb {port:#x}"), 16), bridge.port_in(port, 1)

        for register in (0, 1, 2, 3, *range(pam, pam + 7)):
            real, ours = both(register)
            assert real == ours, hex(register)
        for address in (0xC0000, 0xDC000, 0xF0000):
            qtest.command(f"write {address:#x} 1 0x5a")
            assert qtest.command(f"read {address:#x} 1") != "0x5a", "PAM is closed at reset"
            assert not writable(machine, address)
        for index, value in ((0, 0x30), (1, 0x33), (4, 0x33)):
            real, ours = both(pam + index, value)
            assert real == ours == value
        for address in (0xC0000, 0xDC000, 0xF0000):
            qtest.command(f"write {address:#x} 1 0x5a")
            assert qtest.command(f"read {address:#x} 1") == "0x5a"
            assert writable(machine, address)
