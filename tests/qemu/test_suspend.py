"""A guest that suspends to RAM goes on where it was: memory, disk, CPUs."""

import re
import socket
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from keystone import KS_MODE_16

from fwbuild.abi import acpi, chipset, ports
from fwbuild.bake.read import bake
from fwbuild.bake.write import BIOS_FILE
from fwbuild.cli import main
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.firmware import stop_codes
from fwbuild.guest import Guest
from fwbuild.payloads.test_kernel import build_bzimage
from fwbuild.qemu.command import command
from fwbuild.qemu.session import started, stub_arguments
from fwbuild.sizes import MIB
from tests.support import debian, qmp
from tests.support.kvm import need_accel
from tests.support.small_kernel import assembled
from tests.support.vmlinux64 import without_note

pytestmark = pytest.mark.qemu

PM_CONTROL = chipset.PM_BASE + chipset.Pm.CONTROL
SLEEP_TYPE_S3 = 1 << 10  # QEMU hw/acpi/core.c acpi_pm1_cnt_write()
TIMES = 3
SECONDS = 240
# A random mark in memory, and random data on their way to a disk while the guest falls asleep.
INIT = """#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
$B mount -t devtmpfs dev /dev
for m in /modules/*; do [ -e $m ] && $B insmod $m; done
$B mkdir -p /tmp; $B mount -t tmpfs tmpfs /tmp
$B dd if=/dev/urandom of=/tmp/mark bs=1M count=4 2>/dev/null
sum=$($B sha256sum < /tmp/mark)
echo "mark $sum"
for n in $($B seq {times}); do
    $B dd if=/dev/urandom of=/tmp/data bs=1M count=16 2>/dev/null
    $B dd if=/tmp/data of=/dev/vda bs=4k 2>/dev/null &
    writer=$!
    echo "sleeps $n"
    echo mem > /sys/power/state
    echo "awake $n"
    wait $writer
    $B sync
    echo 3 > /proc/sys/vm/drop_caches
    [ "$sum" = "$($B sha256sum < /tmp/mark)" ] && echo "memory $n is whole"
    $B dd if=/dev/vda bs=1M count=16 2>/dev/null | $B cmp - /tmp/data && echo "disk $n is whole"
    echo "cpus $($B grep -c ^processor /proc/cpuinfo)"
done
$B dmesg | $B grep -E "BUG|WARNING|Oops|hardware signature|[Ff]irmware [Bb]ug"
echo "userspace is done"
$B poweroff -f
"""

# With S3 the states are "s2idle [deep]".
STATES = """#!/bin/busybox sh
B=/bin/busybox
$B mount -t sysfs sys /sys
echo "sleeps: $($B cat /sys/power/mem_sleep)"
$B poweroff -f
"""


MACHINES = ("pc", "q35")  # microvm offers no S3


def sleeper(folder: Path, machine: str, smp: int, kernel: Path) -> Guest:
    """A guest that suspends; `folder` is a scratch folder."""
    disk = folder / "disk"
    disk.write_bytes(bytes(32 * MIB))
    script = INIT.format(times=TIMES)
    drive = ("-drive", f"if=none,id=d,format=raw,file={disk}", "-device", "virtio-blk-pci,drive=d")
    return Guest(
        machine,
        smp=smp,
        kernel=kernel,
        initrd=debian.make_initrd(folder, script, modules=debian.cloud_modules()),
        append=debian.append(Guest(machine).family, "no_console_suspend"),
        extra=drive,
    )


@pytest.mark.parametrize(
    ("machine", "smp", "way"),
    [(machine, smp, "-kernel") for machine in MACHINES for smp in (1, 2)]
    + [
        pytest.param(machine, 2, way, marks=pytest.mark.long)
        for machine in MACHINES
        for way in ("baked", "loaded by the firmware")
    ],
)
def test_suspend(machine: str, smp: int, way: str, bios: Path, tmp_path: Path) -> None:
    """A vmlinux wakes where QEMU does not load it again."""
    serial = tmp_path / "serial"
    guest = sleeper(tmp_path, machine, smp, debian.cloud_vmlinuz())
    if way == "baked":
        folder = tmp_path / "baked"
        guest, bios = bake(guest, folder), folder / BIOS_FILE
    elif way != "-kernel":
        kernel = tmp_path / "vmlinux"
        kernel.write_bytes(without_note(debian.cloud_vmlinux().read_bytes()))
        guest = replace(guest, kernel=kernel, firmware_loads=True)
    argv = [*command(guest, bios=bios), "-serial", f"file:{serial}"]
    with qmp.started(argv, SECONDS) as monitor:
        monitor.execute("cont")
        for _ in range(TIMES):
            event = monitor.wait("SUSPEND", "RESET", "SHUTDOWN")
            assert event["event"] == "SUSPEND", (event, serial.read_text(errors="replace")[-3000:])
            monitor.execute("system_wakeup")
            monitor.wait("WAKEUP")
        event = monitor.wait("SUSPEND", "RESET", "SHUTDOWN")
        assert event["event"] == "SHUTDOWN", (event, serial.read_text(errors="replace")[-3000:])
    text = serial.read_text(errors="replace").replace("\r", "")
    assert len(re.findall(r"^mark ", text, re.MULTILINE)) == 1, text[-3000:]
    for n in range(1, TIMES + 1):
        for line in (f"awake {n}", f"memory {n} is whole", f"disk {n} is whole"):
            assert f"\n{line}\n" in text, text[-3000:]
    assert text.count(f"\ncpus {smp}\n") == TIMES
    assert "userspace is done" in text


