"""A short real bench: the six events of a real boot, an image that boots nothing, and growth."""

import json
import shlex
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from fwbuild.abi import ports
from fwbuild.bench.advice import ADVICE, Advice
from fwbuild.bench.events import Event
from fwbuild.bench.grow import points
from fwbuild.bench.kernel import read_kernel
from fwbuild.bench.result import Result
from fwbuild.bench.runner import plain, traced
from fwbuild.cli import main
from fwbuild.emulator.stages import RESET
from fwbuild.errors import ExitCode
from fwbuild.firmware import bench
from fwbuild.firmware.layout import IMAGE_SIZE
from fwbuild.guest import Guest
from fwbuild.payloads.init import build_initrd
from fwbuild.qemu.count import count
from fwbuild.qemu.program import program
from tests.support import debian
from tests.support.advice import saving

pytestmark = pytest.mark.qemu

HALTS = b"\xfa\xf4\xeb\xfd".ljust(16, b"\0")  # cli; hlt; jmp back to hlt
RESETS = b"\xb0\xfe\xe6\x64\xf4".ljust(16, b"\0")  # the keyboard controller's reset line


@pytest.mark.parametrize("kind", ["vmlinux", "bzImage"])
def test_bench(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kernel = debian.cloud_vmlinux() if kind == "vmlinux" else debian.cloud_vmlinuz()
    halts = tmp_path / "halts.bin"
    halts.write_bytes(HALTS.rjust(IMAGE_SIZE, b"\0"))
    page = tmp_path / "boot.html"
    arguments = [
        "bench",
        "--kernel",
        str(kernel),
        "-M",
        "pc",
        "--accel",
        "tcg",
        "--no-peers",
        "--bios",
        str(halts),
        "--runs",
        "1",
        "--timeout",
        "15",
        "--out",
        str(tmp_path),
        "--report",
        str(page),
        "--json",
    ]
    assert main(arguments) == ExitCode.OK
    text = capsys.readouterr().out
    assert (tmp_path / "results.json").read_text() == text
    result = Result.from_json(text)
    ours, broken = result.rows
    assert (ours.kind, ours.failure, ours.whole) == (kind, "", True)
    assert ours.entry == ("PVH" if kind == "vmlinux" else "32-bit")
    (run,) = ours.runs
    assert list(run.events) == [str(event) for event in Event.CONSOLE_LINE.earlier()]
    assert all(a <= b for a, b in pairwise(run.events.values()))
    assert run.total and run.total >= run.events[Event.START_USER]
    assert ours.plain[0]
    assert ours.count and ours.count.accesses == sum(s["accesses"] for s in ours.stage_counts)
    assert ours.count.instructions == sum(s["instructions"] for s in ours.stage_counts)
    timed = [name for name, _ in ours.stages()]
    assert timed[:2] == [RESET, "start"]
    assert [*timed, "handoff"] == [s["stage"] for s in ours.stage_counts]
    assert broken.runs == []
    assert broken.failure == "nothing more came in time after fw_start"
    assert "halts.bin</strong> does not boot this kernel here" in page.read_text()
    # the command in the report is one that anybody can run
    status = subprocess.run(ours.command, timeout=60, check=False).returncode
    assert status == ports.debug_exit_status(bench.EXIT_USER), shlex.join(ours.command)


def test_bench_to_an_event(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "bench",
        "--kernel",
        str(debian.cloud_vmlinux()),
        "-M",
        "pc",
        "--accel",
        "tcg",
        "--no-peers",
        "--runs",
        "2",
        "--to",
        "linux_startup_64",
        "--no-counts",
        "--out",
        str(tmp_path),
        "--json",
    ]
    assert main(arguments) == ExitCode.OK
    (row,) = Result.from_json(capsys.readouterr().out).rows
    assert (row.failure, row.whole, row.plain) == ("", False, [])
    last = Event.STARTUP_64
    expected = [str(event) for event in (*last.earlier(), last)]
    assert [list(run.events) for run in row.runs] == [expected] * 2


def test_why_a_boot_failed(tmp_path: Path, bios: Path, test_kernel: bytes) -> None:
    path, resets = tmp_path / "kernel", tmp_path / "resets"
    initrd = tmp_path / "init.cpio"
    path.write_bytes(test_kernel)
    resets.write_bytes(RESETS.rjust(IMAGE_SIZE, b"\0"))
    initrd.write_bytes(build_initrd())
    steps = read_kernel(path).steps
    guest = Guest("pc", kernel=path, initrd=initrd)
    cases = [
        (resets, guest, "the guest reset itself after fw_start"),
        (bios, Guest("pc"), "the firmware stopped: no kernel after fw_start"),
        (bios, guest, "QEMU ended with status 3 after fw_do_boot"),  # no first user program
        (bios, Guest("nonesuch"), f"QEMU {program().version} has no machine type 'nonesuch'"),
    ]
    for firmware, asked, words in cases:
        run = traced(asked, firmware, steps, 20)
        assert run.failure.startswith(words), run.failure
        assert plain(asked, firmware, 20).total is None
    run = traced(guest, bios, steps, 20, last=Event.FW_DO_BOOT)
    assert (run.failure, run.entry) == ("", steps[0].addresses[0])


@pytest.mark.parametrize("machine", ["microvm", "pc"])
def test_growth(machine: str, bios: Path, tmp_path: Path, test_kernel: bytes) -> None:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(test_kernel)
    entries = read_kernel(kernel).entries.values()
    found = {
        (point.what, point.value): count(point.guest, bios, *entries)
        for point in points(Guest(machine, kernel=kernel), tmp_path)
        if point.value not in ("64", "8")
    }
    assert found["CPUs", "255"].instructions > found["CPUs", "1"].instructions
    # an initrd of any size is one transfer
    assert found["initrd, MiB", "1"].accesses == found["CPUs", "1"].accesses + 1


# Of each boot protocol, as Debian ships them; None is the test kernel.
COSTED: dict[str, Callable[[], Path | None]] = {
    "test kernel": lambda: None,
    "vmlinuz": debian.cloud_vmlinuz,
    "iPXE": lambda: debian.package_file("ipxe", "boot/ipxe.lkrn"),
    "Xen": debian.xen,
    "memtest86+": lambda: debian.package_file("memtest86+", "boot/memtest86+x64.bin"),
}


@pytest.mark.parametrize("name", COSTED)
def test_cost_tells_stages(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    kernel = COSTED[name]()
    arguments = ["cost", "-M", "pc", "--json", *(["--kernel", str(kernel)] if kernel else [])]
    assert main(arguments) == ExitCode.OK
    ours, *others = json.loads(capsys.readouterr().out)
    emulated = ours["emulated"]
    assert (emulated["accesses"], emulated["instructions"]) == (
        ours["accesses"],
        ours["instructions"],
    )
    for what in ("accesses", "instructions"):
        assert sum(stage[what] for stage in ours["stages"]) == ours[what]
    assert all(other["stages"] == [] for other in others)


def test_a_baked_guest_races(tmp_path: Path) -> None:
    """To the kernel, beside the same one by -kernel; a larger initrd takes its copy no longer."""
    initrd = tmp_path / "initrd"
    initrd.write_bytes(bytes(range(256)) * 256)
    arguments = ["bench", "--kernel", str(debian.cloud_vmlinux()), "--initrd", str(initrd)]
    arguments += ["-M", "microvm", "--accel", "tcg", "--baked", "--no-peers", "--no-counts"]
    arguments += ["--to", "fw_do_boot", "--runs", "1", "--out", str(tmp_path)]
    assert main(arguments) == ExitCode.OK
    result = Result.from_json((tmp_path / "results.json").read_text())
    assert [row.image for row in result.rows] == ["fwbuild universal", "fwbuild baked"]
    for row in result.rows:
        assert not row.failure
        assert [run.entry for run in row.runs] == [
            read_kernel(debian.cloud_vmlinux()).entries["PVH"]
        ]
        assert all(cpu and cpu > 1 for cpu in row.cpu())


UNTIL = ["bench", "--accel", "tcg", "--no-peers", "--runs", "1", "--append", "console=ttyS0"]


def test_a_guest_of_the_users(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To a line on its console, with an initrd and a device of its own."""
    initrd = tmp_path / "initrd"
    initrd.write_bytes(build_initrd())
    arguments = [*UNTIL, "-M", "pc", "--kernel", str(debian.cloud_vmlinux())]
    arguments += ["--initrd", str(initrd), "--until", r"pci 0000:00:05\.0: \[1af4:1005\]"]
    arguments += [
        "--out",
        str(tmp_path / "out"),
        "--json",
        "--",
        "-device",
        "virtio-rng-pci,addr=5",
    ]
    assert main(arguments) == ExitCode.OK
    (row,) = Result.from_json(capsys.readouterr().out).rows
    (run,) = row.runs
    line = Event.CONSOLE_LINE
    seen = [event for event in line.earlier() if event != Event.START_USER]
    assert list(run.events) == [str(event) for event in (*seen, line)]
    assert row.whole and run.total == run.events[line]
    assert row.plain[0]
    assert row.accesses["serial port"] > 5_000
    assert list(row.accesses.values()) == sorted(row.accesses.values(), reverse=True)
    assert any("--append quiet" in text for text in row.advice)


def test_a_line_that_never_comes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*UNTIL, "-M", "pc", "--kernel", str(debian.cloud_vmlinux()), "--until", "^never$"]
    assert main([*arguments, "--out", str(tmp_path), "--json"]) == ExitCode.UNEXPECTED
    printed = capsys.readouterr()
    (row,) = Result.from_json(printed.out).rows
    assert f"no boot got to its end: {row.failure} (hint: " in printed.err
    assert "'^never$' did not come (the serial port's last line is '" in row.failure
    assert row.failure.endswith("the guest ended after linux_start_user")  # at our initrd's program
    assert (row.runs, row.accesses) == ([], {})


def test_a_device_that_qemu_does_not_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*UNTIL, "-M", "pc", "--kernel", str(debian.cloud_vmlinux()), "--until", "x"]
    arguments += ["--out", str(tmp_path), "--", "-device", "nonesuch"]
    assert main(arguments) == ExitCode.UNEXPECTED
    assert "has no device 'nonesuch'" in capsys.readouterr().err


@pytest.mark.parametrize("row", ADVICE, ids=lambda row: row.append or row.machine)
def test_advice(row: Advice, tmp_path: Path) -> None:
    """It takes away at least half of the device's accesses, on each of its machines."""
    for family in row.families:
        before, after = saving(row, family, tmp_path)
        assert after <= before / 2, family.name
