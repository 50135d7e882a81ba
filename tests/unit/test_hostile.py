"""Whatever the host says ends in a handoff that the judge accepts, or in one coded stop, within
20 million instructions."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from fwbuild import protocols
from fwbuild.abi import acpi, e820, fw_cfg, linux_boot, offsets, ports, smbios
from fwbuild.abi.fw_cfg import DmaControl, Key
from fwbuild.emulator import recording
from fwbuild.emulator.fw_cfg import directory
from fwbuild.emulator.machine import Machine, Outcome
from fwbuild.firmware import file_names, layout, stop_codes, work
from fwbuild.firmware.layout import ROM
from fwbuild.guest import Guest
from fwbuild.image.build import Image, build_image
from fwbuild.payloads.test_kernel import build_test_bzimage, build_test_kernel
from fwbuild.sizes import MIB
from tests.support.files import claim, put_files, put_sizes

RAM, RESERVED, NVS = e820.Type.RAM, e820.Type.RESERVED, e820.Type.NVS
RANGE = ("addr", "size", "type")
GIB = 1 << 30
ANCHOR_30 = smbios.ANCHOR_30 + bytes(smbios.ENTRY_30.sizeof() - 5)
ANCHOR_21 = smbios.ENTRY_21.build(
    smbios.ENTRY_21.parse(bytes(smbios.ENTRY_21.sizeof()))
    | {"anchor": smbios.ANCHOR_21, "structures": 5, "max_structure_size": 0xFFFF}
)
# The host's own address means nothing, neither half of it.
ANCHOR_30_HIGH = smbios.ENTRY_30.build(
    smbios.ENTRY_30.parse(ANCHOR_30) | {"table_address": (1 << 64) - 1}
)
ANCHOR_21_FULL = smbios.ENTRY_21.build(smbios.ENTRY_21.parse(ANCHOR_21) | {"structures": 0xFFFF})
TYPE_11 = bytes([11, 5, 0, 0, 1])

Map = list[tuple[int, int, int]]


def machine_of(
    image: Image | bytes,
    name: str = "microvm",
    kernel: bytes = b"",
    memmap: Map | None = None,
    *,
    dma: bool = True,
) -> Machine:
    found = recording.find(Guest(name))
    loaded = protocols.load(Guest(name), found, kernel or build_test_kernel())
    if memmap:
        item = b"".join(e820.ENTRY.build(dict(zip(RANGE, r, strict=True))) for r in memmap)
        found = found.with_files({file_names.E820: item})
    data = image if isinstance(image, bytes) else image.image
    return Machine(data, found, loaded, dma=dma)


def line(name: str, detail: int) -> str:
    stop = stop_codes.BY_NAME[name]
    return f"fwbuild: {stop.code:02x} {stop.what} {detail:08x}\n"


def smbios_of(anchor: bytes, tables: bytes, size: int | None = None) -> Callable[[Machine], None]:
    def edit(machine: Machine) -> None:
        put_files(machine, {file_names.SMBIOS_ANCHOR: anchor, file_names.SMBIOS_TABLES: tables})
        if size is not None:
            data = bytearray(machine.fw_cfg.items[Key.FILE_DIR])
            name = data.index(file_names.SMBIOS_TABLES.encode())
            start = name - offsets(fw_cfg.FILE)["name"]  # of the file's entry
            at = start + offsets(fw_cfg.FILE)["size"]
            data[at : at + 4] = size.to_bytes(4, "big")
            machine.fw_cfg.items[Key.FILE_DIR] = bytes(data)

    return edit


def count_of(files: int) -> Callable[[Machine], None]:
    def edit(machine: Machine) -> None:
        item = machine.fw_cfg.items[Key.FILE_DIR]
        machine.fw_cfg.items[Key.FILE_DIR] = files.to_bytes(4, "big") + item[4:]

    return edit


def e820_of(size: int) -> Callable[[Machine], None]:
    def edit(machine: Machine) -> None:
        data = machine.fw_cfg.file(file_names.E820)
        put_files(machine, {file_names.E820: data.ljust(size, b"\x11")[:size]})

    return edit


def nothing(_machine: Machine) -> None:
    pass


def maps(*ranges: tuple[int, int, int]) -> Callable[[Machine], None]:
    return lambda machine: claim(machine, list(ranges))


def half_answered(control: int) -> Callable[[Machine], None]:
    """A device that leaves something else in the control word."""

    def edit(machine: Machine) -> None:
        def transfer(address: int) -> None:
            machine.fw_cfg._bus.dma_write(address, control.to_bytes(4, "big"))

        machine.fw_cfg._transfer = transfer  # type: ignore[method-assign]

    return edit


def error_by_port(machine: Machine) -> None:
    """Each transfer fails, and the port has no signature that tells of DMA."""
    machine.fw_cfg._execute = lambda descriptor: False  # type: ignore[method-assign]
    port_in = machine.fw_cfg.port_in
    machine.fw_cfg.port_in = (  # type: ignore[method-assign]
        lambda port, size: 0 if port >= fw_cfg.PORT_DMA_HIGH else port_in(port, size)
    )


def script_of(
    *entries: bytes, files: dict[str, bytes], own: bool = True
) -> Callable[[Machine], None]:
    """These entries, behind QEMU's own."""
    data = b"".join(e.ljust(acpi.LOADER_ENTRY_SIZE, b"\0") for e in entries)

    def edit(machine: Machine) -> None:
        script = machine.fw_cfg.file(file_names.TABLE_LOADER) * own + data
        put_files(machine, {file_names.TABLE_LOADER: script, **files})

    return edit


