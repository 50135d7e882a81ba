"""inspect on kernels and images: good, odd and damaged ones."""

import gzip
import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fwbuild import cli
from fwbuild.abi import multiboot, multiboot2, offsets
from fwbuild.abi.linux_boot import LoadFlag, XLoadFlag
from fwbuild.abi.multiboot import HeaderFlag
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.firmware import stop_codes
from fwbuild.image.build import build_image
from fwbuild.inspection import KINDS, Report, inspect
from fwbuild.protocols.pvh import REFUSAL
from fwbuild.sizes import padded
from tests.support.bzimages import bzimage
from tests.support.efi import AARCH64, uki
from tests.support.multiboot import by_header2, multiboot1
from tests.support.noted import LAYOUTS, WIDTHS, link
from tests.support.small_kernel import vmlinux

KERNEL = vmlinux(bytes(range(256)))  # for tables: its code is never run
NOTELESS = KERNEL.replace(b"\4\0\0\0\x12", b"\4\0\0\0\x13")
EM_386, EM_X86_64, EM_ARM = 3, 62, 40
E_MACHINE = 18


def patched(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def with_machine(data: bytes, machine: int) -> bytes:
    return patched(data, E_MACHINE, machine.to_bytes(2, "little"))


def multiboot2_header() -> bytes:
    fields = (multiboot2.HEADER_MAGIC, 0, 24)
    checksum = -sum(fields) % (1 << 32)
    return struct.pack("<IIIIHHI", *fields, checksum, 0, 0, 8)


def stop_words(name: str) -> str:
    return stop_codes.BY_NAME[name].what


NOTE_START = b"\x12\0\0\0Xen\0"
LOW = KERNEL.replace(b"\0\0\x10\0" * 2, b"\0\x10\0\0" * 2, 1)  # p_vaddr and p_paddr: 4 KiB
# a 64-bit header whose e_phoff no file can have
FAR_SEGMENTS = struct.pack(
    "<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, EM_X86_64, 1, 0, 1 << 63, 0, 0, 64, 56, 1, 64, 1, 0
).ljust(128, b"\0")
ELF2 = padded(NOTELESS, 8) + multiboot2_header()
FIRMWARE = bytes(0xFFF0) + b"\xea\x5b\xe0\x00\xf0".ljust(16, b"\0")
PACKED = gzip.compress(KERNEL)
DAMAGED = PACKED[:100] + b"\xff" * 8 + PACKED[108:]
XZ_MAGIC = b"\xfd7zXZ\0"

# name: (file, kind, protocol, words of its only problem; "" where it boots if a template has
# the protocol)
FILES: dict[str, tuple[bytes, str, str | None, str]] = {
    "vmlinux": (KERNEL, "vmlinux", "pvh", ""),
    "vmlinux, note of 8 bytes": (vmlinux(b"\xf4", note_width=8), "vmlinux", "pvh", ""),
    "no note": (NOTELESS, "vmlinux", None, "no PVH ELF note"),
    "only Multiboot 2": (
        ELF2, "vmlinux", None, "does not know Multiboot 2"),
    "ELF for ARM": (with_machine(KERNEL, EM_ARM), "vmlinux", None, "EM_ARM"),
    "ELF with segments at 2^63": (
        FAR_SEGMENTS, "vmlinux", None, "program headers pass the end"),
    "Multiboot in such an ELF": (
        with_machine(FAR_SEGMENTS, EM_386) + multiboot1(flags=0), "multiboot", None,
        "program headers pass the end"),
    "ELF cut short": (KERNEL[:0x90], "vmlinux", None, "Error while loading elf kernel"),
    "ELF entered outside": (LOW, "vmlinux", "pvh", stop_words("KERNEL_ENTRY")),
    "ELF low": (
        LOW.replace(NOTE_START + b"\0\0\x10\0", NOTE_START + b"\0\x10\0\0"), "vmlinux", "pvh",
        stop_words("KERNEL_OVERLAP")),
    "bzImage": (bzimage(PACKED), "bzimage", "linux", ""),
    "UKI": (uki({".linux": bzimage(PACKED), ".cmdline": b"a"}), "uki", "linux", ""),
    "UKI of no kernel": (uki({".linux": b"text"}), "uki", None, ".linux holds no kernel"),
    "EFI application": (uki({".text": b"code"}), "efi", None, "runs an EFI application"),
    "EFI application for ARM": (uki({}, machine=AARCH64), "efi", None, "another machine"),
    "bzImage of unknown compression": (bzimage(b"\1" * 100), "bzimage", "linux", ""),
    "bzImage without payload": (bzimage(b""), "bzimage", "linux", ""),
    "bzImage, damaged inside": (
        bzimage(DAMAGED), "bzimage", "linux", "cannot be unpacked: gzip: Error -3"),
    "bzImage around what is no ELF": (
        bzimage(gzip.compress(b"hello hello")), "bzimage", "linux", "no ELF file to boot"),
    "bzImage of 2.07": (bzimage(b"", version=0x207), "bzimage", "linux16", ""),
    "bzImage of 2.07, long setup": (
        bzimage(b"", version=0x207, setup_sects=64).ljust(1 << 16, b"\0"), "bzimage", "linux16",
        stop_words("SETUP_SIZE")),
    "bzImage of 2.01": (
        bzimage(b"", version=0x201), "bzimage", None, stop_words("KERNEL_KIND") + " 0x201"),
    "zImage": (bzimage(b"", version=0x204, loadflags=0), "bzimage", None, "zImage"),
    "bzImage, endless setup": (
        bzimage(b"", setup_sects=255), "bzimage", "linux", "invalid kernel header"),
    "bzImage cut short": (
        bzimage(b"", syssize=0x1000), "bzimage", "linux", "ends before the kernel"),
    "Multiboot": (multiboot1(), "multiboot", "multiboot", ""),
    "Multiboot in a PVH kernel": (KERNEL + multiboot1(), "multiboot", "multiboot", ""),
    "Multiboot header above its kernel": (
        multiboot1(header=0x100), "multiboot", None, "invalid load_addr"),
    "Multiboot, 64-bit ELF": (
        with_machine(KERNEL, EM_X86_64) + multiboot1(flags=0), "multiboot", None, "no 32-bit ELF"),
    "Multiboot low": (
        multiboot1(load=0x8000, header=0x8000), "multiboot", "multiboot", ""),
    "Multiboot over the vectors": (
        multiboot1(load=0x400, header=0x400), "multiboot", "multiboot",
        stop_words("KERNEL_OVERLAP")),
    "Multiboot, entered in its last page": (multiboot1(entry=4095), "multiboot", "multiboot", ""),
    "Multiboot, entered after it": (
        multiboot1(entry=4096), "multiboot", "multiboot", stop_words("KERNEL_ENTRY")),
    "Multiboot, entered before it": (
        multiboot1(entry=-1), "multiboot", "multiboot", stop_words("KERNEL_ENTRY")),
    "Multiboot 2, no ELF file": (
        by_header2(), "multiboot2", None, "does not know Multiboot 2"),
    "compressed": (gzip.compress(KERNEL), "compressed", None, "gzip -dc"),
    "xz": (XZ_MAGIC, "compressed", None, "xz -dc"),
    "other firmware": (FIRMWARE, "firmware", None, ""),
    "option ROM": (b"\x55\xaa\x03".ljust(1536, b"\0"), "option-rom", None, ""),
}  # fmt: skip


# name: (file, by what the firmware loads it or why it refuses the file, what `run` makes of it)
WAYS: dict[str, tuple[bytes, str, str | None]] = {
    "vmlinux": (KERNEL, "pvh", "kernel"),
    "no note": (NOTELESS, "no boot protocol", None),
    "only Multiboot 2": (ELF2, "multiboot2", "file"),
    "Multiboot 2, no ELF file": (by_header2(), "multiboot2", "file"),
    "Multiboot 2, a tag that nobody knows": (
        by_header2(unknown=True), "a tag of type 99", None),
    "Multiboot": (multiboot1(), "multiboot", "kernel"),
    "Multiboot, 64-bit ELF": (
        with_machine(KERNEL, EM_X86_64) + multiboot1(flags=0), "multiboot", "file"),
    "Multiboot that wants a video mode": (
        multiboot1(flags=HeaderFlag.VIDEO | HeaderFlag.ADDRESSES), "flags 0x10004", "kernel"),
    "Multiboot low": (
        multiboot1(load=0x8000, header=0x8000), stop_words("KERNEL_OVERLAP"), "kernel"),
    "ELF entered outside": (LOW, stop_words("KERNEL_OVERLAP"), None),
    "bzImage": (bzimage(PACKED), "no ELF file", "vmlinux"),
    "bzImage of unknown compression": (bzimage(b"\1" * 100), "no ELF file", "kernel"),
    "UKI": (uki({".linux": bzimage(PACKED)}), "no ELF file", "parts"),
    "UKI of a Multiboot 2 kernel": (uki({".linux": ELF2}), "multiboot2", "parts"),
}  # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_ways(name: str) -> None:
    data, by_file, run = WAYS[name]
    found = report(data)
    plain = found.plain()
    assert plain["run"] == run
    assert plain["boots"] == (found.way is not None)
    if plain["by_file"]["protocol"] is None:
        assert by_file in plain["by_file"]["problem"]["what"]
    else:
        assert (plain["by_file"]["protocol"], plain["by_file"]["problem"]) == (by_file, None)
        assert "universal" in plain["by_file"]["templates"]
        assert "linux" not in plain["by_file"]["templates"]


def test_a_hint_is_a_way_out() -> None:
    """The firmware is no way out for a kernel that it refuses."""
    for unknown in (True, False):
        (problem,) = report(by_header2(unknown=unknown)).problems
        assert ("opt/fwbuild/kernel" in problem.hint) != unknown


def report(data: bytes) -> Report:
    return inspect(data, Path("file"))


@pytest.mark.parametrize("name", FILES)
def test_files(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, kind, protocol, words = FILES[name]
    found = report(data)
    assert (found.kind, found.protocol) == (kind, protocol)
    problems = [f"{p.what} {p.hint}" for p in found.problems]
    if protocol and not found.templates:
        left_out = stop_words("KERNEL_KIND")
        assert [p for p in problems if left_out in p], "no template has this protocol"
        problems = [p for p in problems if left_out not in p]
    assert len(problems) == bool(words)
    assert words in "".join(problems)
    path = tmp_path / "file"
    path.write_bytes(data)
    status = ExitCode.KERNEL if found.way is None else ExitCode.OK
    assert cli.main(["inspect", str(path)]) == status
    text = capsys.readouterr().out
    assert text.startswith(f"{path}: {found.what}, {len(data)} bytes\n")
    title = "not as -kernel" if found.way else "does not boot"
    assert text.count(f"\n  {title} ") == len(found.problems)
    assert cli.main(["inspect", "--json", str(path)]) == status
    plain = json.loads(capsys.readouterr().out)
    assert plain == {"file": str(path), "size": len(data)} | found.plain()
    assert plain["boots"] == (found.way is not None)


def test_keys_of_json_are_told() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "json.md").read_text(encoding="utf-8")
    keys = ("file", "size", *report(KERNEL).plain(), *KINDS)
    assert [key for key in keys if not re.search(rf"\b{key}\b", text)] == []


def test_every_kind_has_a_case() -> None:
    assert {kind for _, kind, _, _ in FILES.values()} | {"image"} == set(KINDS)


def test_the_message_that_users_search_for() -> None:
    found = report(NOTELESS)
    assert REFUSAL == "Error loading uncompressed kernel without PVH ELF Note"
    assert REFUSAL in found.qemu
    assert "CONFIG_PVH=y" in found.problems[0].hint


# (entry that QEMU finds or None, words): binutils' .note.gnu.property makes QEMU step by 8
MERGED = {
    "alone": ("0x100004", ""),
    "behind GNU's": (None, "misreads"),
    "before GNU's": ("0x0", "misreads"),
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_merged_notes(layout: str, width: int, tmp_path: Path) -> None:
    entry, words = MERGED[layout]
    found = report(link(layout, width, tmp_path).read_bytes())
    assert found.facts["pvh_entry"] == 0x100004
    assert found.facts["bits"] == 64
    assert (f"takes {entry} for" if entry else REFUSAL) in found.qemu
    assert [words in p.what for p in found.problems] == [True] * bool(words)
    assert found.protocol == (None if words else "pvh")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["Xen", "nuttx", "", "Xenon"])
def test_names_of_the_note(name: str, width: int, tmp_path: Path) -> None:
    """QEMU goes by the note's type; Xen and rust-vmm's loader by its name, too."""
    found = report(link("alone", width, tmp_path, name).read_bytes())
    assert (found.protocol, found.problems) == ("pvh", [])
    assert found.facts["pvh_entry"] == 0x100004
    assert found.facts["pvh_note_name"] == name
    said = [n for n in found.notes if "Firecracker" in n]
    assert len(said) == (name != "Xen")
    assert all(f'"{name}"' in n for n in said)


def test_facts_of_a_bzimage() -> None:
    text = b"6.1.0-test (me@here) #1"
    payload = gzip.compress(KERNEL)
    data = bzimage(
        payload,
        kernel_version=0x100,
        init_size=0x3000,
        pref_address=0x1000000,
        loadflags=LoadFlag.LOADED_HIGH | 1 << 3,
        xloadflags=XLoadFlag.KERNEL_64 | XLoadFlag.FIVE_LEVEL,
    )
    facts = report(patched(data, 0x300, text + b"\0")).facts
    assert (
        facts.items()
        >= {
            "protocol_version": "2.15",
            "kernel_version": text.decode(),
            "loadflags": ["LOADED_HIGH", "0x8"],
            "xloadflags": ["KERNEL_64", "FIVE_LEVEL"],
            "init_size": 0x3000,
            "pref_address": 0x1000000,
            "compression": "gzip",
            "uncompressed_size": len(KERNEL),
        }.items()
    )


INSIDE = {"bits": 32, "elf_entry": 0x100000, "load_address": 0x100000, "pvh_entry": 0x100000}
# name: (payload of a bzImage, facts of the vmlinux inside, words of a note)
PAYLOADS: dict[str, tuple[bytes, dict[str, Any] | None, str]] = {
    "note": (PACKED, INSIDE, "boots by PVH"),
    "no note": (gzip.compress(NOTELESS), INSIDE | {"pvh_entry": None},
                "does not boot by PVH: no PVH ELF note"),
    "nothing": (b"", None, "no vmlinux is seen inside: it has no payload"),
    "unknown": (b"\1" * 100, None, "unknown compression 0101"),
    "damaged": (DAMAGED, None, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", PAYLOADS)
def test_vmlinux_inside(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    payload, facts, words = PAYLOADS[name]
    path = tmp_path / "vmlinuz"
    path.write_bytes(bzimage(payload))
    cli.main(["inspect", "--json", str(path)])
    plain = json.loads(capsys.readouterr().out)
    inside = plain["facts"]["vmlinux"]
    assert facts == (inside and {key: inside[key] for key in INSIDE})
    assert words in "".join(plain["notes"])
    assert bool(words) == bool(plain["notes"])
    cli.main(["inspect", str(path)])
    shown = re.findall(r"^  vmlinux (\w+) +(.*)$", capsys.readouterr().out, re.MULTILINE)
    assert dict(shown).get("pvh_entry") == (
        facts and ("none" if facts["pvh_entry"] is None else "1048576 (0x100000)")
    )


# Documentation/arch/x86/boot.rst: "Offset/Size, Proto, Name"
INTRODUCED = {
    0x200: ("loadflags", "code32_start"), 0x203: ("initrd_addr_max",), 0x204: ("syssize",),
    0x205: ("kernel_alignment", "relocatable_kernel"), 0x206: ("cmdline_size",),
    0x208: ("payload_offset", "payload_length"),
    0x20A: ("min_alignment", "pref_address", "init_size"), 0x20B: ("handover_offset",),
    0x20C: ("xloadflags",),
}  # fmt: skip


@pytest.mark.parametrize("version", INTRODUCED)
def test_a_field_is_shown_from_its_protocol_on(version: int) -> None:
    for name in INTRODUCED[version]:
        assert name in report(bzimage(b"", version=version)).facts
        if version > 0x200:
            assert name not in report(bzimage(b"", version=version - 1)).facts


def test_what_a_terminal_would_obey_is_not_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a\x1b[31mb"
    path.write_bytes(patched(bzimage(b"", kernel_version=0x100), 0x300, b"6.1\x1b[2J [red]\r\0"))
    assert cli.main(["inspect", str(path)]) == 0
    text = capsys.readouterr().out
    assert "6.1?[2J [red]?" in text
    assert "\x1b" not in text and "\r" not in text


def bases() -> list[bytes]:
    """The files that are damaged."""
    return [*(data for data, *_ in FILES.values()), build_image("linux").image]


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_damaged_files_end_in_a_report_or_an_error(data: st.DataObject) -> None:
    base = bytearray(data.draw(st.sampled_from(bases())))
    # The headers are where the numbers are: most changes go there.
    ends = st.integers(0, len(base) - 1)
    places = st.one_of(ends, st.integers(0, min(len(base), 0x300) - 1))
    for at in data.draw(st.lists(places, max_size=6)):
        base[at] = data.draw(st.sampled_from((0, 1, 4, 0x7F, 0x80, 0xFF)))
    cut = data.draw(st.one_of(st.just(len(base)), st.integers(0, len(base))))
    try:
        found = report(bytes(base[:cut]))
    except FwbuildError as error:
        assert error.code == ExitCode.KERNEL
        return
    assert found.kind in KINDS
    json.dumps(found.plain())


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=0x260),
    st.sampled_from((b"", b"\x7fELF\x01\x01\x01", b"\x7fELF\x02\x01\x01", b"\x7fELF\x02\x02\x01")),
)
def test_noise(noise: bytes, start: bytes) -> None:
    for data in (start + noise, patched((start + noise).ljust(0x300, b"\0"), 0x202, b"HdrS")):
        try:
            json.dumps(report(data).plain())
        except FwbuildError as error:
            assert error.code == ExitCode.KERNEL


# a file: part of what it is said to be
TAKEN_FOR_KERNELS = {
    "a boot sector": (bytes(510) + b"\x55\xaa", "a boot sector"),
    "a disk": (bytes(510) + b"\x55\xaa" + bytes(8192), "a boot sector"),
    "vmlinux.bin": (bytes(0x2000) + b"Linux version 6.1.0 (a@b)\n\0", "without its ELF header"),
    "text": (b"not a kernel\n", "neither a kernel nor"),
}


@pytest.mark.parametrize("name", TAKEN_FOR_KERNELS)
def test_no_kernel(name: str) -> None:
    data, words = TAKEN_FOR_KERNELS[name]
    with pytest.raises(FwbuildError, match=words) as raised:
        report(data)
    assert raised.value.hint


def test_two_bytes_of_an_option_rom() -> None:
    with pytest.raises(FwbuildError, match="neither a kernel nor"):
        report(b"\x55\xaa")


def test_a_large_bss_is_not_built() -> None:
    fields = dict(load_addr=0x100000, bss_end_addr=0xFFFFFFFF)
    data = multiboot1()
    for name, value in fields.items():
        data = patched(data, offsets(multiboot.HEADER)[name], value.to_bytes(4, "little"))
    assert report(data).facts["load_end"] == 0xFFFFFFFF
