"""`fwbuild gdb` with the real gdb: in batch, and in a terminal."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest
from elftools.elf.elffile import ELFFile

from fwbuild.assembler.link import CODE
from fwbuild.bench.events import Event
from fwbuild.bench.kernel import read_kernel
from fwbuild.cli import main
from fwbuild.docs import DOCS
from fwbuild.errors import ExitCode
from fwbuild.gdb.session import SERIAL
from fwbuild.image.build import Image
from fwbuild.image.copies import places
from fwbuild.machines import MACHINES
from fwbuild.payloads.test_kernel import build_test_bzimage16
from tests.conftest import need
from tests.support.debian import cloud_vmlinux
from tests.support.kvm import need_accel
from tests.support.small_kernel import pvh_kernel

pytestmark = pytest.mark.qemu

PROMPT = r"\(gdb\) "
INSTRUCTION = re.compile(r"^=> 0x([0-9a-f]+)[^\n]*\n +0x([0-9a-f]+)", re.MULTILINE)


@pytest.fixture(autouse=True)
def gdb() -> None:
    if not shutil.which("gdb"):
        need("gdb")


def batch(capfd: pytest.CaptureFixture[str], *words: str, commands: tuple[str, ...] = ()) -> str:
    """What gdb prints for commands, after a start in words of `fwbuild gdb`."""
    given = [word for line in commands for word in ("--ex", line)]
    assert main(["gdb", "--batch", *given, *words]) == ExitCode.OK
    return capfd.readouterr().out


def line_of(image: Image, routine: str, index: int = 0) -> str:
    """The source line, as "file:line", of an instruction of a routine."""
    return image.linked.lines[routine][index].statement.where


@pytest.mark.parametrize("machine", MACHINES)
def test_at_the_reset_vector(machine: str, image: Image, capfd: pytest.CaptureFixture[str]) -> None:
    text = batch(capfd, "-M", machine, commands=("p/x $pc", "p/x $cs_base", "p/x $ip"))
    assert f"reset_vector () at {line_of(image, 'reset_vector')}" in text
    assert "jmp enter_protected\n" in text
    assert re.findall(r"^\$\d = (\w+)", text, re.MULTILINE) == [
        "0xfffffff0",
        "0xffff0000",
        "0xfff0",
    ]


SESSION = re.compile(r"^    \$ fwbuild gdb (.*)\n((?:    .*\n)+)", re.MULTILINE)
ADDRESS = re.compile(r"\b(0x[0-9a-f]+|[0-9a-f]{4,8})\b")  # which every change of the code moves
PAGE = SESSION.findall((DOCS / "debugging.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("words, printed", PAGE, ids=[words for words, _ in PAGE])
def test_a_session_of_the_page(words: str, printed: str, capfd: pytest.CaptureFixture[str]) -> None:
    """gdb prints each of its lines; QEMU's words, as fw-where's, go to stderr."""
    lines = [line[4:] for line in printed.splitlines()]
    typed = [word for line in lines if line.startswith("(gdb) ") for word in ("--ex", line[6:])]
    assert main(["gdb", *shlex.split(words), "--batch", *typed]) == ExitCode.OK
    found = ADDRESS.sub("0", "".join(capfd.readouterr())).splitlines()
    wanted = [ADDRESS.sub("0", line) for line in lines if not line.startswith("(gdb) ")]
    assert [line for line in wanted if line not in found] == []


def test_instructions_are_those_of_the_mode(
    image: Image, capfd: pytest.CaptureFixture[str]
) -> None:
    """From 16-bit code to 32-bit code, an instruction at a time: gdb goes where the assembler says,
    and takes each for as long as it is."""
    routines = ("enter_protected", "protected_mode")
    encoded = [e for r in routines for e in image.linked.lines[r] if e.statement.kind in CODE][:9]
    text = batch(capfd, commands=("stepi", "x/2i $pc") * len(encoded))
    found = [(int(a, 16), int(b, 16)) for a, b in INSTRUCTION.findall(text)]
    assert found == [(e.address, e.address + len(e.code)) for e in encoded]
    assert {e.statement.bits for e in encoded} == {16, 32}


@pytest.mark.parametrize("accel", ["tcg", "kvm"])
def test_run_to_a_routine_and_a_label(
    accel: str, image: Image, capfd: pytest.CaptureFixture[str]
) -> None:
    need_accel(accel)
    words = ("--accel", accel, "--at", "main:.acpi")
    commands = ("next", "break pvh_enter", "continue", "next", "info registers eip")
    text = batch(capfd, *words, commands=commands)
    assert f"Breakpoint 2, pvh_enter () at {line_of(image, 'pvh_enter')}" in text
    address = image.linked.lines["pvh_enter"][1].address
    assert re.search(rf"^eip +{address:#x} ", text, re.MULTILINE)


def test_code_that_runs_in_ram_and_real_mode(
    image: Image, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A BIOS call of a 16-bit payload's."""
    kernel = tmp_path / "kernel"
    kernel.write_bytes(build_test_bzimage16())
    commands = ("p/x $pc", "monitor fwbuild where", "x/2i $pc", "stepi", "p/x $pc")
    assert (
        main(
            [
                "gdb",
                str(kernel),
                "-M",
                "pc",
                "--at",
                "bios_memory",
                "--batch",
                *(w for c in commands for w in ("--ex", c)),
            ]
        )
        == ExitCode.OK
    )
    text = "".join(capfd.readouterr())
    _, start = places(image.linked, "bios_memory")
    first = image.linked.lines["bios_memory"][0]
    assert f"bios_memory () at {first.statement.where}" in text
    assert f"= {start:#x}\n" in text
    assert f"real mode, CS:IP 9ec0:{start - 0x9EC00:04x}, CS base 0009ec00" in text
    assert (start, start + len(first.code)) in [
        (int(a, 16), int(b, 16)) for a, b in INSTRUCTION.findall(text)
    ]


