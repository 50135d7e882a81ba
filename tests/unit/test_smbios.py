"""SMBIOS: both entry points, with and without a type 0 of the host's, and hosts that lie."""

from dataclasses import dataclass

import pytest

from fwbuild import __version__, protocols
from fwbuild.abi import e820, smbios
from fwbuild.emulator import recording
from fwbuild.emulator.machine import Machine
from fwbuild.firmware import file_names, smbios_data, stop_codes
from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.payloads.test_kernel import build_test_kernel
from fwbuild.protocols import PVH
from fwbuild.protocols.tables.smbios import entry_point, structures
from tests.support.files import put_files


def structure(kind: int, length: int = 8, *strings: bytes) -> bytes:
    """Formatted part, then strings."""
    body = bytes([kind, length, kind, 1]) + bytes([0x11]) * (length - 4)
    return body + (b"\0".join([*strings, b"\0"]) if strings else b"\0\0")


def entry_21(tables: bytes) -> bytes:
    """As QEMU makes it: no address, no checksums."""
    sizes = [len(s) for s in structures(tables)] or [0]
    return bytes(
        smbios.ENTRY_21.build(
            {
                "anchor": b"_SM_",
                "checksum": 0,
                "length": 31,
                "major": 2,
                "minor": 8,
                "max_structure_size": max(sizes),
                "revision": 0,
                "formatted_area": bytes(5),
                "intermediate_anchor": b"_DMI_",
                "intermediate_checksum": 0,
                "table_length": len(tables),
                "table_address": 0,
                "structures": len(sizes),
                "bcd_revision": 0x28,
            }
        )
    )


def entry_30(tables: bytes) -> bytes:
    return bytes(
        smbios.ENTRY_30.build(
            {
                "anchor": b"_SM3_",
                "checksum": 0,
                "length": 24,
                "major": 3,
                "minor": 0,
                "docrev": 0,
                "revision": 1,
                "reserved": 0,
                "table_max_size": len(tables),
                "table_address": 0,
            }
        )
    )


BIOS = structure(0, 0x18, b"host", b"1.0")
SYSTEM = structure(1, 0x1B, b"QEMU", b"a machine")
PLAIN = structure(32, 11)
END = structure(127, 4)
TABLES = {
    "host's type 0 first": BIOS + SYSTEM + END,
    "host's type 0 last": SYSTEM + PLAIN + BIOS,
    "no type 0": SYSTEM + PLAIN + END,
    "one structure": PLAIN,
    "nothing": b"",
    "large": SYSTEM + PLAIN * 3000 + END,  # more than the F segment holds
}


def machine_of(anchor: bytes, tables: bytes, image: Image) -> Machine:
    found = recording.find(Guest())
    machine = Machine(image.image, found, protocols.load(Guest(), found, build_test_kernel()))
    put_files(machine, {file_names.SMBIOS_ANCHOR: anchor, file_names.SMBIOS_TABLES: tables})
    return machine


@pytest.mark.parametrize("entry", [entry_21, entry_30], ids=["2.1", "3.0"])
@pytest.mark.parametrize("name", TABLES)
def test_tables(name: str, entry: object, image: Image) -> None:
    tables = TABLES[name]
    assert callable(entry)
    machine = machine_of(entry(tables), tables, image)
    machine.run()
    assert PVH.judge(machine.state()) == []
    found = machine.read(entry_point(machine.read) or 0, 31)
    address = int.from_bytes(found[24:28] if entry is entry_21 else found[16:24], "little")
    first = next(structures(machine.read(address, 200)))
    assert first[0] == (smbios.TYPE_BIOS if "last" not in name else 1)
    assert (f"fwbuild\0{__version__}\0\0".encode() in first) == ("type 0 " not in name)
    if name == "large":  # right below the pages of ACPI's tables
        memmap = PVH.read(machine.state()).memmap
        assert [m.addr for m in memmap if m.type == e820.Type.NVS] == [address]


