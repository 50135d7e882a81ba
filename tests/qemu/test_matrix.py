"""Every guest of tests/matrix.toml: at the kernel's entry, and in userspace."""

import re
import subprocess
import time
from pathlib import Path

import pytest

from fwbuild.image.build import Image, build_image
from fwbuild.qemu.command import command
from fwbuild.qemu.record import record
from tests.support import debian
from tests.support.agreement import compare
from tests.support.matrix import Stanza, stanzas
from tests.support.offered import need_machine, need_release, need_since
from tests.support.old_ram import JUNK
from tests.support.pci_judge import complaints, unassigned

pytestmark = pytest.mark.qemu

CASES = stanzas()
EACH_VERSION = pytest.mark.versions
AT_ENTRY = [
    pytest.param(name, t, marks=() if case.once == "all" else EACH_VERSION)
    for name, case in CASES.items()
    if case.entry
    for t in case.templates
]
BOOTED = [
    pytest.param(name, t, marks=() if case.once else EACH_VERSION)
    for name, case in CASES.items()
    if case.boot
    for t in case.templates
]
REBOOTED = [name for name, case in CASES.items() if case.reboots]

INIT = """#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
for m in /modules/*; do [ -e $m ] && $B insmod $m; done
echo "cmdline $($B cat /proc/cmdline)"
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
for d in /sys/block/vd*; do [ -e $d ] && echo "disk ${d##*/} $($B cat $d/size)"; done
for d in /sys/class/net/*; do echo "net ${d##*/} $($B cat $d/address)"; done
$B dmesg | $B grep -E "SMBIOS .* present"
echo "userspace is done"
$B grep -q end=reboot /proc/cmdline && $B reboot -f
$B poweroff -f
"""
FORMS = {"vmlinuz": debian.vmlinuz, "vmlinux": debian.vmlinux}
# What Linux says of tables and addresses that it does not want.
TROUBLE = re.compile(
    r"[Ff]irmware [Bb]ug|ACPI.*(Error|Warning)|[Ii]ncorrect checksum|BAR .*fail|can't claim|"
    r"no space for|no compatible bridge window|pci.*(bogus|conflicts? with|not claimed)"
)
HARMLESS = re.compile(
    r"A valid RSDP was not found|"  # acpi=off
    # I/O that it would like behind a hot-plug port: more than there is with 16 of them, and
    # QEMU's DSDT gives an extra root bus none. It says so after SeaBIOS too.
    r"bridge window \[io +size 0x1000\]"
)
ASSIGNED = re.compile(r"BAR \d+: assigned")


def offered(name: str) -> Stanza:
    """A stanza whose guest the QEMU in use has."""
    case = CASES[name]
    need_machine(case.guest())
    need_since(case.since)
    need_release(case.until)
    return case


def sets_up_pci(case: Stanza, image: Image) -> bool:
    """Whether an image gives a guest's PCI functions their addresses."""
    return image.template.values["pci"] == "full" and case.guest().family.config_ports


@pytest.mark.parametrize("name, template", AT_ENTRY)
def test_entry(name: str, template: str, tmp_path: Path, test_kernel: bytes) -> None:
    case, image = offered(name), build_image(template)
    kernel, initrd = tmp_path / "kernel", tmp_path / "initrd"
    kernel.write_bytes(test_kernel)
    initrd.write_bytes(b"initrd" * (case.initrd // 6))
    guest = case.guest(kernel=kernel, initrd=initrd if case.initrd else None, append="a=b")
    ram = JUNK if case.old_ram else 0
    machine = compare(guest, image, tmp_path, registers=case.entry != "apart", ram=ram)
    if sets_up_pci(case, image):
        assert complaints(machine) == []
        assert len(unassigned(machine)) == case.unassigned


@pytest.mark.parametrize("name, template", BOOTED)
def test_boot(name: str, template: str, tmp_path: Path) -> None:
    case, image = offered(name), build_image(template)
    kernel = FORMS[case.form](case.boot)
    disks, nets = case.count("virtio-blk-pci"), case.count("virtio-net-pci")
    modules = debian.cloud_modules() if disks or nets else ()
    initrd = debian.make_initrd(tmp_path, INIT, debian.busybox_for(case.boot), modules)
    append = debian.append(case.guest().family, case.append)
    guest = case.guest(kernel=kernel, initrd=initrd, append=append)
    bios, serial, console = (tmp_path / n for n in ("bios.bin", "serial", "console"))
    bios.write_bytes(image.image)
    argv = [*command(guest, bios=bios, console=console), "-serial", f"file:{serial}"]
    status = subprocess.run(argv, timeout=200, capture_output=True, check=False).returncode
    text = serial.read_text(errors="replace").replace("\r", "")
    assert status == 0, text[-3000:]
    notes = console.read_text().splitlines()
    assert len(notes) == (case.unassigned if sets_up_pci(case, image) else 0), notes
    assert all(note.startswith("fwbuild: no room for PCI ") for note in notes)
    assert "userspace is done" in text, text[-3000:]
    assert f"\ncmdline {append}" in text
    for pattern in case.expect:
        assert re.search(pattern, text, re.MULTILINE), (pattern, text[-3000:])
    assert count(text, r"^pci ()") == len(record(case.guest()).pci)
    assert count(text, r"^disk vd\w [1-9]()") == disks
    assert count(text, r"^net (?!lo)\w+ 52:54:00:()") == nets
    lines = text.splitlines()
    assert [x for x in lines if TROUBLE.search(x) and not HARMLESS.search(x)] == []
    if sets_up_pci(case, image):
        assert [x for x in lines if ASSIGNED.search(x)] == []


def count(text: str, pattern: str) -> int:
    """How many lines begin so."""
    return len(re.findall(pattern, text, re.MULTILINE))


@pytest.mark.parametrize("name", REBOOTED)
def test_reboots(name: str, bios: Path, tmp_path: Path) -> None:
    """Each from a clean start: what the last guest left in RAM, PAM and PCI does not matter."""
    case = offered(name)
    initrd = debian.make_initrd(tmp_path, INIT)
    guest = case.guest(
        kernel=debian.cloud_vmlinux(),
        initrd=initrd,
        append=debian.append(case.guest().family, "quiet end=reboot"),
    )
    serial = tmp_path / "serial"
    argv = [a for a in command(guest, bios=bios) if a != "-no-reboot"]
    argv += ["-serial", f"file:{serial}"]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as qemu:
        try:
            end, text = time.monotonic() + 200, ""
            while text.count("userspace is done") < case.reboots and time.monotonic() < end:
                time.sleep(0.2)
                text = serial.read_text(errors="replace") if serial.exists() else ""
                assert qemu.poll() is None, text[-2000:]
        finally:
            qemu.kill()
    assert text.count("userspace is done") >= case.reboots, text[-2000:]
    facts = set(re.findall(r"^(?:memory|sys_vendor) .*$", text.replace("\r", ""), re.MULTILINE))
    assert len(facts) == (1 if not guest.family.config_ports else 2)
