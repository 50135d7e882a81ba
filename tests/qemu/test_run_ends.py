"""`fwbuild run` tells how its guest ended, by a line and its exit code."""

import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from fwbuild.abi import chipset
from fwbuild.cli import main
from fwbuild.errors import ExitCode
from fwbuild.machines import MACHINES
from tests.support.small_kernel import pvh_kernel

pytestmark = pytest.mark.qemu

SLEEP_CONTROL = chipset.PM_BASE + chipset.Pm.CONTROL
POWER_OFF = f"mov dx, {SLEEP_CONTROL:#x}; mov ax, {chipset.PM_CONTROL_SLEEP_ENABLE:#x}; out dx, ax"
RESET = "push 0; push 0; lidt [esp]; int3"
PANIC = "mov dx, 0x505; mov al, 1; out dx, al"
HALT = "cli; hlt"
EXIT = "mov dx, 0x501; mov al, 7; out dx, al"
PVPANIC = ("--device", "pvpanic")

# what the kernel does, further arguments: exit code, the line
ENDS: dict[str, tuple[str, tuple[str, ...], ExitCode, str]] = {
    "power-off, pc": (POWER_OFF, ("-M", "pc"), ExitCode.OK, "the guest powered off"),
    "power-off, q35": (POWER_OFF, ("-M", "q35"), ExitCode.OK, "the guest powered off"),
    **{f"reset, {m}": (RESET, ("-M", m), ExitCode.OK, "the guest reset") for m in MACHINES},
    "panic": (PANIC, PVPANIC, ExitCode.PANICKED, "error: the guest panicked"),
    "isa-debug-exit": (EXIT, (), ExitCode.OK,
                       "the guest wrote to isa-debug-exit: 7, so QEMU ended with status 15"),
    "timeout": (HALT, ("--timeout", "2"), ExitCode.TIMEOUT,
                "error: the guest was still running: QEMU was ended after 2 s"),
    "stop": (HALT, ("-m", "1M"), ExitCode.STOPPED, "error: the firmware stopped: "),
}  # fmt: skip


def ran(kernel: Path, source: str, *arguments: str) -> int:
    kernel.write_bytes(pvh_kernel(f"mov esp, 0x104000; {source}; hlt"))
    return main(["run", "--kernel", str(kernel), *arguments])


@pytest.mark.parametrize("name", ENDS)
def test_end(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source, arguments, code, line = ENDS[name]
    if "--timeout" not in arguments:
        arguments = ("--timeout", "60", *arguments)
    assert ran(tmp_path / "kernel", source, *arguments) == code
    assert capfd.readouterr().err.splitlines()[-1].startswith(f"fwbuild: {line}")


def child() -> int:
    """The QEMU that this process has started: its PID."""
    while True:
        for task in Path("/proc/self/task").iterdir():
            for word in (task / "children").read_text().split():
                if b"qemu" in Path(f"/proc/{word}/cmdline").read_bytes():
                    return int(word)
        time.sleep(0.05)


def kill(number: signal.Signals) -> None:
    pid = child()
    time.sleep(1)  # QEMU takes SIGTERM as the user's wish once it runs
    os.kill(pid, number)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed(number: signal.Signals, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    killer = threading.Thread(target=kill, args=[number])
    killer.start()
    assert ran(tmp_path / "kernel", HALT, "--timeout", "60") == ExitCode.QEMU
    killer.join()
    line = capfd.readouterr().err.splitlines()[-1]
    assert line.startswith("fwbuild: error: QEMU was ended by a signal: "), line


HELLO = "mov dx, 0x3f8; mov al, 0x48; out dx, al; mov al, 0x69; out dx, al"  # "Hi"

# what the kernel does, further arguments: exit code, part of the last line
EXPECT: dict[str, tuple[str, tuple[str, ...], int, str]] = {
    "comes": (f"{HELLO}; {HALT}", ("--expect", "^Hi"), ExitCode.OK,
              "the guest printed what was expected: Hi"),
    "does not come": (f"{HELLO}; {EXIT}", ("--expect", "Ho"), ExitCode.UNEXPECTED,
                      "'Ho' did not come: the guest wrote to isa-debug-exit"),
    "does not come in time": (HALT, ("--expect", "Ho", "--timeout", "2"), ExitCode.TIMEOUT,
                              "'Ho' did not come: the guest was still running"),
    "status": (EXIT, ("--guest-status",), 7, "the guest wrote to isa-debug-exit: 7"),
    "status of a power-off": (POWER_OFF, ("--guest-status", "-M", "pc"), 0, "powered off"),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPECT)
def test_expect(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source, arguments, code, line = EXPECT[name]
    more = () if "--timeout" in arguments else ("--timeout", "60")
    assert ran(tmp_path / "kernel", source, *arguments, *more) == code
    said = capfd.readouterr()
    assert line in said.err.splitlines()[-1]
    assert "terminating" not in said.err  # QEMU's word of a signal that is ours
    assert said.out.count("Hi") == source.count(HELLO)


def test_qmp(tmp_path: Path) -> None:
    """The user's monitor is one beside ours."""
    path = tmp_path / "a,b"

    def end_it() -> None:
        with socket.socket(socket.AF_UNIX) as monitor:
            while monitor.connect_ex(str(path)):
                time.sleep(0.05)
            stream = monitor.makefile("rw")
            stream.readline()
            stream.write('{"execute": "qmp_capabilities"}{"execute": "quit"}')
            stream.flush()
            stream.read()

    ender = threading.Thread(target=end_it)
    ender.start()
    arguments = ("--qmp", str(path), "--timeout", "60")
    assert ran(tmp_path / "kernel", HALT, *arguments) == ExitCode.OK
    ender.join()


def test_nothing_is_left_of_the_monitor(tmp_path: Path) -> None:
    path = tmp_path / "monitor"
    assert ran(tmp_path / "kernel", EXIT, "--qmp", str(path), "--timeout", "60") == ExitCode.OK
    assert not path.exists()
