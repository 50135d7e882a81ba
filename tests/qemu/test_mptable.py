"""The APIC IDs of an MP table: those that QEMU gives the same guest's CPUs in its ACPI tables."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fwbuild import protocols
from fwbuild.abi.mptable import Entry
from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.protocols.tables.mp import read_mptable
from fwbuild.qemu.entry import at_entry
from fwbuild.qemu.record import record
from tests.support.offered import need_release

pytestmark = pytest.mark.qemu

# Machine, -smp, and the CPU where it matters: Intel's have CPUID leaf 1FH where there are dies,
# the default's and AMD's last is 0BH, empty in old machine types; core2duo and qemu32 have neither
# without dies.
CASES = [
    ("microvm", "1", "qemu64"),
    ("microvm", "6,sockets=2,cores=3", "qemu64"),
    ("pc", "4", "qemu64"),
    ("pc", "6,sockets=1,cores=3,threads=2", "qemu64"),
    ("pc", "5,maxcpus=12,sockets=2,cores=3,threads=2", "qemu64"),
    ("pc", "12,sockets=2,dies=2,cores=3", "Skylake-Server"),
    ("q35", "6,sockets=2,cores=3", "qemu64"),
    ("q35", "6,sockets=2,cores=3", "qemu64,cpuid-0xb=off"),
    ("q35", "6,sockets=2,cores=3", "core2duo"),
    ("q35", "6,sockets=2,cores=3", "qemu32"),
    ("q35", "12,sockets=2,cores=3,threads=2", "qemu64"),
    ("q35", "8,sockets=2,dies=2,cores=2", "qemu64"),
    ("q35", "12,sockets=2,dies=2,cores=3", "EPYC"),
    ("q35", "12,sockets=2,dies=2,cores=3", "core2duo"),
    ("q35", "24,sockets=2,dies=3,cores=2,threads=2", "Skylake-Server"),
    ("q35", "6,dies=3,cores=1,threads=2", "qemu64"),
    ("q35", "120,sockets=24,cores=5", "qemu64"),
]
# Later QEMUs round a socket's or a die's CPUs up to a power of two in leaves 1 and 4.
UNKNOWN_CORES = {
    ("6,sockets=2,cores=3", "core2duo"),
    ("6,sockets=2,cores=3", "qemu32"),
    ("12,sockets=2,dies=2,cores=3", "EPYC"),
}
HEADER = 44  # bytes before the entries of a MADT (ACPI 6.5, 5.2.12)
LOCAL_APIC, ENABLED = 0, 1


def madt_ids(tables: bytes) -> Iterator[int]:
    """The APIC IDs of the CPUs that are there."""
    start = tables.index(b"APIC")
    madt = tables[start : start + int.from_bytes(tables[start + 4 : start + 8], "little")]
    at = HEADER
    while at < len(madt):
        if madt[at] == LOCAL_APIC and madt[at + 4] & ENABLED:
            yield madt[at + 3]
        at += madt[at + 1]


def apic_ids(
    guest: Guest, image: Image, folder: Path, kernel: bytes
) -> tuple[list[int], list[int]]:
    """Those of the MP table that a guest without ACPI has, and of the MADT that it would have."""
    bios, path = folder / "bios.bin", folder / "kernel"
    bios.write_bytes(image.image)
    path.write_bytes(kernel)
    tables = record(guest).file("etc/acpi/tables")
    assert tables
    guest = Guest(f"{guest.machine},acpi=off", kernel=path, extra=guest.extra)
    loaded = protocols.load(guest, record(guest))
    assert loaded
    with at_entry(guest, bios, loaded.entry) as stub:
        found = read_mptable(stub.read)
    assert found
    ids = [processor.apic_id for processor in found.of(Entry.PROCESSOR)]
    return ids, list(madt_ids(tables.data))


@pytest.mark.parametrize("machine, smp, cpu", CASES)
def test_apic_ids(
    machine: str, smp: str, cpu: str, image: Image, tmp_path: Path, test_kernel: bytes
) -> None:
    if (smp, cpu) in UNKNOWN_CORES:
        need_release("9.2", "this CPU's CPUID does not tell how many of its cores are there")
    guest = Guest(machine, extra=("-smp", smp, "-cpu", cpu))
    ours, theirs = apic_ids(guest, image, tmp_path, test_kernel)
    assert ours == theirs
    assert len(ours) == int(smp.partition(",")[0])


@pytest.mark.parametrize("dies", [3, 4])
def test_unknown_dies(dies: int, image: Image, tmp_path: Path, test_kernel: bytes) -> None:
    """CPUID tells these two apart on Intel's CPUs alone, and on all of later QEMUs; what is
    listed is there."""
    guest = Guest("q35", extra=("-smp", f"{4 * dies},sockets=2,dies={dies},cores=2"))
    ours, theirs = apic_ids(guest, image, tmp_path, test_kernel)
    assert ours in (theirs[:6], theirs)
