"""The command line: what it prints, and one line and a documented code for each bad input."""

import json
from pathlib import Path

import pytest

from fwbuild import cli
from fwbuild.errors import ExitCode
from fwbuild.image.test_kernel import build_test_kernel

TINY = 'machines = ["pc"]\nprotocols = ["pvh"]\nbudget = 100\n'

# name: (arguments, exit code, words of the line). {tmp} is a scratch folder.
BAD = {
    "no template": (["--template", "nope"], ExitCode.TEMPLATE, "no template 'nope'"),
    "budget": (["--template", "{tmp}/tiny.toml"], ExitCode.LAYOUT, "do not fit"),
    "bad key": (["--template", "{tmp}/key.toml"], ExitCode.TEMPLATE, "unknown key 'colour'"),
    "budget of true": (["--template", "{tmp}/true.toml"], ExitCode.TEMPLATE, "bad 'budget'"),
    "no machines": (["--template", "{tmp}/none.toml"], ExitCode.TEMPLATE, "machines"),
    "half a protocol": (["--template", "{tmp}/half.toml"], ExitCode.TEMPLATE, "without linux"),
    "half of PCI": (["--template", "{tmp}/pci.toml"], ExitCode.TEMPLATE, "bad 'pci'"),
    "not TOML": (["--template", "{tmp}/text.toml"], ExitCode.TEMPLATE, "text.toml"),
    "out is a folder": (["--out", "{tmp}"], ExitCode.INPUT, "cannot write"),
    "out below a file": (["--out", "{tmp}/file/x.bin"], ExitCode.INPUT, "cannot write"),
    "out clashes": (["--out", "{tmp}/x.elf"], ExitCode.USAGE, "clashes"),
    "no kernel file": (["emulate", "--kernel", "{tmp}/k"], ExitCode.INPUT, "no such file"),
    "kernel is no ELF": (["emulate", "--kernel", "{tmp}/file"], ExitCode.KERNEL, "no ELF"),
    "no note": (["emulate", "--kernel", "{tmp}/noteless"], ExitCode.KERNEL, "no PVH ELF note"),
    "truncated ELF": (["emulate", "--kernel", "{tmp}/short"], ExitCode.KERNEL, ""),
    "segment past the file": (
        ["emulate", "--kernel", "{tmp}/cut"], ExitCode.KERNEL, "passes the end"),
    "note of a wrong size": (["emulate", "--kernel", "{tmp}/note"], ExitCode.KERNEL, "PVH note"),
    "no recording": (["emulate", "-m", "333M"], ExitCode.INPUT, "fwbuild record"),
    "dry run of nothing": (["run", "--dry-run"], ExitCode.USAGE, "--bios and --kernel"),
    "cost of no kernel": (["cost", "--kernel", "{tmp}/k"], ExitCode.INPUT, "no such file"),
    "cost of no image": (["cost", "--bios", "{tmp}/k"], ExitCode.INPUT, "no such file"),
    "bench of no kernel": (["bench", "--kernel", "{tmp}/k"], ExitCode.INPUT, "no such file"),
    "bench of no image": (
        ["bench", "--kernel", "{tmp}/file", "--bios", "{tmp}/k"], ExitCode.INPUT, "no such file"),
    "bench of no kernel's file": (
        ["bench", "--kernel", "{tmp}/file", "--no-peers"], ExitCode.KERNEL, "no ELF"),
    "bench of two like images": (
        ["bench", "--kernel", "{tmp}/file", "--bios", "{tmp}/file", "--bios", "{tmp}/file"],
        ExitCode.USAGE, "two images are called 'file'"),
    "no QEMU": (["run"], ExitCode.QEMU, "qemu-system-x86"),
    "recording of nothing": (
        ["emulate", "--recording", "{tmp}/null.json"], ExitCode.INPUT, "no recording"),
    "kernel beyond RAM": (["emulate", "--kernel", "{tmp}/far"], ExitCode.KERNEL, "outside RAM"),
    "bad recording": (["emulate", "--recording", "{tmp}/file"], ExitCode.INPUT, "no recording"),
    "odd image": (["emulate", "--bios", "{tmp}/file"], ExitCode.INPUT, "no image"),
    "initrd too large": (
        ["emulate", "-m", "64M", "--initrd", "{tmp}/large"], ExitCode.INPUT, "larger than"),
    "extract text": (["extract", "{tmp}/file"], ExitCode.KERNEL, "bzImage"),
    "extract ELF": (["extract", "{tmp}/noteless"], ExitCode.KERNEL, "ELF file already"),
    "extract nothing": (["extract", "{tmp}/none"], ExitCode.INPUT, "cannot read"),
    "inspect text": (["inspect", "{tmp}/file"], ExitCode.KERNEL, "neither a kernel nor"),
    "inspect nothing": (["inspect", "{tmp}/none"], ExitCode.INPUT, "cannot read"),
    "inspect a folder": (["inspect", "{tmp}"], ExitCode.INPUT, "cannot read"),
    "inspect an empty file": (["inspect", "{tmp}/empty"], ExitCode.KERNEL, "empty"),
}  # fmt: skip


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    kernel = build_test_kernel()
    (tmp_path / "tiny.toml").write_text(TINY)
    (tmp_path / "key.toml").write_text(TINY + 'colour = "red"\n')
    (tmp_path / "true.toml").write_text(TINY.replace("100", "true"))
    (tmp_path / "none.toml").write_text('machines = []\nprotocols = ["pvh"]\n')
    (tmp_path / "half.toml").write_text(TINY.replace('"pvh"', '"linux16"'))
    (tmp_path / "pci.toml").write_text(TINY + 'pci = "half"\n')
    (tmp_path / "text.toml").write_text("hello")
    (tmp_path / "file").write_text("hello")
    (tmp_path / "empty").touch()
    (tmp_path / "noteless").write_bytes(kernel.replace(b"Xen\0", b"Xon\0"))
    (tmp_path / "null.json").write_text("null")
    far = (b"\0\0\x10\0" * 2, b"\0\0\0\xd0" * 2)  # p_vaddr and p_paddr
    (tmp_path / "far").write_bytes(kernel.replace(*far, 1))
    (tmp_path / "short").write_bytes(kernel[:60])
    (tmp_path / "cut").write_bytes(kernel[:0x90])
    size_4, size_2 = (b"\4\0\0\0" + n + b"\0\0\0\x12" for n in (b"\4", b"\2"))
    (tmp_path / "note").write_bytes(kernel.replace(size_4, size_2))
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(64 << 20)
    return tmp_path