def test_a_register_can_be_written_in_real_mode(
    image: Image, capfd: pytest.CaptureFixture[str]
) -> None:
    start = image.linked.addresses["enter_protected"]
    commands = (f"set $pc = {start:#x}", "set $eax = 0x12345678", "p/x $ip", "p/x $eax", "stepi")
    text = batch(capfd, commands=(*commands, "p/x $pc"))
    after = image.linked.lines["enter_protected"][1].address
    assert re.findall(r"^\$\d = (\w+)", text, re.MULTILINE) == [
        f"{start & 0xFFFF:#x}",
        "0x12345678",
        f"{after:#x}",
    ]


def test_64_bit_code(capfd: pytest.CaptureFixture[str]) -> None:
    """Linux's startup_64, the entry of its ELF file, and from 32-bit code to the virtual
    addresses after it."""
    kernel = cloud_vmlinux()
    commands = ("thbreak *0x1000000", "continue", "x/i $pc", "info registers rip cr0", "stepi",
                "p/x $rip", "fw-arch 64", "show architecture")  # fmt: skip
    text = batch(capfd, str(kernel), "--at", "pvh_enter", commands=commands)
    assert re.search(r"^=> 0x1000000:\tlea +rsp,\[rip\+0x[0-9a-f]+\]", text, re.MULTILINE)
    assert re.search(r"^rip +0x1000000 ", text, re.MULTILINE)
    assert re.search(r"^cr0 .*\bPG\b.*\bPE\b", text, re.MULTILINE)
    assert "= 0x1000007\n" in text
    assert "i386:x86-64" in text


def named(folder: Path, name: str, section: str, offset: int) -> Path:
    """Debian's vmlinux, which has no symbols, with one."""
    path = folder / "vmlinux"
    words = ["--add-symbol", f"{name}={section}:{offset:#x},function,global"]
    subprocess.run(["objcopy", *words, str(cloud_vmlinux()), str(path)], check=True)
    return path


def start_kernel() -> int:
    """Its offset in .init.text."""
    (step,) = (s for s in read_kernel(cloud_vmlinux()).steps if s.event == Event.START_KERNEL)
    with cloud_vmlinux().open("rb") as stream:
        section = ELFFile(stream).get_section_by_name(".init.text")
        return int(step.addresses[0] - section["sh_addr"])


# a symbol: the section that it is in, its offset there, and what gdb says where it runs
KERNEL_PLACES: dict[str, tuple[str, Callable[[], int], str, str]] = {
    # without the kernel's page tables, at the physical address
    "startup_64": (".text", lambda: 0, r"breakpoint 2, 0x0*1000000 in ", "0008:1000000"),
    "start_kernel": (".init.text", start_kernel, r"breakpoint 1, 0xf\w+ in start_", "0010:f"),
}