def allocate(name: str, zone: int = acpi.Zone.HIGH) -> bytes:
    words = (1).to_bytes(4, "little") + name.encode().ljust(56, b"\0") + b"\x10\0\0\0"
    return words + bytes([zone])


def checksum(name: str, length: int) -> bytes:
    numbers = b"".join(n.to_bytes(4, "little") for n in (0, 0, length))
    return (3).to_bytes(4, "little") + name.encode().ljust(56, b"\0") + numbers


def feature_control(value: bytes) -> Callable[[Machine], None]:
    return lambda machine: put_files(machine, {file_names.FEATURE_CONTROL: value})


@dataclass
class Case:
    """A lie of the host, and the console line that the boot ends in ("" for a handoff)."""

    edit: Callable[[Machine], None]
    ends: str = ""
    machine: str = "microvm"
    template: str = "universal"
    memmap: Map | None = None  # what the machine really has


CASES = {
    "SMBIOS size and type 0 wrap": Case(
        smbios_of(ANCHOR_30, b"", (1 << 32) - 15), line("NO_ROOM", (1 << 32) - 15)),
    "SMBIOS pages wrap": Case(
        smbios_of(ANCHOR_30, b"", (1 << 32) - 100), line("NO_ROOM", (1 << 32) - 100 + 39)),
    "SMBIOS 2.1 filled to the last byte": Case(
        smbios_of(ANCHOR_21, (TYPE_11 + b"x" * 13093 + b"\0\0") * 5), machine="pc"),
    "SMBIOS 2.1 over 64 KiB": Case(
        smbios_of(ANCHOR_21, (TYPE_11 + b"x" * 13100 + b"\0\0") * 5 + b"\x7f"),
        line("SMBIOS_ANCHOR", 31), machine="pc"),
    "SMBIOS tables above 4 GiB": Case(
        smbios_of(ANCHOR_30_HIGH, TYPE_11 + b"x\0\0"), machine="pc"),
    "SMBIOS 2.1 of 65,535 structures": Case(
        smbios_of(ANCHOR_21_FULL, TYPE_11 + b"x\0\0"), line("SMBIOS_ANCHOR", 31), machine="pc"),
    "SMBIOS cut behind its type 0": Case(
        smbios_of(ANCHOR_30, b"\0\4\0\0\0\0" + TYPE_11 + b"x"),
        line("SMBIOS_TABLES", 12), machine="pc"),
    "SMBIOS with its own type 0 last": Case(
        smbios_of(ANCHOR_30, TYPE_11 + b"x\0\0" + b"\0\4\0\0\0\0"), machine="pc"),
    "2^32 - 1 files": Case(count_of((1 << 32) - 1), line("FW_CFG_FILES", (1 << 32) - 1)),
    "half an entry more": Case(e820_of(30), line("E820_SIZE", 30)),
    "two entries and some": Case(e820_of(47), line("E820_SIZE", 47)),
    "an entry and some": Case(e820_of(23), line("E820_SIZE", 23)),
    "less than an entry": Case(e820_of(3), line("E820_SIZE", 3)),
    "RAM in two ranges that touch": Case(
        nothing, machine="pc",
        memmap=[(0, 512 * MIB, RAM), (512 * MIB, 2 * GIB + 512 * MIB, RAM)]),
    "RAM over the APICs": Case(
        maps((0, 512 * MIB, RAM), (0xFEC00000, 0x1000, RAM)), line("E820_RANGE", 0xFEC00000)),
    "RAM over the ROM": Case(
        maps((0, 512 * MIB, RAM), (0xFFFF0000, 0x10000, RAM)), line("E820_RANGE", 0xFFFF0000)),
    "RAM a byte into the devices": Case(
        maps((0, 0xE0000001, RAM)), line("E820_RANGE", 0)),
    "RAM up to 4 GiB and more": Case(maps((0, 5 * GIB, RAM)), line("E820_RANGE", 0)),
    "RAM over ECAM": Case(
        maps((0, 512 * MIB, RAM), (0xB0000000, MIB, RAM)),
        line("E820_OVERLAP", 0xB0000000), machine="q35"),
    "1 MiB of RAM": Case(maps((0, MIB, RAM)), line("E820_SMALL", MIB)),
    "NVS at 4 GiB + the top of RAM": Case(
        nothing, memmap=[(0, 512 * MIB, RAM), (4 * GIB + 512 * MIB, MIB, NVS)]),
    "the control word keeps a bit": Case(
        half_answered(DmaControl.READ), line("FW_CFG_DMA", DmaControl.READ)),
    "the control word is all ones but for the error": Case(
        half_answered(0xFFFFFFFE), line("FW_CFG_DMA", 0xFFFFFFFE)),
    "an error without a signature": Case(error_by_port, line("FW_CFG_DMA", DmaControl.ERROR)),
    "the F segment is full": Case(
        script_of(allocate("etc/x", acpi.Zone.F_SEGMENT),
                  files={"etc/x": bytes(layout.F_SEGMENT.size - 48)}),
        line("NO_ROOM", 31), machine="q35"),
    "an empty file is allocated": Case(script_of(allocate("etc/x"), files={"etc/x": b""})),
    "feature control of 3 bytes": Case(
        feature_control(b"abc"), line("FEATURE_CONTROL", 3), template="all-cpus"),
    "feature control of reserved bits": Case(
        feature_control(b"\x80\0\0\0\0\0\0\0"), line("FEATURE_CONTROL", 0x80),
        template="all-cpus"),
    "feature control of upper bits": Case(
        feature_control(b"\x05\0\0\0\x01\0\0\0"), line("FEATURE_CONTROL", 5), template="all-cpus"),
    "feature control as QEMU has it": Case(
        feature_control(b"\x05\0\x10\0\0\0\0\0"), template="all-cpus"),
}  # fmt: skip


