"""Guests in a RAM file on a real QEMU: the same state as emulated, Linux, a reset, share=on."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from fwbuild.abi import ports
from fwbuild.bake.plan import plan
from fwbuild.bake.read import bake
from fwbuild.bake.write import BIOS_FILE, QEMU_FILE, write
from fwbuild.cli import main
from fwbuild.errors import ExitCode
from fwbuild.firmware import stop_codes
from fwbuild.guest import RAM_FILE, Guest
from fwbuild.image.build import Image, build_image
from fwbuild.machines import MACHINES
from fwbuild.qemu.program import program
from fwbuild.sizes import GIB, MIB
from tests.support import debian
from tests.support.booted import booted
from tests.support.debian import make_initrd

pytestmark = pytest.mark.qemu
INIT = """#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
for m in /modules/*; do $B insmod $m; done
echo "cmdline $($B cat /proc/cmdline)"
echo "cpus $($B grep -c ^processor /proc/cpuinfo)"
echo "memory $($B awk '/MemTotal/ {print $2}' /proc/meminfo)"
for d in /sys/block/vd* /sys/class/net/eth*; do echo "device ${d##*/}"; done
echo "userspace is done"
$B reboot -f
"""


def image(machine: str) -> Image:
    return build_image("baked", machines=[Guest(machine).family.name])


def start(
    folder: Path, *more: str, debug_exit: bool = True, shared: bool = False
) -> subprocess.CompletedProcess[str]:
    """QEMU with the options in a folder; text is from the serial port. `debug_exit` is whether it
    has isa-debug-exit, `shared` whether it may change the RAM file."""
    words = json.loads((folder / QEMU_FILE).read_text())["options"]
    at = words.index("-object") + 1
    parts = dict(part.partition("=")[::2] for part in words[at].split(","))
    parts |= {"share": "on", "readonly": "off"} if shared else {}
    words[at] = ",".join(f"{k}={v}" if v else k for k, v in parts.items())
    argv = [program().path, *words, "-display", "none", "-nodefaults", "-serial", "stdio", *more]
    argv += ["-device", "isa-debug-exit"] if debug_exit else []
    return subprocess.run(
        argv, cwd=folder, capture_output=True, text=True, errors="replace", timeout=150, check=False
    )


@pytest.mark.versions
@pytest.mark.parametrize("name", MACHINES)
def test_memory_of_no_whole_pages(name: str, tmp_path: Path, test_kernel: bytes) -> None:
    """QEMU makes whole pages of it."""
    (tmp_path / "kernel").write_bytes(test_kernel)
    words = ["bake", "--kernel", str(tmp_path / "kernel"), "-M", name, "-m", "100001K"]
    assert main([*words, "--out", str(tmp_path / "baked")]) == ExitCode.OK
    assert start(tmp_path / "baked").returncode == ports.debug_exit_status(1)


@pytest.mark.versions
@pytest.mark.parametrize(("memory", "smp"), [(512 * MIB, 1), (6 * GIB, 2)])
@pytest.mark.parametrize("name", MACHINES)
def test_same_state(name: str, memory: int, smp: int, tmp_path: Path, test_kernel: bytes) -> None:
    """Memory above 4 GiB lies in the file right after that below."""
    kernel, initrd = tmp_path / "kernel", tmp_path / "initrd"
    kernel.write_bytes(test_kernel)
    initrd.write_bytes(bytes(range(256)) * 16)
    guest = Guest(name, memory, smp, kernel, initrd, "a=b,c d")
    guest = bake(guest, tmp_path / "baked")
    with booted(replace(guest, append="more"), image(name), tmp_path) as pair:
        pair.agree()


@pytest.mark.versions
@pytest.mark.parametrize(
    ("name", "memory"), [("microvm,pcie=on", 512 * MIB), ("pc", 6 * GIB), ("q35", 6 * GIB)]
)
def test_linux(name: str, memory: int, tmp_path: Path) -> None:
    """A kernel with CPUs, a disk and a network; and its reboot, which finds the kernel used."""
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(MIB))
    family = Guest(name).family
    devices = ["-drive", f"id=d,file={disk},format=raw,if=none", "-netdev", "user,id=n"]
    devices += ["-device", "virtio-blk-pci,drive=d", "-device", "virtio-net-pci,netdev=n"]
    initrd = make_initrd(tmp_path, INIT, debian.busybox_for("cloud"), debian.cloud_modules())
    append = debian.append(family)
    kernel = debian.cloud_vmlinuz()  # the vmlinux inside is what is baked
    bake(Guest(name, memory, kernel=kernel, initrd=initrd, append=append), tmp_path / "baked")
    done = start(tmp_path / "baked", "-smp", "2", *devices)
    text = done.stdout.replace("\r", "")
    assert f"\ncmdline {append}\n" in text, text[-3000:] + done.stderr
    assert "\ncpus 2\n" in text
    total = int(text.partition("\nmemory ")[2].split()[0])
    assert 0.9 < total * 1024 / memory < 1
    assert "\ndevice vda\ndevice eth0\n" in text
    assert "\nuserspace is done\n" in text
    stop = stop_codes.BY_NAME["RECORD_SPENT"]
    assert text.endswith(f"fwbuild: {stop.code:02x} {stop.what} {0x656E6F64:08x}\n")
    assert done.returncode == ports.debug_exit_status(stop.code)


@pytest.mark.versions
def test_three_guests_of_one_file(tmp_path: Path, test_kernel: bytes) -> None:
    """They run at once, from a folder that has moved, and leave no trace in it."""
    kernel = tmp_path / "kernel"
    kernel.write_bytes(test_kernel)
    bake(Guest("pc", 64 * MIB, kernel=kernel), tmp_path / "baked")
    folder = (tmp_path / "baked").rename(tmp_path / "a, moved one")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with ThreadPoolExecutor(3) as pool:
        ends = list(pool.map(start, [folder] * 3))
    assert [end.returncode for end in ends] == [ports.debug_exit_status(1)] * 3
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_file_that_was_shared(tmp_path: Path, test_kernel: bytes) -> None:
    """share=on lets the first guest change the file: the second is refused."""
    kernel = tmp_path / "kernel"
    kernel.write_bytes(test_kernel)
    bake(Guest("pc", kernel=kernel), tmp_path / "baked")
    before = (tmp_path / "baked" / RAM_FILE).read_bytes()
    assert start(tmp_path / "baked").returncode == ports.debug_exit_status(1)
    assert (tmp_path / "baked" / RAM_FILE).read_bytes() == before
    assert start(tmp_path / "baked", shared=True).returncode == ports.debug_exit_status(1)
    stop = stop_codes.BY_NAME["RECORD_SPENT"]
    assert start(tmp_path / "baked").returncode == ports.debug_exit_status(stop.code)


def test_a_stop_that_ends_qemu(tmp_path: Path, test_kernel: bytes) -> None:
    """By the options alone, where the firmware stops by a reset: once, not for ever."""
    kernel, folder = tmp_path / "kernel", tmp_path / "baked"
    kernel.write_bytes(test_kernel)
    firmware = build_image("baked", machines=["pc"], stop="reset")
    write(plan(Guest("pc", kernel=kernel)), firmware, folder)
    assert start(folder, shared=True).returncode == ports.debug_exit_status(1)
    done = start(folder, debug_exit=False)
    assert done.returncode == 0
    assert done.stdout.count(stop_codes.BY_NAME["RECORD_SPENT"].what) == 1


@pytest.mark.parametrize(("baked", "other"), [("pc", "q35"), ("q35", "pc"), ("microvm", "pc")])
def test_another_machine(baked: str, other: str, tmp_path: Path, test_kernel: bytes) -> None:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(test_kernel)
    bake(Guest(baked, kernel=kernel), tmp_path / "baked")
    done = start(tmp_path / "baked", "-M", f"{other},memory-backend=ram")
    stop = stop_codes.BY_NAME["MACHINE"]
    assert done.returncode == ports.debug_exit_status(stop.code), done.stdout


def test_another_image_finds_no_kernel(tmp_path: Path, test_kernel: bytes) -> None:
    """The universal image looks for no record: it says that there is no kernel."""
    kernel = tmp_path / "kernel"
    kernel.write_bytes(test_kernel)
    bake(Guest("pc", kernel=kernel), tmp_path / "baked")
    (tmp_path / "baked" / BIOS_FILE).write_bytes(build_image().image)
    done = start(tmp_path / "baked")
    assert done.returncode == ports.debug_exit_status(stop_codes.BY_NAME["NO_KERNEL"].code)
