"""The command line: what it prints, and one line and a documented code for each bad input."""

import argparse
import errno
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from fwbuild import cli
from fwbuild.errors import ExitCode
from fwbuild.firmware import stop_codes
from fwbuild.firmware.options import OPTIONS
from fwbuild.image.build import all_symbols, build_image
from fwbuild.image.template import DEFAULT, Template
from fwbuild.machines import MACHINES
from fwbuild.payloads.test_kernel import build_test_kernel

TINY = 'machines = ["pc"]\nprotocols = ["pvh"]\nbudget = 100\n'

# name: (arguments, exit code, words of the line). {tmp} is a scratch folder.
BAD = {
    "no template": (["--template", "nope"], ExitCode.TEMPLATE, "no template 'nope'"),
    "no template file": (["--template", "{tmp}/k.toml"], ExitCode.TEMPLATE, "is no such file"),
    "a file that is no template": (
        ["--template", "{tmp}/file"], ExitCode.TEMPLATE, "template's file ends with .toml"),
    "an address of nobody's": (["explain", "0x30000000"], ExitCode.INPUT, "no range of"),
    "no address": (["explain", "unheard-of"], ExitCode.INPUT, "addresses begin with 0x"),
    "budget": (["--template", "{tmp}/tiny.toml"], ExitCode.LAYOUT, "do not fit"),
    "bad key": (["--template", "{tmp}/key.toml"], ExitCode.TEMPLATE, "unknown key 'colour'"),
    "budget of true": (["--template", "{tmp}/true.toml"], ExitCode.TEMPLATE, "bad 'budget'"),
    "a verb misspelt": (["bulid"], ExitCode.USAGE, "did you mean build?"),
    "no verb": (["zzz"], ExitCode.USAGE, "verbs are build, verify"),
    "set a key misspelt": (["--set", "trcae=true"], ExitCode.TEMPLATE, "did you mean trace?"),
    "set no value": (["--set", "trace"], ExitCode.TEMPLATE, "KEY=VALUE"),
    "set a switch to a word": (["--set", "trace=yes"], ExitCode.TEMPLATE, "true or false"),
    "set a choice to another": (["--set", "pci=half"], ExitCode.TEMPLATE, "one of full, none"),
    "set bytes to a word": (["--set", "budget=x"], ExitCode.TEMPLATE, "a number of bytes"),
    "set half a protocol": (
        ["--set", "protocols=pvh,linux16"], ExitCode.TEMPLATE, "linux16 without linux"),
    "no machines": (["--template", "{tmp}/none.toml"], ExitCode.TEMPLATE, "machines"),
    "half a protocol": (["--template", "{tmp}/half.toml"], ExitCode.TEMPLATE, "without linux"),
    "half of PCI": (["--template", "{tmp}/pci.toml"], ExitCode.TEMPLATE, "bad 'pci'"),
    "not TOML": (["--template", "{tmp}/text.toml"], ExitCode.TEMPLATE, "text.toml"),
    "out is a folder": (["--out", "{tmp}"], ExitCode.INPUT, "cannot write"),
    "out below a file": (["--out", "{tmp}/file/x.bin"], ExitCode.INPUT, "cannot write"),
    "out clashes": (["--out", "{tmp}/x.elf"], ExitCode.USAGE, "clashes"),
    "no kernel file": (["verify", "--kernel", "{tmp}/k"], ExitCode.INPUT, "no such file"),
    "no kernel": (["verify", "--kernel", "{tmp}/file"], ExitCode.KERNEL, "neither a kernel"),
    "no note": (["verify", "--kernel", "{tmp}/noteless"], ExitCode.KERNEL, "no PVH ELF note"),
    "truncated ELF": (["verify", "--kernel", "{tmp}/short"], ExitCode.KERNEL, ""),
    "segment past the file": (
        ["verify", "--kernel", "{tmp}/cut"], ExitCode.KERNEL, "passes the end"),
    "note of a wrong size": (["verify", "--kernel", "{tmp}/note"], ExitCode.KERNEL, "PVH note"),
    "no recording": (["verify", "-m", "333M"], ExitCode.INPUT, "fwbuild record"),
    "dry run of nothing": (["run", "--dry-run"], ExitCode.USAGE, "--bios and a kernel"),
    "cost of no kernel": (["cost", "--kernel", "{tmp}/k"], ExitCode.INPUT, "no such file"),
    "cost of no image": (["cost", "--bios", "{tmp}/k"], ExitCode.INPUT, "no such file"),
    "bench of no kernel": (["bench", "--kernel", "{tmp}/k"], ExitCode.INPUT, "no such file"),
    "bench of an initrd to its user program": (
        ["bench", "--kernel", "{tmp}/file", "--initrd", "{tmp}/file"], ExitCode.USAGE,
        "end the boot at a line of its console by --until"),
    "bench to two ends": (
        ["bench", "--kernel", "{tmp}/file", "--until", "x", "--to", "fw_do_boot"], ExitCode.USAGE,
        "leave out --to"),
    "bench until no regular expression": (
        ["bench", "--kernel", "{tmp}/file", "--until", "("], ExitCode.USAGE,
        "'(' is no regular expression"),
    "bake of no kernel": (["bake", "--out", "{tmp}/b"], ExitCode.USAGE, "name the one to bake"),
    "bake of no kernel's file": (
        ["bake", "--kernel", "{tmp}/file", "--out", "{tmp}/b"], ExitCode.KERNEL, "no ELF"),
    "bake of no module": (
        ["bake", "--kernel", "{tmp}/file", "{tmp}/k", "--out", "{tmp}/b"], ExitCode.INPUT,
        "no such file"),
    "bake with a kernel's template": (
        ["bake", "--kernel", "{tmp}/file", "--template", "linux", "--out", "{tmp}/b"],
        ExitCode.TEMPLATE, "its protocol is not preloaded"),
    "run of no baked guest": (
        ["run", "--baked", "{tmp}"], ExitCode.INPUT, "bake.json: cannot read"),
    "run of a baked guest and a kernel": (
        ["verify", "--baked", "{tmp}", "--kernel", "{tmp}/file"], ExitCode.USAGE,
        "a baked guest has its kernel"),
    "bench of no image": (
        ["bench", "--kernel", "{tmp}/file", "--bios", "{tmp}/k"], ExitCode.INPUT, "no such file"),
    "bench of two accelerators": (
        ["bench", "--kernel", "{tmp}/file", "-M", "pc,accel=kvm"], ExitCode.USAGE, "by --accel"),
    "bench of no kernel's file": (
        ["bench", "--kernel", "{tmp}/file", "--no-peers"], ExitCode.KERNEL, "no ELF"),
    "bench of two like images": (
        ["bench", "--kernel", "{tmp}/file", "--bios", "{tmp}/file", "--bios", "{tmp}/file"],
        ExitCode.USAGE, "two images are called 'file'"),
    "no QEMU": (["run"], ExitCode.QEMU, "qemu-system-x86"),
    "recording of nothing": (
        ["verify", "--recording", "{tmp}/null.json"], ExitCode.INPUT, "no recording"),
    "kernel beyond RAM": (["verify", "--kernel", "{tmp}/far"], ExitCode.KERNEL, "outside RAM"),
    "bad recording": (["verify", "--recording", "{tmp}/file"], ExitCode.INPUT, "no recording"),
    "two kernels": (["run", "{tmp}/file", "--kernel", "{tmp}/file"], ExitCode.USAGE, "two kernels"),
    "real without DMA": (["verify", "--real", "--no-dma"], ExitCode.USAGE, "--no-dma is for"),
    "a device for a kernel": (["verify", "--kernel", "/dev/null"], ExitCode.INPUT, "not a regular"),
    "a pipe without end": (["inspect", "/dev/zero"], ExitCode.INPUT, "more than"),
    "a name with an escape": (["inspect", "\x1b[31m\n"], ExitCode.INPUT, r"\x1b[31m : cannot read"),
    "odd image": (["verify", "--bios", "{tmp}/file"], ExitCode.INPUT, "not an image"),
    "initrd too large": (
        ["verify", "-m", "64M", "--initrd", "{tmp}/large"], ExitCode.INPUT, "larger than"),
    "extract text": (["extract", "{tmp}/file"], ExitCode.KERNEL, "bzImage"),
    "extract ELF": (["extract", "{tmp}/noteless"], ExitCode.KERNEL, "ELF file already"),
    "extract into no name": (
        ["extract", "{tmp}/file", "--out", "/"], ExitCode.INPUT, "/: cannot write: not a file"),
    "extract into this folder": (
        ["extract", "{tmp}/file", "--out", "."], ExitCode.INPUT, ".: cannot write: not a file"),
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
    (tmp_path / "noteless").write_bytes(kernel.replace(b"\x12\0\0\0Xen\0", b"\x13\0\0\0Xen\0"))
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
    assert words in captured.err and "(hint: " in captured.err
    assert sorted(scratch.rglob("*")) == before, "something was left behind"


def test_no_room_for_scratch_files(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **_more: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/scratch/fwbuild-1")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    assert cli.main(["run"]) == ExitCode.INPUT
    said = capsys.readouterr().err
    assert said.startswith("fwbuild: error: /scratch/fwbuild-1: No space left on device (hint: ")
    assert said.count("\n") == 1


def test_a_full_disk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **_more: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "mkstemp", full)
    assert cli.main(["--out", str(tmp_path / "bios.bin")]) == ExitCode.INPUT
    assert "No space left on device (hint: make room for it)" in capsys.readouterr().err


def test_a_terminal_is_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    """Reading from it would wait for ever."""
    ours, theirs = os.openpty()
    try:
        assert cli.main(["inspect", os.ttyname(theirs)]) == ExitCode.INPUT
    finally:
        os.close(ours)
        os.close(theirs)
    assert "cannot read: a terminal (hint: " in capsys.readouterr().err


USAGE = {
    "no such option": (["--nope"], "unrecognized arguments: --nope"),
    "memory beyond all addresses": (
        ["bake", "--kernel", "{tmp}/k", "-m", "9999999T"],
        "more memory than a PC has",
    ),
    "memory of a word": (["verify", "-m", "many"], "'many' is not a memory size"),
    "no such accelerator": (["run", "--accel", "x"], "invalid choice: 'x'"),
    "no CPUs": (["run", "--smp", "0"], "at least 1"),
    "no CPUs to count": (["cost", "--smp", "0"], "at least 1"),
    "bench of nothing": (["bench"], "required: --kernel"),
    "no name of a kernel": (["verify", "--kernel", ""], "argument --kernel: the name is empty"),
    "no name of an image": (["--out", ""], "argument --out: the name is empty"),
    "no name of a file": (["inspect", ""], "argument FILE: the name is empty"),
    "both ways of PVH": (["run", "k", "--no-pvh", "--measure-pvh"], "not allowed with"),
    "no runs": (["bench", "--kernel", "k", "--runs", "0"], "at least 1"),
    "inspect what": (["inspect"], "required: FILE"),
    "two sources": (["verify", "--real", "--recording", "r"], "not allowed with"),
    "a time of a word": (["run", "--timeout", "x"], "'x' is not a time"),
    "no time": (["run", "--timeout", "0"], "'0' is not a time"),
    "a time before the start": (["run", "--timeout=-1"], "'-1' is not a time"),
    "a time beyond the system's": (["run", "--timeout", "1e300"], "'1e300' is more than 2000000"),
    "a time of a month": (["run", "--timeout", "3e6"], "'3e6' is more than 2000000 seconds"),
    "an expression of too many": (
        ["run", "--expect", "a{99999999999}"],
        "number is too large",
    ),
    "an expression too deep": (["run", "--expect", "(" * 20000], "nested too deep"),
    "a bench to too many": (["bench", "--kernel", "k", "--until", "a{9999999999}"], "too large"),
    "a number of many digits": (["verify", "--smp", "9" * 5000], "invalid positive value"),
    "memory of many digits": (["verify", "-m", "9" * 5000], "invalid memory_size value"),
    "a time without end": (["bench", "--kernel", "k", "--timeout", "inf"], "'inf' is not a time"),
}


@pytest.mark.parametrize("name", USAGE)
def test_usage(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, words = USAGE[name]
    assert cli.main(arguments) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert said.startswith("fwbuild: error: ") and said.count("\n") == 1
    assert words in said and "(hint: " in said


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


def test_verify_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", "--json", "-M", "pc", "--append", "a b"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["end"] == "handoff"
    assert plain["problems"] == []
    assert plain["handoff"]["cmdline"] == "a b"


def test_verify_shows_the_handoff(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", "-M", "q35"]) == 0
    text = capsys.readouterr().out
    assert "The handoff is as the PVH ABI asks." in text
    assert "test kernel: hvm_start_info at" in text


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    text = capsys.readouterr().out
    assert all(verb in text for verb in cli.VERBS)


@pytest.mark.parametrize("verb", cli.VERBS)
def test_help_tells_each_option_and_its_default(verb: str) -> None:
    sub = next(a for a in cli.parser((verb,))._actions if isinstance(a, argparse._SubParsersAction))
    for action in sub.choices[verb]._actions:
        assert action.help, f"{action.option_strings} has no word"
        if action.option_strings and action.nargs != 0:
            assert re.search(r"\bdefault: \S|\brequired\b", action.help), action.option_strings


def test_keys_of_a_template_are_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["build", "--help"])
    text = capsys.readouterr().out
    assert [o.name for o in OPTIONS if o.what not in text or o.expected not in text] == []


def test_set_gives_the_image_of_the_option(tmp_path: Path) -> None:
    out = tmp_path / "bios.bin"
    words = ["--set", "trace=true", "--set", "protocols=pvh,linux"]
    assert cli.main(["build", "--out", str(out), *words]) == 0
    assert out.read_bytes() == build_image(trace=True, protocols=("pvh", "linux")).image


def test_symbols_stand_where_they_are_said_to(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["build", "--symbols"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert {name: int(value, 16) for value, name, _ in rows} == all_symbols(Template.load(DEFAULT))
    root = Path(cli.__file__).resolve().parents[1]
    for _, symbol, place in rows:
        path, _, line = place.partition(":")
        text = (root / path).read_text().splitlines()[int(line) - 1]
        assert any(re.search(rf"\b{word}\b", text) for word in symbol.split(".")[1:]) or (
            symbol.startswith("ram.") and re.match(r"[A-Z_]+ = ", text)
        ), f"{symbol} at {place}: {text}"


def test_symbols_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["build", "--symbols", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    symbols = all_symbols(Template.load(DEFAULT))
    assert {row["name"]: row["value"] for row in rows} == symbols
    assert all(re.fullmatch(r"[\w/]+\.py:\d+", row["source"]) for row in rows)


def test_verify_tells_a_stop_from_a_departure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bios.bin"
    build_only = ["build", "--out", str(out), "--set", "protocols=linux"]
    assert cli.main(build_only) == 0
    capsys.readouterr()
    stop = stop_codes.BY_NAME["KERNEL_KIND"]
    assert cli.main(["verify", "--bios", str(out)]) == ExitCode.STOPPED
    text = capsys.readouterr().out
    assert f"The firmware stopped: {stop.what} (hint: {stop.hint})" in text
    assert "departs" not in text
    assert cli.main(["verify", "--json", "--bios", str(out)]) == ExitCode.STOPPED
    plain = json.loads(capsys.readouterr().out)
    assert plain["stop"] == {"code": stop.code, "what": stop.what, "hint": stop.hint}
    assert plain["problems"] == []


@pytest.mark.parametrize("machine", MACHINES)
def test_verify_is_quiet_about_the_probe(machine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", "-M", machine]) == 0
    assert "access to no device" not in capsys.readouterr().out


def test_help_imports_no_verb() -> None:
    """It is there at once: a program that is started for each question should be."""
    code = (
        "import contextlib, sys; from fwbuild import cli\n"
        "with contextlib.suppress(SystemExit): cli.main(['--help'])\n"
        "print(*sorted(m for m in sys.modules if m.startswith(('fwbuild.', 'rich', 'unicorn'))))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *text, modules = run.stdout.splitlines()
    assert not [m for m in modules.split() if m.startswith(("fwbuild.verbs", "rich", "unicorn"))]
    assert "\n".join(text) == cli.parser().format_help().rstrip()