@pytest.mark.parametrize("name", KERNEL_PLACES)
def test_run_to_a_symbol_of_the_kernel(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    section, offset, place, pointer = KERNEL_PLACES[name]
    kernel = named(tmp_path, name, section, offset())
    commands = ("monitor fwbuild where", "info breakpoints")
    given = [word for line in commands for word in ("--ex", line)]
    assert main(["gdb", str(kernel), "--at", name, "--batch", *given]) == ExitCode.OK
    said = "".join(capfd.readouterr())
    assert re.search(place, said)
    assert f"64-bit mode, CS:IP {pointer}" in said
    assert "No breakpoints or watchpoints" in said
    assert "No executable" not in said


def test_a_guest_that_ends_before_the_place(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["gdb", "--batch", "--at", "0xffffffff81000000"]) == ExitCode.OK
    said = "".join(capfd.readouterr())
    assert "exited normally" in said
    assert "Error" not in said


def test_another_cpu_has_registers_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    commands = ("thread 2", "p/x $pc", "thread 1", "p/x $pc")
    text = batch(capfd, "--smp", "2", "--at", "pvh_enter", commands=commands)
    second, first = re.findall(r"^\$\d = (\w+)", text, re.MULTILINE)
    assert second == "0xfffffff0"  # it waits for its start
    assert first != second


def test_image_of_a_file(image: Image, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With the ELF beside it, and without."""
    bios = tmp_path / "my bios.bin"
    assert main(["build", "--out", str(bios), "--template", "universal"]) == ExitCode.OK
    assert "reset_vector () at asm" in batch(capfd, "--bios", str(bios))
    bios.with_suffix(".elf").unlink()
    assert main(["gdb", "--batch", "--bios", str(bios), "--ex", "x/i $pc"]) == ExitCode.OK
    said = capfd.readouterr()
    target = image.linked.addresses["enter_protected"]
    assert re.search(rf"^=> 0xfffffff0:\tjmp +{target:#x}", said.out, re.MULTILINE)
    assert "no symbols: " in said.err


def test_what_qemu_refuses_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["gdb", "--batch", "--", "-device", "nonsense"]) == ExitCode.QEMU
    (line,) = capfd.readouterr().err.splitlines()
    assert "has no device 'nonsense'" in line


def test_a_gdb_that_fails_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["gdb", "--batch", "--ex", "quit 3"]) == ExitCode.QEMU
    assert "gdb ended with status 3 (hint: " in capfd.readouterr().err


# -- in a terminal ------------------------------------------------------------------------------


def qemus() -> set[int]:
    """The PIDs of the QEMUs that a `fwbuild gdb` has started."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if SERIAL.encode() in path.read_bytes():
                found.add(int(path.parent.name))
        except OSError:
            continue
    return found


def descendants(pid: int) -> set[int]:
    found = {pid}
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            found |= descendants(int(child))
    return found


def gone(pids: set[int], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while pids & qemus() and time.monotonic() < end:
        time.sleep(0.1)
    return not pids & qemus()


@contextmanager
def terminal(*words: str) -> Iterator[tuple[pexpect.spawn, set[int]]]:
    """`fwbuild gdb` on a terminal of its own at gdb's first prompt, and its QEMU."""
    environment = {**os.environ, "TERM": "dumb"}
    child = pexpect.spawn(
        sys.executable,
        ["-m", "fwbuild", "gdb", *words],
        env=environment,
        encoding="utf-8",
        timeout=120,
        dimensions=(60, 200),
    )
    try:
        child.expect(PROMPT)
        mine = descendants(child.pid) & qemus()
        assert len(mine) == 1
        yield child, mine
    finally:
        # close() waits for a tenth of a second alone, which a busy host may well need longer for
        child.kill(signal.SIGKILL)
        end = time.monotonic() + 20
        while child.isalive() and time.monotonic() < end:
            time.sleep(0.05)
        child.close(force=False)


def said(child: pexpect.spawn, line: str) -> str:
    """What gdb prints for a line that one types."""
    child.sendline(line)
    child.expect(PROMPT)
    return str(child.before)


def test_ctrl_c_stops_the_guest_and_nothing_else(image: Image, tmp_path: Path) -> None:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(pvh_kernel("mov dx, 0x3f8; mov al, 0x21; out dx, al; again: jmp again"))
    with terminal(str(kernel), "--at", "pvh_enter") as (child, mine):
        assert f"pvh_enter () at {line_of(image, 'pvh_enter')}" in child.before
        assert "ram.work.memmap_end" in said(child, "list")
        child.sendline("continue")
        child.expect("!")  # the guest's console
        child.sendintr()
        child.expect("Program received signal SIGINT")
        child.expect(PROMPT)
        assert "32-bit protected mode" in said(child, "fw-where")
        child.sendline("continue")
        child.expect("Continuing")
        child.sendintr()
        child.expect(PROMPT)
        child.sendintr()  # at the prompt: no more than a new prompt
        child.expect(PROMPT)
        assert mine <= qemus()
        child.sendline("quit")
        child.expect(pexpect.EOF)
        assert "error" not in child.before.lower()
        child.wait()
        assert child.exitstatus == ExitCode.OK
        assert gone(mine)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_qemu_does_not_stay_behind(number: signal.Signals) -> None:
    with terminal() as (child, mine):
        os.kill(child.pid, number)
        assert gone(mine)


def test_a_gdb_of_ones_own(image: Image) -> None:
    """--wait; two gdbs, one after the other, meet the same guest."""
    argv = [sys.executable, "-m", "fwbuild", "gdb", "--wait"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        words = process.stdout.readline().split()
        assert words[:2] == ["gdb", "-x"]
        own = ["gdb", "-nx", "-batch", *words[1:]]
        for routine, commands in (
            ("reset_vector", ["-ex", "stepi"]),
            ("enter_protected", []),
        ):
            done = subprocess.run(
                [*own, *commands], capture_output=True, text=True, check=True, timeout=120
            )
            assert f"{routine} () at {line_of(image, routine)}" in done.stdout
        mine = descendants(process.pid) & qemus()
        assert len(mine) == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == ExitCode.OK
        assert gone(mine)
