"""The template that wakes every CPU, on CPUs for which QEMU wants IA32_FEATURE_CONTROL set.

QEMU's file asks for it where the CPU has VMX, SGX or LMCE. TCG offers the last alone, and keeps
nothing in this MSR, so what is looked at is each CPU's WRMSR and not the MSR.
"""

import re
import subprocess
from pathlib import Path

import pytest

from fwbuild import protocols
from fwbuild.abi import x86
from fwbuild.firmware import file_names
from fwbuild.firmware.layout import ROM
from fwbuild.guest import Guest
from fwbuild.image.build import build_image
from fwbuild.machines import MACHINES
from fwbuild.qemu.command import command
from fwbuild.qemu.gdbstub import GdbStub
from fwbuild.qemu.record import record
from fwbuild.qemu.session import stopped
from fwbuild.verbs.run import TEST_PASSED

pytestmark = pytest.mark.qemu

WRMSR = b"\x0f\x30"
CPUS = 3


def stop(stub: GdbStub) -> tuple[str, list[int]]:
    """Run to a breakpoint: which CPU stopped there, its RAX, RBX, RCX and RDX."""
    reply = stub.command("c")
    thread = re.match(r"T05thread:(\w+);", reply)
    assert thread, reply
    registers = bytes.fromhex(stub.command("g")[: 4 * 16])
    return thread[1], [int.from_bytes(registers[i : i + 8], "little") for i in range(0, 32, 8)]


def test_feature_control(tmp_path: Path, test_kernel: bytes) -> None:
    image = build_image("all-cpus")
    bios, kernel = tmp_path / "bios.bin", tmp_path / "kernel"
    bios.write_bytes(image.image)
    kernel.write_bytes(test_kernel)
    guest = Guest("q35", smp=CPUS, kernel=kernel, extra=("-cpu", "max,lmce=on"))
    found = record(guest)
    wanted = found.file(file_names.FEATURE_CONTROL)
    loaded = protocols.load(guest, found)
    assert wanted and loaded
    value = int.from_bytes(wanted.data, "little")
    routine = image.linked.addresses["feature_control_set"]
    write = routine + image.image[routine - ROM.base :].index(WRMSR)
    seen = []
    with stopped(command(guest, bios=bios), "-gdb", 60) as connection:
        stub = GdbStub(connection)
        for _ in range(CPUS):
            stub.set_breakpoint(write)
            cpu, (eax, _, ecx, edx) = stop(stub)
            seen.append(cpu)
            assert (ecx, edx << 32 | eax) == (x86.Msr.FEATURE_CONTROL, value)
            stub.clear_breakpoint(write)
            stub.set_breakpoint(write + len(WRMSR))
            assert stop(stub)[0] == cpu
            stub.clear_breakpoint(write + len(WRMSR))
        assert len(set(seen)) == CPUS
        stub.run_to(loaded.entry)


ONE_THREAD = {
    "single": ("-accel", "tcg,thread=single"),
    "icount": ("-icount", "shift=auto"),
}


@pytest.mark.parametrize("extra", ONE_THREAD.values(), ids=ONE_THREAD)
@pytest.mark.parametrize("machine", MACHINES)
def test_one_host_thread_runs_all_cpus(
    machine: str, extra: tuple[str, ...], tmp_path: Path, test_kernel: bytes
) -> None:
    bios, kernel = tmp_path / "bios.bin", tmp_path / "kernel"
    bios.write_bytes(build_image("all-cpus").image)
    kernel.write_bytes(test_kernel)
    guest = Guest(machine, smp=8, kernel=kernel, extra=extra)
    done = subprocess.run(command(guest, bios=bios), timeout=60, check=False)
    assert done.returncode == TEST_PASSED
