"""Every guest of tests/matrix.toml: at the kernel's entry, and in userspace."""

import re
import subprocess
import time
from pathlib import Path

import pytest

from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.qemu.command import command
from tests.support import debian
from tests.support.agreement import compare
from tests.support.matrix import stanzas

pytestmark = pytest.mark.qemu

CASES = stanzas()
AT_ENTRY = [name for name, case in CASES.items() if case.entry]
BOOTED = [name for name, case in CASES.items() if case.boot]

INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
B=/bin/busybox
echo "cpus $($B grep -c ^processor /proc/cpuinfo)"
echo "memory $($B awk '/MemTotal/ {print $2}' /proc/meminfo)"
echo "nodes $($B ls -d /sys/devices/system/node/node* | $B wc -l)"
for f in sys_vendor product_name product_version bios_vendor bios_version; do
    [ -f /sys/class/dmi/id/$f ] && echo "$f $($B cat /sys/class/dmi/id/$f)"
done
for d in /sys/bus/platform/devices/LNRO*; do [ -e $d ] && echo "mmio ${d##*/}"; done
for d in /sys/bus/pci/devices/*; do
    [ -e $d ] && echo "pci ${d##*/} $($B cat $d/vendor) $($B cat $d/device)"
done
$B dmesg | $B grep -E "SMBIOS .* present"
$B dmesg | $B grep -E "[Ff]irmware [Bb]ug|ACPI.*(Error|Warning)|[Ii]ncorrect checksum|BAR .*fail"
echo "userspace is done"
$B grep -q end=reboot /proc/cmdline && $B reboot -f
$B poweroff -f
"""
KERNELS = {"cloud": "linux-image-cloud-amd64", "generic": "linux-image-amd64"}
# What a kernel says of these guests under any firmware.
HARMLESS = ("A valid RSDP was not found",)  # acpi=off


@pytest.mark.parametrize("name", AT_ENTRY)
def test_entry(name: str, image: Image, tmp_path: Path, test_kernel: bytes) -> None:
    case = CASES[name]
    kernel, initrd = tmp_path / "kernel", tmp_path / "initrd"
    kernel.write_bytes(test_kernel)
    initrd.write_bytes(b"initrd" * (case.initrd // 6))
    guest = case.guest(kernel=kernel, initrd=initrd if case.initrd else None, append="a=b")
    compare(guest, image, tmp_path, registers=case.entry != "apart")


@pytest.mark.parametrize("name", BOOTED)
def test_boot(name: str, image: Image, tmp_path: Path) -> None:
    case = CASES[name]
    kernel = debian.vmlinux_of(debian.package_file(KERNELS[case.boot], "boot/vmlinuz-*"))
    initrd = debian.make_initrd(tmp_path, INIT)
    append = f"console=ttyS0 reboot=t panic=-1 {case.append}"
    guest = case.guest(kernel=kernel, initrd=initrd, append=append)
    bios, serial = tmp_path / "bios.bin", tmp_path / "serial"
    bios.write_bytes(image.image)
    # without -icount a kernel of one CPU often finds its clock unstable under TCG
    icount = ["-icount", "shift=auto"] if guest.smp == 1 else []
    argv = [*command(guest, bios=bios), *icount, "-serial", f"file:{serial}"]
    status = subprocess.run(argv, timeout=200, capture_output=True, check=False).returncode
    text = serial.read_text(errors="replace").replace("\r", "")
    assert status == 0, text[-3000:]
    assert "userspace is done" in text, text[-3000:]
    for pattern in case.expect:
        assert re.search(pattern, text, re.MULTILINE), (pattern, text[-3000:])
    said = text[text.index("\ncpus ") : text.index("userspace is done")]
    problems = [line for line in said.splitlines() if re.search(r"[Bb]ug|ACPI|checksum|BAR", line)]
    assert [p for p in problems if not any(h in p for h in HARMLESS)] == []


REBOOTS = 5


@pytest.mark.parametrize("machine", ["microvm", "pc", "q35"])
def test_reboots(machine: str, image: Image, tmp_path: Path) -> None:
    """Each from a clean start: what the last guest left in RAM, PAM and PCI does not matter."""
    initrd = debian.make_initrd(tmp_path, INIT)
    guest = Guest(machine, kernel=debian.cloud_vmlinux(), initrd=initrd,
                  append="console=ttyS0 reboot=t panic=-1 quiet end=reboot",
                  extra=("-icount", "shift=auto"))  # fmt: skip
    bios, serial = tmp_path / "bios.bin", tmp_path / "serial"
    bios.write_bytes(image.image)
    argv = [a for a in command(guest, bios=bios) if a != "-no-reboot"]
    with subprocess.Popen([*argv, "-serial", f"file:{serial}"], stderr=subprocess.DEVNULL) as qemu:
        try:
            end, text = time.monotonic() + 200, ""
            while text.count("userspace is done") < REBOOTS and time.monotonic() < end:
                time.sleep(0.2)
                text = serial.read_text(errors="replace") if serial.exists() else ""
                assert qemu.poll() is None, text[-2000:]
        finally:
            qemu.kill()
    assert text.count("userspace is done") >= REBOOTS, text[-2000:]
    facts = set(re.findall(r"^(?:memory|sys_vendor) .*$", text.replace("\r", ""), re.MULTILINE))
    assert len(facts) == (1 if machine == "microvm" else 2)