@pytest.mark.parametrize("name", BAD)
def test_bad_input(
    name: str, scratch: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, code, words = BAD[name]
    monkeypatch.chdir(scratch)
    monkeypatch.setenv("PATH", str(scratch))  # no QEMU
    before = sorted(scratch.rglob("*"))
    assert cli.main([a.format(tmp=scratch) for a in arguments]) == code
    captured = capsys.readouterr()
    assert captured.err.startswith("fwbuild: error: ")
    assert captured.err.count("\n") == 1
    assert words in captured.err
    assert sorted(scratch.rglob("*")) == before, "something was left behind"


USAGE = (
    ["--nope"],
    ["emulate", "-m", "many"],
    ["run", "--accel", "x"],
    ["run", "--smp", "0"],
    ["cost", "--smp", "0"],
    ["bench"],
    ["bench", "--kernel", "k", "--runs", "0"],
)


@pytest.mark.parametrize("arguments", USAGE)
def test_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == ExitCode.USAGE


def test_build_is_the_default_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "bios.bin"
    assert cli.main(["--out", str(out)]) == 0
    assert "bytes used" in capsys.readouterr().out
    assert sorted(p.suffix for p in out.parent.iterdir()) == [
        ".bin",
        ".elf",
        ".json",
        ".lst",
        ".map",
    ]


def test_emulate_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["emulate", "--json", "-M", "pc", "--append", "a b"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["end"] == "handoff"
    assert plain["problems"] == []
    assert plain["handoff"]["cmdline"] == "a b"


def test_emulate_shows_the_handoff(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["emulate", "-M", "q35"]) == 0
    text = capsys.readouterr().out
    assert "The handoff is as the PVH ABI asks." in text
    assert "test kernel: hvm_start_info at" in text


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    text = capsys.readouterr().out
    assert all(verb in text for verb in cli.VERBS)
