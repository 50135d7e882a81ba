"""Real QEMU: payloads that call the BIOS. Xen (Multiboot) and iPXE (an old bzImage), and the
test kernel in both forms."""

from pathlib import Path

import pytest

from fwbuild.abi import ports
from fwbuild.firmware import stop_codes
from fwbuild.guest import Guest
from fwbuild.machines import MACHINES
from fwbuild.payloads.test_kernel import build_test_bzimage16, build_test_multiboot
from fwbuild.sizes import MIB
from tests.support import debian
from tests.support.bios_report import ANSWERS, e801_of, ranges_of, reported
from tests.support.boot import boot, serial_until
from tests.support.kvm import need_accel
from tests.support.low_memory import BUILD
from tests.support.low_memory import CASES as LOW_MEMORY
from tests.support.offered import need_machine

pytestmark = [pytest.mark.qemu, pytest.mark.versions]

ACCELS = ["tcg", pytest.param("kvm", marks=pytest.mark.kvm)]


@pytest.mark.parametrize("accel", ACCELS)
@pytest.mark.parametrize("name", [*MACHINES, "pc-i440fx-2.4", "microvm,acpi=off"])
def test_multiboot(name: str, accel: str, tmp_path: Path) -> None:
    need_accel(accel)
    kernel, module = tmp_path / "kernel", tmp_path / "module"
    kernel.write_bytes(build_test_multiboot())
    module.write_bytes(bytes(5000))
    guest = Guest(
        name,
        128 * MIB,
        kernel=kernel,
        append="from QEMU",
        accel=accel,
        initrd=Path(f"{module} its words,{module}"),
    )
    need_machine(guest)
    status, serial, console = boot(guest, tmp_path)
    assert status == ports.debug_exit_status(1), console
    assert f"cmdline {kernel} from QEMU\n" in console
    assert f" {module} its words\n" in console
    assert console.count("\nmodule ") == 2
    assert serial == console


@pytest.mark.parametrize("base", [0x500, 0x8000])
@pytest.mark.parametrize("name", MACHINES)
def test_multiboot_below_1_mib(name: str, base: int, tmp_path: Path) -> None:
    """At 0x8000 as kvm-unit-tests' realmode."""
    kernel = tmp_path / "kernel"
    kernel.write_bytes(build_test_multiboot(base=base))
    status, _, console = boot(Guest(name, kernel=kernel, append="low"), tmp_path)
    assert status == ports.debug_exit_status(1), console
    assert f"cmdline {kernel} low\n" in console


@pytest.mark.parametrize("kernel, protocol", LOW_MEMORY)
@pytest.mark.parametrize("name", MACHINES)
def test_low_memory(name: str, kernel: str, protocol: str, tmp_path: Path) -> None:
    """Kernels that use memory below 1 MiB before they have read all that they were handed."""
    initrd = tmp_path / "initrd"
    initrd.write_bytes(bytes(5000))
    reports = []
    for spoils in ("", kernel):
        file = tmp_path / "kernel"
        file.write_bytes(BUILD[protocol](spoils=spoils))
        guest = Guest(name, kernel=file, initrd=initrd, append="a b")
        status, _, console = boot(guest, tmp_path)
        assert status == ports.debug_exit_status(1), console
        reports.append(console)
    assert reports[0] == reports[1]


@pytest.mark.parametrize("accel", ACCELS)
@pytest.mark.parametrize("name", MACHINES)
def test_bios_calls(name: str, accel: str, tmp_path: Path) -> None:
    """The answers that the emulated machine gives, and a timer that ticks."""
    need_accel(accel)
    kernel = tmp_path / "kernel"
    kernel.write_bytes(build_test_bzimage16())
    guest = Guest(name, 512 * MIB, kernel=kernel, append="hello", accel=accel)
    status, serial, console = boot(guest, tmp_path)
    found = reported(console)
    assert {label: found[label][0] for label in ANSWERS} == ANSWERS
    assert found["e801"] == [e801_of(ranges_of(found))]
    assert status == ports.debug_exit_status(stop_codes.BY_NAME["GAVE_UP"].code)
    assert serial == console


@pytest.mark.parametrize("name", MACHINES)
def test_xen(name: str, tmp_path: Path) -> None:
    """Xen goes to real mode and back, and takes INT 15h's memory map."""
    guest = Guest(
        name,
        256 * MIB,
        kernel=debian.xen(),
        initrd=debian.cloud_vmlinuz(),
        append="com1=115200 console=com1 loglvl=all",
    )
    log = serial_until(guest, tmp_path, "load tracking window", 60)
    for line in (
        "(XEN) Bootloader: qemu",
        "(XEN) Command line: com1=115200 console=com1",
        "(XEN) Xen-e820 RAM map:",
        "[0000000000000000, 000000000009ebff] (usable)",
        "(XEN) System RAM: 255MB",
        "(XEN) Using scheduler",
    ):
        assert line in log, log[-3000:]


@pytest.mark.parametrize("name", MACHINES)
def test_ipxe(name: str, tmp_path: Path) -> None:
    """iPXE gets its features out, waits by the timer's ticks, and gives up without a network."""
    kernel = debian.package_file("ipxe", "boot/ipxe.lkrn")
    status, serial, console = boot(Guest(name, 256 * MIB, kernel=kernel), tmp_path)
    assert "Features: DNS HTTP iSCSI" in serial
    stop = stop_codes.BY_NAME["GAVE_UP"]
    assert status == ports.debug_exit_status(stop.code)
    assert console.endswith(f"fwbuild: {stop.code:02x} {stop.what} 00000000\n")