def settled(machine: Machine, outcome: Outcome, ends: str) -> None:
    if ends:
        assert (outcome.kind, outcome.console) == ("exit", ends), outcome.detail
        assert outcome.serial == outcome.console
    else:
        assert protocols.judge(machine.state()) == []


@pytest.mark.parametrize("name", CASES)
def test_host(name: str) -> None:
    case = CASES[name]
    machine = machine_of(build_image(case.template), case.machine, memmap=case.memmap)
    case.edit(machine)
    settled(machine, machine.run(), case.ends)


def test_a_full_directory_ends(image: Image) -> None:
    """As many files as there are keys, by DMA: each search for an absent one reads them all."""
    machine = machine_of(image)
    files = [recording.File(f"opt/{i:04x}", 0x20 + i, 1, b"") for i in range(0x3FE0)]
    kept = [replace(f, select=0x20 + i) for i, f in enumerate(machine.recording.files)]
    machine.fw_cfg.items |= {f.select: f.data for f in kept}
    machine.fw_cfg.items[Key.FILE_DIR] = directory(kept + files[len(kept) :])
    outcome = machine.run()
    assert outcome.kind in ("handoff", "exit"), outcome.detail
    if outcome.kind == "exit":
        assert outcome.console == line("FW_CFG_FILES", 0x3FE0)


@pytest.mark.parametrize("dma", [True, False])
@pytest.mark.parametrize("count", [work.DIRECTORY_PIECE + 1, 2 * work.DIRECTORY_PIECE + 1])
def test_a_directory_in_pieces(count: int, dma: bool, image: Image) -> None:
    """One entry stands in the last piece. What is looked for next stands in the first."""
    machine = machine_of(image, "pc", dma=dma)
    files = machine.recording.files
    more = [recording.File(f"opt/{i}", 0, 1, b"") for i in range(count - len(files))]
    machine.fw_cfg.items[Key.FILE_DIR] = directory([*files, *more])
    machine.run()
    plain = machine_of(image, "pc", dma=dma)
    plain.run()
    assert protocols.judge(machine.state()) == []
    assert protocols.read(machine.state()).plain() == protocols.read(plain.state()).plain()


def test_no_map_entry_is_empty(image: Image) -> None:
    machine = machine_of(image, "pc")
    script_of(allocate("etc/x"), files={"etc/x": b""})(machine)
    machine.run()
    assert all(m.size for m in protocols.read(machine.state()).memmap)


