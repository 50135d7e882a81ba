"""inspect and QEMU agree on kernels: same entry, same refusals."""

from pathlib import Path

import pytest

from fwbuild.abi import elf
from fwbuild.abi.fw_cfg import Key
from fwbuild.errors import FwbuildError
from fwbuild.guest import Guest
from fwbuild.inspection import Report, inspect
from fwbuild.protocols.pvh import REFUSAL
from fwbuild.qemu.record import record
from tests.support import debian
from tests.support.elf_files import BASE, LOAD, NOTE, NOTES, Row, elf_file, section
from tests.support.noted import LAYOUTS, WIDTHS, link
from tests.support.offered import need_machine

pytestmark = pytest.mark.qemu


def report(path: Path) -> Report:
    return inspect(path.read_bytes(), path)


def numbers(kernel: Path, *keys: Key, machine: str = "pc") -> list[int]:
    """The fw_cfg items that QEMU fills for a kernel, as integers."""
    found = record(Guest(machine, kernel=kernel)).keys
    return [int.from_bytes(found[key], "little") for key in keys]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_merged_notes(layout: str, width: int, tmp_path: Path) -> None:
    kernel = link(layout, width, tmp_path)
    found = report(kernel)
    if REFUSAL in found.qemu:
        with pytest.raises(FwbuildError, match=REFUSAL):
            numbers(kernel)
        return
    (entry,) = numbers(kernel, Key.KERNEL_ENTRY)
    assert f"takes {entry:#x} for its PVH entry" in found.qemu
    assert (found.protocol == "pvh") == (entry == found.facts["pvh_entry"])


def test_a_note_segment_aligned_to_0(tmp_path: Path) -> None:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(elf_file([LOAD, Row(elf.PT_NOTE, align=0)]))
    assert "SIGFPE" in report(kernel).qemu
    with pytest.raises(FwbuildError, match="SIGFPE"):
        numbers(kernel)


@pytest.mark.parametrize("name", ["nuttx", ""])
def test_a_note_of_another_name(name: str, tmp_path: Path) -> None:
    kernel = link("alone", 4, tmp_path, name)
    assert numbers(kernel, Key.KERNEL_ENTRY) == [report(kernel).facts["pvh_entry"]]


def with_ident(at: int, value: int) -> bytes:
    data = elf_file([LOAD, NOTES])
    return data[:at] + bytes([value]) + data[at + 1 :]


ALL_SECTIONS = (elf.SHT_PROGBITS, elf.SHT_STRTAB, 6, 11, 0x6FFFFFF6)
# Files at whose odd headers QEMU does not look, or does.
ODD = {
    "dynamic": elf_file([LOAD, NOTES, Row(2, 0, 1, 1)]),
    "interpreter beyond the file": elf_file([LOAD, NOTES, Row(3, 1 << 40, 1 << 40)]),
    "sections beyond the file": elf_file(
        [LOAD, NOTES],
        sections=b"".join(section(t, offset=1 << 40, size=9, link=9) for t in ALL_SECTIONS)),
    "headers of no size": elf_file([LOAD, NOTES], phentsize=0),
    "FreeBSD's": with_ident(7, 9),
    "an empty segment": elf_file([LOAD, NOTES, Row(elf.PT_LOAD, 0, 0, 0, 0x4000)]),
    "zeros that overlap": elf_file(
        [Row(elf.PT_LOAD, memsz=0x2000), Row(elf.PT_LOAD, address=BASE + 0x1000), NOTES]),
    "segments that overlap": elf_file([LOAD, LOAD, NOTES]),
    "a class that is none": with_ident(4, 3),
    "big-endian": with_ident(5, 2),
    "note in a section alone": elf_file(
        [LOAD], sections=section(elf.SHT_NOTE, offset=64 + 56, size=len(NOTE))),
    "headers beyond the file": elf_file([LOAD, NOTES], phoff=1 << 20),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_headers(name: str, tmp_path: Path) -> None:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(ODD[name])
    found = report(kernel)
    if "pvh_entry" not in found.facts or REFUSAL in found.qemu:
        with pytest.raises(FwbuildError):
            numbers(kernel)
        return
    entry, low, size = numbers(kernel, Key.KERNEL_ENTRY, Key.KERNEL_ADDR, Key.KERNEL_SIZE)
    facts = [found.facts[key] for key in ("pvh_entry", "load_address", "load_end")]
    assert facts == [entry, low, low + size]


# Debian's package, the file in it, and the keys of fw_cfg that tell the facts. ZIMAGE: QEMU
# has a fixed place for it.
KERNELS = {
    "linux-image-cloud-amd64": ("boot/vmlinuz-*", "bzimage", {"code32_start": Key.KERNEL_ADDR}),
    "memtest86+": ("boot/memtest86+x64.bin", "bzimage", {"code32_start": Key.KERNEL_ADDR}),
    "grub-xen-host": ("usr/lib/grub-xen/grub-i386-xen_pvh.bin", "vmlinux", {
        "pvh_entry": Key.KERNEL_ENTRY, "load_address": Key.KERNEL_ADDR}),
    debian.XEN: ("boot/xen-*-amd64.gz", "multiboot", {
        "entry": Key.KERNEL_ENTRY, "load_address": Key.KERNEL_ADDR}),
    "ipxe": ("boot/ipxe.lkrn", "bzimage", {}),
}  # fmt: skip


@pytest.mark.parametrize("package", KERNELS)
def test_kernels_of_debian(package: str) -> None:
    glob, kind, keys = KERNELS[package]
    kernel = debian.package_file(package, glob)
    if kernel.suffix == ".gz":
        assert report(kernel).kind == "compressed"
        kernel = debian.xen()
    found = report(kernel)
    assert found.kind == kind
    assert bool(found.problems) != bool(found.templates)
    assert [found.facts[name] for name in keys] == numbers(kernel, *keys.values())


@pytest.mark.parametrize("name", debian.KERNELS)
def test_vmlinux_inside(name: str) -> None:
    """QEMU finds there what inspect says of the bzImage around it."""
    facts = report(debian.vmlinuz(name)).facts["vmlinux"]
    low, size, entry = numbers(
        debian.vmlinux(name), Key.KERNEL_ADDR, Key.KERNEL_SIZE, Key.KERNEL_ENTRY
    )
    assert (facts["load_address"], facts["load_end"]) == (low, low + size)
    assert facts["pvh_entry"] == entry


def test_old_machines_do_not_load_pvh(tmp_path: Path, test_kernel: bytes) -> None:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(test_kernel + bytes(1 << 17))  # room for what they take for setup code
    assert any("up to 3.1" in note for note in report(kernel).notes)
    entry = report(kernel).facts["pvh_entry"]
    need_machine(Guest("pc-i440fx-3.1"))
    for machine, expected in (("pc-i440fx-3.1", 0), ("pc-i440fx-4.0", entry)):
        found = record(Guest(machine, kernel=kernel)).keys.get(Key.KERNEL_ENTRY, b"")
        assert int.from_bytes(found, "little") == expected


def test_firmware_of_debian() -> None:
    for name in ("qboot.rom", "bios-256k.bin", "bios-microvm.bin"):
        for folder in (Path("/usr/share/qemu"), Path("/usr/share/seabios")):
            if (folder / name).exists():
                assert report(folder / name).kind == "firmware"
    assert report(Path("/usr/share/qemu/pvh.bin")).kind == "option-rom"