@pytest.mark.parametrize("size", [0, 0xFFFF])
def test_a_largest_size_that_is_not(size: int, image: Image) -> None:
    """The host's own is left as it is, but for the firmware's structure beside it."""
    entry = smbios.ENTRY_21.parse(entry_21(TABLES["no type 0"]))
    entry.max_structure_size = size
    machine = machine_of(smbios.ENTRY_21.build(entry), TABLES["no type 0"], image)
    machine.run()
    assert PVH.judge(machine.state()) == []
    at = entry_point(machine.read) or 0
    found = smbios.ENTRY_21.parse(machine.read(at, smbios.ENTRY_21.sizeof()))
    own = next(structures(machine.read(found.table_address, 200)))
    assert found.max_structure_size == max(size, len(own))
    less = len(own) - 1 if size == 0 else size - 1
    before, after = (sum(divmod(n, 256)) for n in (found.max_structure_size, less))
    found.checksum = (found.checksum + before - after) % 256
    found.max_structure_size = less
    machine.uc.mem_write(at, smbios.ENTRY_21.build(found))
    assert f"SMBIOS: a structure is larger than {less}" in PVH.judge(machine.state())


def test_a_largest_size_of_the_hosts_alone(image: Image) -> None:
    """Nothing of the firmware's is there that could be larger."""
    entry = smbios.ENTRY_21.parse(entry_21(TABLES["host's type 0 first"]))
    entry.max_structure_size = 4
    tables = TABLES["host's type 0 first"]
    machine = machine_of(smbios.ENTRY_21.build(entry), tables, image)
    machine.run()
    at = entry_point(machine.read) or 0
    assert smbios.ENTRY_21.parse(machine.read(at, 31)).max_structure_size == 4


def test_no_room_for_a_type_0_of_the_firmwares(image: Image) -> None:
    """With it 65,536 bytes, one more than version 2.1 can tell: the host's go without."""
    size = smbios.TABLES_21_MAX + 1 - smbios_data.TYPE0_SIZE
    tables = structure(11, 5, b"x" * (size - 7 - len(PLAIN))) + PLAIN
    machine = machine_of(entry_21(tables), tables, image)
    machine.run()
    assert len(tables) == size
    at = entry_point(machine.read) or 0
    found = smbios.ENTRY_21.parse(machine.read(at, 31))
    assert (found.table_length, machine.read(found.table_address, 1)) == (size, b"\x0b")


@dataclass
class Lie:
    anchor: bytes
    tables: bytes
    stop: str


LIES = {
    "anchor of 30 bytes": Lie(entry_21(PLAIN)[:30], PLAIN, "SMBIOS_ANCHOR"),
    "anchor of 32 bytes": Lie(entry_21(PLAIN) + b"\0", PLAIN, "SMBIOS_ANCHOR"),
    "anchor of 64 KiB": Lie(entry_21(PLAIN).ljust(1 << 16, b"\0"), PLAIN, "SMBIOS_ANCHOR"),
    "empty anchor": Lie(b"", PLAIN, "SMBIOS_ANCHOR"),
    "3.0 of 31 bytes": Lie(entry_30(PLAIN).ljust(31, b"\0"), PLAIN, "SMBIOS_ANCHOR"),
    "2.1 of 24 bytes": Lie(entry_21(PLAIN)[:24], PLAIN, "SMBIOS_ANCHOR"),
    "unknown anchor": Lie(b"_XM_".ljust(31, b"\0"), PLAIN, "SMBIOS_ANCHOR"),
    "2.1 with 64 KiB": Lie(entry_21(PLAIN), PLAIN * 5042, "SMBIOS_ANCHOR"),
    "2.1 with 64 KiB of the host's alone": Lie(
        entry_21(PLAIN), BIOS + PLAIN * 5042, "SMBIOS_ANCHOR"),
    "strings go on": Lie(entry_30(PLAIN), SYSTEM[:-1], "SMBIOS_TABLES"),
    "string without an end": Lie(entry_30(PLAIN), SYSTEM[:-2], "SMBIOS_TABLES"),
    "formatted part goes on": Lie(entry_30(PLAIN), SYSTEM[:16], "SMBIOS_TABLES"),
    "formatted part fills it": Lie(entry_30(PLAIN), SYSTEM[:27], "SMBIOS_TABLES"),
    "length below 4": Lie(entry_30(PLAIN), b"\x01\x03\0\0\0\0", "SMBIOS_TABLES"),
    "length below 4, and no byte more": Lie(
        entry_30(PLAIN), b"\x01\x03\0\0\0", "SMBIOS_TABLES"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_lies(name: str, image: Image) -> None:
    lie = LIES[name]
    outcome = machine_of(lie.anchor, lie.tables, image).run()
    stop = stop_codes.BY_NAME[lie.stop]
    assert outcome.exit_value == stop.code
    assert outcome.console.startswith(f"fwbuild: {stop.code:02x} {stop.what} ")
