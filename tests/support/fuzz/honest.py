"""Other hosts that are as good as the base: what the contract allows, by grammar. Their guests
must boot.

Each part gets a source of random numbers, and leaves all that belongs to it consistent.
"""

import random
import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from fwbuild.abi import acpi, e820, multiboot, smbios
from fwbuild.abi.acpi import Command, Zone
from fwbuild.abi.fw_cfg import FILE_NAME_SIZE, Key
from fwbuild.firmware import file_names, layout
from fwbuild.sizes import MIB

if TYPE_CHECKING:
    from tests.support.fuzz.inputs import Host

Part = Callable[["Host", random.Random], None]
RANGE = struct.Struct("<QQI")  # abi.e820's ENTRY
HIGH = 1 << 40  # bytes: above all RAM and windows of the recordings
MAP_MAX = 60  # entries that are added
LINUX_CMDLINE_MAX = 255  # characters, that a Linux kernel of any version takes
TEXTS_MAX = layout.region("texts").size
TEXT = bytes(range(0x20, 0x7F))
PIECE = "etc/a-piece"  # a file for the loader's script


def number(host: "Host", key: Key) -> int:
    return int.from_bytes(host.items.get(key, b""), "little")


def _text(numbers: random.Random, most: int) -> bytes:
    size = numbers.choice((0, 1, 3, most - 1, most, numbers.randint(0, most)))
    return bytes(numbers.choices(TEXT, k=min(size, most)))


def memory_map(host: "Host", numbers: random.Random) -> None:
    """The RAM from 0 in two pieces, ranges above all that there is, any order."""
    data = host.get(file_names.E820)
    ranges = list(RANGE.iter_unpack(data))
    if numbers.random() < 0.5:
        at = next(i for i, r in enumerate(ranges) if r[0] == 0 and r[2] == e820.Type.RAM)
        _, size, kind = ranges.pop(at)
        first = numbers.randrange(32 * MIB, max(size, 33 * MIB), 0x1000)
        pieces = [(0, first, kind), (first, size - first, kind)] if first < size else []
        ranges += pieces or [(0, size, kind)]
    start = HIGH
    for _ in range(numbers.choice((0, 1, 2, 10, MAP_MAX))):
        start += numbers.choice((0, 1, 0x1000, MIB, 1 << 33))
        size = numbers.choice((0, 1, 0xFFF, 0x1000, 16 * MIB, 1 << 32, (1 << 32) - 1))
        ranges.append((start, size, numbers.choice((1, 2, 3, 4, 5, 7, 0xFFFFFFFF))))
        start += size
    numbers.shuffle(ranges)
    host.put(file_names.E820, b"".join(RANGE.pack(*r) for r in ranges))


def command_line(host: "Host", numbers: random.Random) -> None:
    """Any text, if QEMU hands one over beside the kernel."""
    if number(host, Key.INITRD_ADDR) == multiboot.INFO_ADDRESS_QEMU:
        return
    if not number(host, Key.CMDLINE_SIZE):
        return
    most = layout.CMDLINE_MAX if number(host, Key.KERNEL_ENTRY) else LINUX_CMDLINE_MAX
    text = _text(numbers, most - 1) + b"\0"
    host.items[Key.CMDLINE_DATA] = text
    host.items[Key.CMDLINE_SIZE] = len(text).to_bytes(4, "little")


def initrd(host: "Host", numbers: random.Random) -> None:
    """Other contents, not longer than the place that QEMU chose; perhaps no byte."""
    size = number(host, Key.INITRD_SIZE)
    if not size or number(host, Key.INITRD_ADDR) == multiboot.INFO_ADDRESS_QEMU:
        return
    size = numbers.choice((0, 1, 3, size - 1, size, numbers.randint(0, size)))
    host.items[Key.INITRD_DATA] = numbers.randbytes(size)
    host.items[Key.INITRD_SIZE] = size.to_bytes(4, "little")


def directory(host: "Host", numbers: random.Random) -> None:
    """The files in another order, and others among them."""
    for i in range(numbers.choice((0, 1, 7, 60))):
        host.put(f"opt/org.example/{i}", numbers.randbytes(numbers.choice((0, 1, 100))))
    numbers.shuffle(host.files)


