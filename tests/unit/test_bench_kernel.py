"""The bench finds a kernel's entries and symbols in its file."""

import builtins
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from fwbuild import protocols
from fwbuild.bench.events import Event
from fwbuild.bench.kernel import read_kernel, start_kernel
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.image.elf import Segment, Symbol, write_elf
from fwbuild.kernel.elf_file import read_elf
from fwbuild.payloads.test_kernel import build_test_bzimage, build_test_kernel, build_test_multiboot

# Linux, Documentation/arch/x86/boot.rst: the setup code at 0x200 of what QEMU puts at 0x10000, the
# 32-bit entry at 0x100000, the 64-bit entry 0x200 behind it.
ENTRIES: dict[str, tuple[Callable[[], bytes], dict[str, int]]] = {
    "64-bit bzImage": (lambda: build_test_bzimage(xloadflags=1),
                       {"16-bit": 0x10200, "32-bit": 0x100000, "64-bit": 0x100200}),
    "32-bit bzImage": (lambda: build_test_bzimage(xloadflags=0),
                       {"16-bit": 0x10200, "32-bit": 0x100000}),
    "old bzImage": (lambda: build_test_bzimage(version=0x207, xloadflags=1),
                    {"16-bit": 0x10200, "32-bit": 0x100000}),
    "cut in its header": (lambda: build_test_bzimage(xloadflags=1)[:0x210],
                          {"16-bit": 0x10200, "32-bit": 0x100000}),
    # linked at 1 MiB, behind the 12 bytes of its header
    "Multiboot": (build_test_multiboot, {"Multiboot": 0x10000C}),
}  # fmt: skip


@pytest.mark.parametrize("case", ENTRIES)
def test_entries(case: str) -> None:
    build, expected = ENTRIES[case]
    kernel = build()
    assert protocols.expect(kernel).entries(kernel, case) == expected


def test_vmlinux(tmp_path: Path) -> None:
    path = tmp_path / "kernel"
    path.write_bytes(build_test_kernel())
    kernel = read_kernel(path)
    entry = ELFFile(io.BytesIO(build_test_kernel())).header["e_entry"]
    assert (kernel.kind, kernel.entries) == ("vmlinux", {"PVH": entry})
    assert kernel.entry_name(entry) == "PVH"
    assert kernel.entry_name(None) == ""
    # a 32-bit kernel without start_kernel has only its handoff
    assert [(step.event, step.addresses) for step in kernel.steps] == [(Event.FW_DO_BOOT, (entry,))]
    assert "64-bit kernel" in kernel.note
    assert "no start_kernel" in kernel.note


def test_symbols_of_the_elf_file() -> None:
    segment = Segment(0x100000, b"\xf4" * 64, 64, 7)
    data = write_elf([segment], [Symbol("start_kernel", 0x100010, 4, "func")], 0x100000)
    assert start_kernel(read_elf(data), data) == (0x100010, "")


def test_without_vmlinux_to_elf(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *arguments: object, **more: object) -> object:
        if name.startswith("vmlinux_to_elf"):
            raise ImportError(name)
        return real(name, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", refuse)
    data = build_test_kernel()
    address, note = start_kernel(read_elf(data), data)
    assert address is None
    assert "vmlinux-to-elf is not there" in note


# name: (what makes the file, words of the error)
BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "text": (lambda: b"hello", "no ELF file to boot"),
    "Multiboot": (build_test_multiboot, "runs no user program"),
    "bzImage without a payload": (build_test_bzimage, "payload"),
}


@pytest.mark.parametrize("name", BAD)
def test_no_linux(name: str, tmp_path: Path) -> None:
    path = tmp_path / "kernel"
    make, words = BAD[name]
    path.write_bytes(make())
    with pytest.raises(FwbuildError, match=words) as error:
        read_kernel(path)
    assert error.value.code == ExitCode.KERNEL
