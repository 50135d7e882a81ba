"""The tables that a kernel finds: ACPI, SMBIOS and MP, each with its place and its checksum.

Source: ACPI 6.5, 5.2; DMTF DSP0134, 5.2; Intel MultiProcessor Specification 1.4, 4.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from fwbuild.abi import acpi, mptable, smbios
from fwbuild.emulator.state import ReadMemory
from fwbuild.protocols.tables.acpi import pointers, read_table
from fwbuild.protocols.tables.mp import read_mptable
from fwbuild.protocols.tables.smbios import entry_point

LARGEST = 1 << 20  # bytes of a table that are summed up


@dataclass(frozen=True)
class Table:
    """One table. `sound` tells whether its bytes add up to 0; None where there is no checksum."""

    name: str
    address: int
    size: int
    sound: bool | None


def listing(read: ReadMemory, rsdp: int) -> list[Table]:
    """Every table up to the first pointer that leads nowhere; `rsdp` is 0 without ACPI."""
    found: list[Table] = []
    for tables in (_acpi(read, rsdp) if rsdp else iter(()), _smbios(read), _mp(read)):
        with suppress(MemoryError):
            found.extend(tables)
    return found


def _acpi(read: ReadMemory, rsdp: int) -> Iterator[Table]:
    root = acpi.RSDP.parse(read(rsdp, acpi.RSDP.sizeof()))
    yield _summed(read, "RSDP", rsdp, acpi.RSDP.sizeof())
    address, size = root.rsdt_address, 4
    if root.revision >= 2:
        more = acpi.RSDP_XSDT.parse(read(rsdp + acpi.RSDP.sizeof(), acpi.RSDP_XSDT.sizeof()))
        if more.xsdt_address:
            address, size = more.xsdt_address, 8
    yield _headed(read, address)
    for at in pointers(read_table(read, address), address, size):
        yield _headed(read, at)
        if int.from_bytes(read(at, 4), "little") == acpi.FADT_SIGNATURE:
            yield from _of_fadt(read, at)


def _of_fadt(read: ReadMemory, at: int) -> Iterator[Table]:
    fadt = acpi.FADT.parse(read(at, acpi.FADT.sizeof()))
    if facs := fadt.firmware_ctrl:
        yield Table("FACS", facs, acpi.FACS.parse(read(facs, acpi.FACS.sizeof())).length, None)
    if fadt.dsdt:
        yield _headed(read, fadt.dsdt)


def _smbios(read: ReadMemory) -> Iterator[Table]:
    if (at := entry_point(read)) is not None:
        new = read(at, len(smbios.ANCHOR_30)) == smbios.ANCHOR_30
        entry, version = (smbios.ENTRY_30, "3.0") if new else (smbios.ENTRY_21, "2.1")
        yield _summed(read, f"SMBIOS {version}", at, entry.sizeof())


def _mp(read: ReadMemory) -> Iterator[Table]:
    if found := read_mptable(read):
        at = mptable.POINTER.parse(found.pointer).address
        yield _summed(read, "MP", at, len(found.table))


def _headed(read: ReadMemory, at: int) -> Table:
    header = acpi.TABLE_HEADER.parse(read(at, acpi.TABLE_HEADER.sizeof()))
    name = header.signature.decode("ascii", "replace")
    return _summed(read, name, at, header.length)


def _summed(read: ReadMemory, name: str, at: int, size: int) -> Table:
    return Table(name, at, size, size <= LARGEST and sum(read(at, size)) % 256 == 0)