def _name(name: str) -> bytes:
    return name.encode().ljust(FILE_NAME_SIZE, b"\0")


def _script(numbers: random.Random, data: bytearray) -> Iterator[bytes]:
    """A file of its own is placed, points into itself, and gets sums."""
    align, zone = 1 << numbers.randrange(13), numbers.choice((Zone.HIGH, Zone.HIGH, Zone.F_SEGMENT))
    file, size = _name(PIECE), len(data)
    yield struct.pack("<I56sIB", Command.ALLOCATE, file, align, zone)
    slots = range(numbers.randrange(2), size - 7, 8)
    for at in numbers.sample(slots, min(len(slots), numbers.randrange(6))):
        width = numbers.choice((4, 8))
        data[at : at + width] = numbers.randrange(size).to_bytes(width, "little")
        yield struct.pack("<I56s56sIB", Command.ADD_POINTER, file, file, at, width)
    for _ in range(numbers.randrange(4)):
        start = numbers.randrange(size)
        length = numbers.choice((1, size - start, numbers.randint(1, size - start)))
        yield struct.pack("<I56sIII", Command.ADD_CHECKSUM, file, start, start, length)
    yield struct.pack("<I", Command.PADDING)


def loader_script(host: "Host", numbers: random.Random) -> None:
    """QEMU's own script, and more before or behind it."""
    script = host.get(file_names.TABLE_LOADER)
    if not script or host.find(PIECE):
        return
    data = bytearray(numbers.randbytes(numbers.choice((9, 36, 64, 255, 256, 1024))))
    entries = [entry.ljust(acpi.LOADER_ENTRY_SIZE, b"\0") for entry in _script(numbers, data)]
    more = b"".join(entries)
    host.put(PIECE, bytes(data))
    host.put(file_names.TABLE_LOADER, more + script if numbers.random() < 0.5 else script + more)


def smbios_structures(host: "Host", numbers: random.Random) -> None:
    """Structures of the user's kinds before QEMU's, and the entry point of both."""
    anchor, tables = host.get(file_names.SMBIOS_ANCHOR), host.get(file_names.SMBIOS_TABLES)
    if not tables:
        return
    more = []
    for handle in range(numbers.choice((1, 2, 8))):
        length = numbers.choice((4, 5, 255, numbers.randint(4, 255)))
        header = bytes([numbers.choice((11, 128, 255)), length]) + struct.pack(
            "<H", 0x4000 + handle
        )
        strings = b"".join(_text(numbers, 9) + b"x\0" for _ in range(numbers.randrange(4)))
        more.append(header + numbers.randbytes(length - len(header)) + (strings or b"\0") + b"\0")
    tables = b"".join(more) + tables
    host.put(file_names.SMBIOS_TABLES, tables)
    if anchor.startswith(smbios.ANCHOR_30):
        entry = smbios.ENTRY_30.parse(anchor)
        entry.table_max_size = len(tables)
        host.put(file_names.SMBIOS_ANCHOR, smbios.ENTRY_30.build(entry))
    else:
        entry = smbios.ENTRY_21.parse(anchor)
        entry.table_length, entry.structures = len(tables), entry.structures + len(more)
        entry.max_structure_size = max(entry.max_structure_size, *(len(one) for one in more))
        host.put(file_names.SMBIOS_ANCHOR, smbios.ENTRY_21.build(entry))


def modules(host: "Host", numbers: random.Random) -> None:
    """The user's modules, which may have command lines."""
    room = TEXTS_MAX
    for i in range(1, numbers.choice((1, 2, 9)) + 1):
        host.put(file_names.module(i), numbers.randbytes(numbers.choice((1, 4, 5000, 65537))))
        if numbers.random() < 0.5 and room > 1:
            text = _text(numbers, min(room - 1, 200))
            room -= len(text) + 1
            host.put(file_names.module_cmdline(i), text)


PARTS: dict[str, Part] = {
    "map": memory_map,
    "command line": command_line,
    "initrd": initrd,
    "directory": directory,
    "script": loader_script,
    "smbios": smbios_structures,
    "modules": modules,
}


def honest(host: "Host", part: str, seed: int) -> None:
    """The change of an input: a part is as another honest host has it."""
    PARTS[part](host, random.Random(seed))
