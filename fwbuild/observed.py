"""Runs any firmware image in a real QEMU up to the kernel's entry."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from fwbuild import protocols
from fwbuild.emulator.loaded import Loaded
from fwbuild.emulator.recording import Recording
from fwbuild.emulator.state import State
from fwbuild.firmware import file_names
from fwbuild.guest import Guest
from fwbuild.image.identity import read_identity
from fwbuild.payloads.test_kernel import with_test_kernel
from fwbuild.protocols.bzimage import ENTRY_16
from fwbuild.qemu.configured import MonitorPorts, headers
from fwbuild.qemu.entry import at_entry, state_at_entry
from fwbuild.qemu.gdbstub import GdbStub
from fwbuild.qemu.record import record


@contextmanager
def observed(guest: Guest, image: bytes) -> Iterator[State]:
    """QEMU's state at the kernel's entry, read while the block runs. Without a kernel the guest
    gets the test kernel. Raises FwbuildError where the firmware stops or never gets there."""
    with tempfile.TemporaryDirectory(prefix="fwbuild-") as folder:
        bios = Path(folder) / "bios.bin"
        bios.write_bytes(image)
        guest = with_test_kernel(guest, Path(folder))
        found = record(guest)
        loaded = protocols.load(guest, found)
        assert loaded
        with at_entry(guest, bios, *_entries(loaded)) as stub:
            offer, taken = _offer(guest, found, stub), _taken(stub, loaded)
            yield state_at_entry(stub, offer, taken, own=read_identity(image) is not None)


def _entries(loaded: Loaded) -> list[int]:
    """Where a firmware may enter the kernel: a bzImage has two entries, and most firmware takes
    the 16-bit one."""
    both = loaded.protocol == protocols.LINUX.name
    return [loaded.entry, ENTRY_16] if both else [loaded.entry]


def _taken(stub: GdbStub, loaded: Loaded) -> Loaded:
    """The kernel by the protocol that belongs to the entry that was taken."""
    registers = stub.registers()
    if registers["cs_base"] + registers["eip"] == loaded.entry:
        return loaded
    return replace(loaded, protocol=protocols.LINUX16.name)


def _offer(guest: Guest, found: Recording, stub: GdbStub) -> Recording:
    """QEMU's offer as this firmware saw it: on pc and q35 QEMU makes ACPI tables from what the
    firmware has left in PCI's registers."""
    if not guest.family.config_ports:
        return found
    roots = found.file(file_names.EXTRA_ROOTS) is not None
    return replace(found, files=record(guest, headers(MonitorPorts(stub), roots)).files)