def test_ecam_is_reserved(image: Image) -> None:
    """Where the host's map has nothing but RAM, too."""
    machine = machine_of(image, "q35", memmap=[(0, 512 * MIB, RAM)])
    machine.run()
    memmap = protocols.read(machine.state()).memmap
    assert [m.type for m in memmap if m.addr == 0xB0000000] == [RESERVED]


def test_devices_begin_behind_all_ram(image: Image) -> None:
    """The MTRR that makes them uncached begins behind both ranges."""
    machine = machine_of(image, "pc")
    claim(machine, [(0, 512 * MIB, RAM), (512 * MIB, 2 * GIB, RAM)])
    machine.run()
    assert machine.uc.msr_read(0x200) & ~0xFFF == 0xC0000000


# name: (a setup_data list in the kernel's data as (offset, next), the stop's detail)
CHAINS = {
    "into the kernel": ([(0x800, 0x100), (0x100, 0)], 0x100100),
    "to its own start": ([(0x800, 0x0)], 0x100000),
    "to the last bytes": ([(0x800, 0xFFC)], 0x100FFC),
}


@pytest.mark.parametrize("name", CHAINS)
def test_setup_data(name: str, image: Image) -> None:
    chain, detail = CHAINS[name]
    machine = machine_of(image, kernel=build_test_bzimage())
    base = 0x100000
    data = bytearray(machine.fw_cfg.items[Key.KERNEL_DATA].ljust(0x1000, b"\0")[:0x1000])
    for offset, following in chain:
        data[offset : offset + 16] = linux_boot.SETUP_DATA.build(
            {"next": base + following, "type": 9, "len": 0}
        )
    machine.fw_cfg.items[Key.KERNEL_DATA] = bytes(data)
    machine.fw_cfg.items[Key.KERNEL_SIZE] = len(data).to_bytes(4, "little")
    setup = bytearray(machine.fw_cfg.items[Key.SETUP_DATA])
    at = offsets(linux_boot.SETUP_HEADER)["setup_data"]
    setup[at : at + 8] = (base + chain[0][0]).to_bytes(8, "little")
    machine.fw_cfg.items[Key.SETUP_DATA] = bytes(setup)
    settled(machine, machine.run(), line("SETUP_DATA", detail))


BOUND = 20_000_000  # instructions


def test_waits_are_bounded() -> None:
    """Rounds of each wait, times the instructions of a round: nobody wants to run them here."""
    longest = max(len(line(stop.name, 0)) for stop in stop_codes.STOPS)
    assert longest * ports.SERIAL_PATIENCE * 4 < BOUND // 2
    assert work.CPU_PATIENCE * (9 + work.CPU_PAUSES) < BOUND // 2
    assert work.SUMS_MAX < BOUND // 2


def impatient(image: Image, fragment: str, old: int, new: int) -> bytes:
    """The image with another 32-bit number in a fragment."""
    number = old.to_bytes(4, "little")
    at = image.image.index(number, image.linked.addresses[fragment] - ROM.base)
    return image.image[:at] + new.to_bytes(4, "little") + image.image[at + 4 :]


def test_a_serial_port_that_never_gets_ready(image: Image) -> None:
    machine = machine_of(impatient(image, "print_char", ports.SERIAL_PATIENCE, 10))
    machine.serial._registers[ports.Uart.LSR] = 0
    machine.serial._empty = lambda: None  # type: ignore[method-assign]
    put_sizes(machine, {file_names.E820: 30})
    outcome = machine.run()
    assert (outcome.kind, outcome.console) == ("exit", line("E820_SIZE", 30))


def test_a_serial_port_that_gets_ready_late(image: Image) -> None:
    """A character is sent after the fourth look."""
    machine = machine_of(image)
    serial, looks = machine.serial, []
    port_in = serial.port_in

    def busy(port: int, size: int) -> int:
        looks.append(port)
        ready = port_in(port, size)
        received = 1  # which says nothing of sending
        return ready if len(looks) % 4 == 0 else received

    serial.port_in = busy  # type: ignore[method-assign]
    put_sizes(machine, {file_names.E820: 30})
    outcome = machine.run()
    assert outcome.serial == line("E820_SIZE", 30)
    assert len(looks) == 4 * len(outcome.serial)


def test_sums_without_end(image: Image) -> None:
    """The loader script may have so many bytes added up, and no more."""
    machine = machine_of(impatient(image, "handoff_template", work.SUMS_MAX, 1 << 16))
    sums = [checksum("etc/x", 0x4000)] * 400
    script_of(allocate("etc/x"), *sums, own=False, files={"etc/x": bytes(0x4000)})(machine)
    settled(machine, machine.run(), line("ACPI_SCRIPT", 5 * acpi.LOADER_ENTRY_SIZE))