# A bzImage that finds the FACS, sets its waking vector and sleeps. Awake, in real mode, it tells
# isa-debug-exit whether ACPI is on.
AWAKE = 0x8000
WOKEN = assembled(
    f"""
    mov dx, {PM_CONTROL:#x}
    in al, dx
    and al, {chipset.PM_CONTROL_SCI_ENABLE}
    or al, 0x10
    mov dx, {ports.DEBUG_EXIT:#x}
    out dx, al
    hlt
    """,
    KS_MODE_16,
)
ASLEEP = f"""
    mov esp, 0x103f00
    mov esi, dword ptr [esi + 0x70]
    mov esi, dword ptr [esi + 16]
table:
    add esi, 4
    mov edx, dword ptr [esi + 32]
    cmp dword ptr [edx], {acpi.FADT_SIGNATURE:#x}
    jnz table
    mov edx, dword ptr [edx + 36]
    mov dword ptr [edx + 12], {AWAKE:#x}
    call past
    .byte {", ".join(f"{byte:#x}" for byte in WOKEN)}
past:
    pop esi
    mov edi, {AWAKE:#x}
    mov ecx, 64
    rep movsb
    mov dx, {PM_CONTROL:#x}
    mov ax, {chipset.PM_CONTROL_SLEEP_ENABLE | SLEEP_TYPE_S3:#x}
    out dx, ax
wait:
    hlt
    jmp wait
"""


@pytest.mark.parametrize("accel", ["tcg", pytest.param("kvm", marks=pytest.mark.kvm)])
@pytest.mark.parametrize("machine", MACHINES)
def test_the_waking_vector(machine: str, accel: str, bios: Path, tmp_path: Path) -> None:
    need_accel(accel)
    kernel = tmp_path / "kernel"
    kernel.write_bytes(build_bzimage(assembled(ASLEEP)))
    argv = command(Guest(machine, kernel=kernel, accel=accel), bios=bios)
    ours, theirs = socket.socketpair()
    with ours, started([*argv, *stub_arguments(theirs, "-qmp")], [theirs]) as session:
        ours.settimeout(30)
        monitor = qmp.Qmp(ours)
        monitor.execute("cont")
        monitor.wait("SUSPEND")
        with suppress(ConnectionError):  # it may have ended before it replies
            monitor.execute("system_wakeup")
        status = session.process.wait(30)
    assert status == ports.debug_exit_status(0x10 | chipset.PM_CONTROL_SCI_ENABLE)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_vmlinux_cannot_wake(machine: str, bios: Path, tmp_path: Path) -> None:
    """QEMU loads its segments again at each reset: the firmware says so, and how to avoid it."""
    console = tmp_path / "console"
    guest = sleeper(tmp_path, machine, 1, debian.cloud_vmlinux())
    stop = stop_codes.BY_NAME["WAKE_VMLINUX"]
    with (
        pytest.raises(FwbuildError, match=re.escape(stop.what)) as caught,
        qmp.started(command(guest, bios=bios, console=console), SECONDS) as monitor,
    ):
        monitor.execute("cont")
        monitor.wait("SUSPEND")
        monitor.execute("system_wakeup")
        monitor.wait("SHUTDOWN", "RESET")
        raise OSError("QEMU goes on")
    assert caught.value.code == ExitCode.STOPPED
    assert console.read_text() == f"fwbuild: {stop.code:02x} {stop.what} 00000000\n"


@pytest.mark.parametrize(
    ("form", "states"), [("vmlinux", "[s2idle]"), ("vmlinuz", "s2idle [deep]")]
)
@pytest.mark.parametrize("machine", MACHINES)
def test_run_takes_s3_from_a_vmlinux(
    machine: str, form: str, states: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """`fwbuild run` offers S3 to a kernel that can wake, and to no other."""
    kernel = debian.cloud_vmlinux() if form == "vmlinux" else debian.cloud_vmlinuz()
    arguments = ["run", "-M", machine, "--kernel", str(kernel), "--append", "console=ttyS0"]
    arguments += ["--initrd", str(debian.make_initrd(tmp_path, STATES)), "--no-pvh"]
    assert main([*arguments, "--timeout", str(SECONDS)]) == ExitCode.OK
    assert f"sleeps: {states}" in capfd.readouterr().out
