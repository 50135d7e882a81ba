"""The ACPI table loader: scripts that QEMU does not make, and scripts that are wrong."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from fwbuild import protocols
from fwbuild.abi import acpi, e820, offsets, pvh
from fwbuild.abi.acpi import Command, Zone
from fwbuild.abi.fw_cfg import DmaControl
from fwbuild.abi.x86 import PAGE
from fwbuild.emulator import recording
from fwbuild.emulator.machine import Machine
from fwbuild.firmware import file_names, layout, stop_codes, work
from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.payloads.test_kernel import build_test_kernel
from fwbuild.protocols import PVH
from fwbuild.protocols.tables.acpi import install
from fwbuild.sizes import MIB
from tests.support.files import claim

RSDP, TABLES = "etc/acpi/rsdp", "etc/acpi/tables"
SIZE = acpi.LOADER_ENTRY_SIZE
SCRIPT_MAX = layout.region("script").size
TOP = Guest().memory  # where its RAM ends
Files = dict[str, bytes]
READ, SELECT = int(DmaControl.READ), int(DmaControl.SELECT)


def entry(struct: Any, command: int, **fields: Any) -> bytes:
    values = {"unused": b"\0\0\0", **fields, "command": command}
    return bytes(struct.build(values)).ljust(SIZE, b"\0")


def allocate(file: str, align: int = 16, zone: int = Zone.HIGH) -> bytes:
    return entry(acpi.ALLOCATE, Command.ALLOCATE, file=file, align=align, zone=zone)


def pointer(dest: str, source: str, offset: int, size: int = 4) -> bytes:
    return entry(
        acpi.ADD_POINTER, Command.ADD_POINTER, dest=dest, source=source, offset=offset, size=size
    )


def checksum(file: str, offset: int, start: int, length: int) -> bytes:
    return entry(
        acpi.ADD_CHECKSUM,
        Command.ADD_CHECKSUM,
        file=file,
        offset=offset,
        start=start,
        length=length,
    )


def rsdt(length: int = acpi.TABLE_HEADER.sizeof()) -> bytes:
    return b"RSDT" + length.to_bytes(4, "little") + bytes(length - 8)


# The smallest that a kernel takes: an RSDP and an RSDT without tables.
BASE = [
    allocate(RSDP, zone=Zone.F_SEGMENT), allocate(TABLES, 64),
    pointer(RSDP, TABLES, 16), checksum(RSDP, 8, 0, 20), checksum(TABLES, 9, 0, 36),
]  # fmt: skip
BASE_FILES: Files = {RSDP: acpi.RSDP_SIGNATURE + bytes(12), TABLES: rsdt()}


@dataclass
class Case:
    """Entries and files beside the smallest ones. A wrong one has the number of its bad entry."""

    entries: list[bytes]
    files: Files = field(default_factory=dict)
    bad: int | None = None


LONG = "etc/a/very/long/name/that/differs/in/its/last/character"[:54]
ODD = bytes(range(256))
GOOD = {
    "smallest": Case([]),
    "padding": Case([bytes(SIZE), bytes(SIZE)]),
    "long names": Case(
        [allocate(LONG + "1"), allocate(LONG + "2"), pointer(LONG + "2", LONG + "1", 8, 8),
         checksum(LONG + "1", 3, 1, 250)],
        {LONG + "1": ODD, LONG + "2": bytes(16)}),
    "one name begins the other": Case(
        [allocate("etc/acpi/tables2"), checksum("etc/acpi/tables2", 0, 0, 256),
         checksum(TABLES, 9, 0, 36)], {"etc/acpi/tables2": ODD}),
    "short names": Case(
        [allocate("a"), allocate("b"), pointer("a", "b", 0), checksum("b", 255, 0, 256)],
        {"a": bytes(4), "b": ODD}),
    "64 files": Case(
        [allocate(f"opt/{i}") for i in range(64)]
        + [pointer(f"opt/{i}", f"opt/{63 - i}", 4) for i in range(64)],
        {f"opt/{i}": bytes(8 + i) for i in range(64)}),
    "aligned to 1 MiB": Case([allocate("a", 1 << 20), allocate("b", 1 << 20)],
                             {"a": ODD, "b": ODD}),
    "1 MiB of it": Case([allocate("a"), checksum("a", 0, 0, 1 << 20)], {"a": ODD * 4096}),
    "every length": Case(
        [allocate("a")] + [checksum("a", i, i, 256 - i) for i in range(200)], {"a": ODD}),
    "empty file": Case([allocate("a")], {"a": b""}),
    "half of the RSDP's signature": Case(
        [allocate("a"), allocate("b")], {"a": b"RSD SPTR".ljust(36), "b": b"DSR PTR ".ljust(36)}),
    "as long as its region lets it be": Case([bytes(SIZE)] * (SCRIPT_MAX // SIZE - 6)),
    "the F segment to its last byte": Case(
        [allocate("b", 1, Zone.F_SEGMENT), allocate("a", 16, Zone.F_SEGMENT)],
        {"b": bytes(12), "a": bytes(layout.F_SEGMENT.size - 32)}),
    "a name that ends like the one before": Case(
        [allocate("xa"), allocate("a"), checksum("xa", 0, 0, 20), checksum("a", 9, 9, 100)],
        {"xa": ODD[:30], "a": ODD}),
    "last byte": Case([allocate("a"), pointer("a", "a", 252), checksum("a", 255, 255, 1)],
                      {"a": ODD[:-4] + b"\xff\0\0\0"}),
}  # fmt: skip
BAD = {
    "unknown command": Case([b"\x05".ljust(SIZE, b"\0")], bad=5),
    "negative command": Case([b"\xff\xff\xff\xff".ljust(SIZE, b"\0")], bad=5),
    "no such file": Case([allocate("nowhere")], bad=5),
    "zone 0": Case([allocate("a", zone=0)], {"a": ODD}, 5),
    "zone 3": Case([allocate("a", zone=3)], {"a": ODD}, 5),
    "alignment 0": Case([allocate("a", 0)], {"a": ODD}, 5),
    "alignment 3": Case([allocate("a", 3)], {"a": ODD}, 5),
    "F segment overflows": Case([allocate("a", 1, Zone.F_SEGMENT)], {"a": bytes(0x8000)}, 5),
    "F segment overflows by a byte": Case(
        [allocate("b", 1, Zone.F_SEGMENT), allocate("a", 16, Zone.F_SEGMENT)],
        {"b": bytes(12), "a": bytes(layout.F_SEGMENT.size - 31)}, 6),
    "pointer in a file without memory": Case([pointer("a", TABLES, 0)], {"a": ODD}, 5),
    "pointer to a file without memory": Case([pointer(TABLES, "a", 0)], {"a": ODD}, 5),
    "empty name": Case([checksum("", 0, 0, 1)], bad=5),
    "allocated twice": Case([allocate("a"), bytes(SIZE), allocate("a", 4096)], {"a": ODD}, 7),
    "the RSDP twice": Case([allocate(RSDP, zone=Zone.F_SEGMENT)], bad=5),
    "allocated later": Case([pointer("a", "a", 0), allocate("a")], {"a": bytes(4)}, 5),
    "pointer past the end": Case([pointer(TABLES, TABLES, 33)], bad=5),
    "pointer that starts past the end": Case([pointer(TABLES, TABLES, 40)], bad=5),
    "pointer far past the end": Case([pointer(TABLES, TABLES, 0xFFFFFFFE)], bad=5),
    "pointer to behind the source": Case(
        [allocate("a"), pointer("a", TABLES, 0)], {"a": b"\x24\0\0\0"}, 6),
    "pointer of 2 bytes": Case([pointer(TABLES, TABLES, 0, 2)], bad=5),
    "pointer of no bytes": Case([pointer(TABLES, TABLES, 0, 0)], bad=5),
    "pointer of 2 bytes in zeros": Case(
        [allocate("a"), pointer("a", "a", 0, 2)], {"a": bytes(16)}, 6),
    "pointer with an upper half": Case(
        [allocate("a"), pointer("a", "a", 0, 8)], {"a": bytes(4) + b"\1\0\0\0"}, 6),
    "sum past the end": Case([checksum(TABLES, 9, 0, 37)], bad=5),
    "sum that starts past the end": Case([checksum(TABLES, 40, 40, 1)], bad=5),
    "F segment's end is aligned to": Case([allocate("a", 1 << 21, Zone.F_SEGMENT)], {"a": ODD}, 5),
    "sum that wraps": Case([checksum(TABLES, 9, 9, 0xFFFFFFFF)], bad=5),
    "sum of nothing": Case([checksum(TABLES, 9, 9, 0)], bad=5),
    "sum without its byte": Case([checksum(TABLES, 9, 10, 5)], bad=5),
    "sum whose byte is outside": Case([checksum(TABLES, 36, 0, 36)], bad=5),
}  # fmt: skip


def machine_of(case: Case, image: Image, *, dma: bool = True) -> Machine:
    found = recording.find(Guest())
    files = {**BASE_FILES, **case.files, file_names.TABLE_LOADER: b"".join(BASE + case.entries)}
    found = found.with_files(files)
    loaded = protocols.load(Guest(), found, build_test_kernel())
    return Machine(image.image, found, loaded, dma=dma)


@pytest.mark.parametrize("name", GOOD)
def test_good_script(name: str, image: Image) -> None:
    machine = machine_of(GOOD[name], image)
    machine.run()
    assert PVH.judge(machine.state()) == []


def nvs(machine: Machine) -> list[tuple[int, int]]:
    """Start and end of each range of ACPI NVS that the kernel is told of."""
    machine.run()
    found = PVH.read(machine.state()).memmap
    return [(m.addr, m.addr + m.size) for m in found if m.type == e820.Type.NVS]


def test_what_is_taken_below_grows_into_one_range(image: Image) -> None:
    """Three files, a page each: a map has room for few entries."""
    assert nvs(machine_of(GOOD["short names"], image)) == [(TOP - 3 * PAGE, TOP)]


@pytest.mark.parametrize("script", [None, BASE])
def test_nothing_is_asked_of_fw_cfg_where_there_is_no_script(
    script: list[bytes] | None, image: Image
) -> None:
    found = recording.find(Guest())
    files = BASE_FILES | ({file_names.TABLE_LOADER: b"".join(script)} if script else {})
    kept = [f for f in found.files if f.name != file_names.TABLE_LOADER]
    found = replace(found, files=kept).with_files(files)
    machine = Machine(image.image, found, protocols.load(Guest(), found, build_test_kernel()))
    sizes: list[int] = []
    execute = machine.fw_cfg._execute

    def note(descriptor: Any) -> bool:
        sizes.append(descriptor.length)
        return execute(descriptor)

    machine.fw_cfg._execute = note  # type: ignore[method-assign]
    assert machine.run().kind == "handoff"
    assert (len(BASE) * SIZE in sizes) == bool(script)
    assert 0 not in sizes


def test_alignment(image: Image) -> None:
    """Two files that ask for 1 MiB of it lie below the rest, each as high as it can."""
    found = nvs(machine_of(GOOD["aligned to 1 MiB"], image))
    assert found == [
        *((TOP - n * MIB, TOP - n * MIB + PAGE) for n in (2, 1)),
        (TOP - PAGE, TOP),
    ]


def test_what_the_boot_before_left_behind_the_map(image: Image) -> None:
    """NVS right above RAM there is none of this boot's, and nothing grows into it."""
    machine = machine_of(GOOD["smallest"], image)
    left = {"addr": TOP, "size": PAGE, "type": e820.Type.NVS, "reserved": 0}
    area = layout.region("memmap")
    machine.uc.mem_write(area.base, pvh.MEMMAP_ENTRY.build(left) * (area.size // 24))
    assert nvs(machine) == [(TOP - PAGE, TOP)]


def test_ram_that_ends_within_a_page(image: Image) -> None:
    """Whole pages are taken."""
    machine = machine_of(GOOD["smallest"], image)
    claim(machine, [(0, TOP - 16, e820.Type.RAM)])
    assert nvs(machine) == [(TOP - 2 * PAGE, TOP - PAGE)]


# another range of the host's: where it starts, its type, and the NVS then
OTHERS = {
    "elsewhere": (768 * MIB, e820.Type.NVS, [(TOP - PAGE, TOP), (768 * MIB, 768 * MIB + PAGE)]),
    "next": (TOP, e820.Type.NVS, [(TOP - PAGE, TOP + PAGE)]),
    "next, and reserved": (TOP, e820.Type.RESERVED, [(TOP - PAGE, TOP)]),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_range_of_the_hosts_above_ram(name: str, image: Image) -> None:
    start, kind, expected = OTHERS[name]
    machine = machine_of(GOOD["smallest"], image)
    claim(machine, [(0, TOP, e820.Type.RAM), (start, PAGE, kind)])
    assert nvs(machine) == expected


@pytest.mark.parametrize("name", BAD)
def test_bad_script(name: str, image: Image) -> None:
    case = BAD[name]
    machine = machine_of(case, image)
    outcome = machine.run()
    stop = stop_codes.BY_NAME["ACPI_SCRIPT"]
    assert case.bad is not None
    assert outcome.exit_value == stop.code
    assert outcome.console == f"fwbuild: {stop.code:02x} {stop.what} {case.bad * SIZE:08x}\n"


def write_pointer(
    offset: int = 0,
    source_offset: int = 40,
    size: int = 8,
    dest: str = "etc/vmgenid_addr",
    source: str = "guid",
) -> bytes:
    return entry(
        acpi.WRITE_POINTER,
        Command.WRITE_POINTER,
        dest=dest,
        source=source,
        dest_offset=offset,
        source_offset=source_offset,
        size=size,
    )


def test_an_entry_that_looks_like_an_allocation(image: Image) -> None:
    """Behind the fields of another command lies what notes a file that has been read."""
    case = Case([b"", allocate("a")], {"a": ODD})
    file = machine_of(case, image).recording.file("a")
    assert file
    control = (file.select << 16 | READ | SELECT).to_bytes(4, "big")
    at = offsets(work.ALLOCATED)["control"]
    case.entries[0] = checksum(TABLES, 9, 0, 36)[:at] + control + bytes(SIZE - at - 4)
    machine = machine_of(case, image)
    assert machine.recording.file("a") == file
    machine.run()
    assert PVH.judge(machine.state()) == []


@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize("dma", [True, False])
def test_write_pointer(dma: bool, size: int, image: Image) -> None:
    """Without DMA nobody can be told, and nothing is written."""
    case = Case(
        [allocate("guid", 4096), write_pointer(size=size)],
        {"guid": bytes(4096), "etc/vmgenid_addr": bytes(8)},
    )
    machine = machine_of(case, image, dma=dma)
    machine.run()
    assert PVH.judge(machine.state()) == []
    pointer = int.from_bytes(machine.fw_cfg.file("etc/vmgenid_addr"), "little")
    assert bool(pointer) == dma
    assert pointer % 4096 == (40 if dma else 0)


def test_two_pointers_in_one_file(image: Image) -> None:
    """The second half first: what comes before it is skipped, and is not read to anywhere."""
    case = Case(
        [allocate("guid", 4096), write_pointer(offset=8), write_pointer(source_offset=24)],
        {"guid": bytes(4096), "etc/vmgenid_addr": bytes(16)},
    )
    machine = machine_of(case, image)
    machine.run()
    assert PVH.judge(machine.state()) == []
    data = machine.fw_cfg.file("etc/vmgenid_addr")
    pointers = [int.from_bytes(data[at : at + 8], "little") for at in (0, 8)]
    assert [pointer % 4096 for pointer in pointers] == [24, 40]
    assert pointers[0] // 4096 == pointers[1] // 4096 != 0


def test_a_file_that_is_only_told_a_pointer_has_no_place(image: Image) -> None:
    """Where an allocation's entry has one, that of the pointer has a part of a name."""
    name = "guid" * 13
    case = Case(
        [allocate(name), write_pointer(source=name), checksum("etc/vmgenid_addr", 0, 0, 8)],
        {name: bytes(4096), "etc/vmgenid_addr": bytes(8)},
    )
    stop = stop_codes.BY_NAME["ACPI_SCRIPT"]
    outcome = machine_of(case, image).run()
    assert outcome.console == f"fwbuild: {stop.code:02x} {stop.what} {7 * SIZE:08x}\n"


LIES = {
    "past the file": write_pointer(offset=1),
    "far past the file": write_pointer(offset=0xFFFFFFFF),
    "behind the source": write_pointer(source_offset=4096),
    "of 2 bytes": write_pointer(size=2),
    "to no file": write_pointer(dest="etc/nowhere"),
    "to a file that is too small": write_pointer(dest="guid4"),
    "of 16 bytes": write_pointer(size=16),
}


@pytest.mark.parametrize("name", LIES)
def test_bad_write_pointer(name: str, image: Image) -> None:
    case = Case(
        [allocate("guid", 4096), LIES[name]],
        {"guid": bytes(4096), "guid4": bytes(4), "etc/vmgenid_addr": bytes(8)},
    )
    outcome = machine_of(case, image).run()
    assert outcome.console.startswith(f"fwbuild: {stop_codes.BY_NAME['ACPI_SCRIPT'].code:02x} ")


def test_script_in_python() -> None:
    """install(), which the judge compares with, on a script small enough to do by hand."""
    script = allocate("a") + allocate("b") + pointer("a", "b", 1) + checksum("a", 0, 0, 6)
    done = install(
        script,
        {"a": bytes([1, 2, 0, 0, 0, 5]), "b": b"xyz"}.__getitem__,
        {"a": 0x1000, "b": 0x20000},
    )
    # 0x20002 in place of 2; 1 - (1 + 2 + 2 + 5)
    assert done.data["a"] == bytes([(1 - 10) % 256, 2, 0, 2, 0, 5])
