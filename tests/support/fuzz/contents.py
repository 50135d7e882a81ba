"""What items and files of fw_cfg are made of: by grammar, mostly right, and wrong here and there.

Each generator gets a source of random numbers and what the host had there before.
"""

import random
import struct
from collections.abc import Callable
from functools import cache

from fwbuild.abi import acpi, e820, linux_boot, multiboot, offsets, smbios
from fwbuild.abi.acpi import Command, Zone
from fwbuild.firmware import layout
from fwbuild.image.elf import Segment, pvh_note, write_elf
from fwbuild.payloads.test_kernel import (
    build_test_bzimage,
    build_test_bzimage16,
    build_test_kernel,
)

SETUP_FIELDS = offsets(linux_boot.SETUP_HEADER)
SETUP_NAMES = sorted(SETUP_FIELDS)
INFORMATION = sorted(offsets(multiboot.INFO).values())
E820_SIZE = e820.ENTRY.sizeof()
ENTRY_30_SIZE = smbios.ENTRY_30.sizeof()
Numbers = random.Random
Generator = Callable[[Numbers, bytes], bytes]

MIB = 1 << 20
# Places where something begins or ends.
PLACES = sorted(
    {0, 1, 0xFFF, 0x1000, 0xA0000, 0xC0000, MIB, 2 * MIB, 16 * MIB, 0x7FFFFFFF, 1 << 31}
    | {64 * MIB, 512 * MIB, 512 * MIB - 0x1000, 0xB0000000, 0xC0000000, 0xE0000000, 0xFEB00000}
    | {0xFEC00000, 0xFEE00000, 0xFFFF0000, 0xFFFFF000, 0xFFFFFFFF}
    | {r.base for r in layout.REGIONS}
    | {r.end for r in layout.REGIONS}
)
SIZES = (0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 20, 40, 63, 64, 72, 127, 128, 255, 256, 4095, 4096)
NAMES = (
    b"etc/acpi/rsdp", b"etc/acpi/tables", b"etc/x", b"etc/a-name-of-more-than-16",
    b"etc/table-loader", b"etc/e820", b"etc/vmgenid_guid", b"etc/vmgenid_addr", b"",
    b"A" * 56, b"etc/smbios/smbios-tables", b"etc/smbios/smbios-anchor",
)  # fmt: skip


vmlinux = cache(build_test_kernel)
bzimages = cache(lambda: (build_test_bzimage(), build_test_bzimage16()))


def number(numbers: Numbers, bits: int = 32) -> int:
    """A number that is likely to be at some edge."""
    drawn = numbers.random()
    if drawn < 0.35:
        value = numbers.choice(PLACES) + numbers.choice((0, 0, 0, -1, 1, -0x1000, 0x1000))
    elif drawn < 0.65:
        value = numbers.choice(SIZES)
    elif drawn < 0.8:
        value = (1 << numbers.randrange(bits + 1)) + numbers.choice((-1, 0, 1))
    elif drawn < 0.9:
        value = -numbers.choice(SIZES)
    else:
        value = numbers.getrandbits(numbers.randrange(1, bits + 1))
    return value & (1 << bits) - 1


def _u32(numbers: Numbers, _before: bytes) -> bytes:
    return number(numbers).to_bytes(4, "little")


def _u64(numbers: Numbers, _before: bytes) -> bytes:
    value = number(numbers, 64)
    if numbers.random() < 0.4:
        value = 0x100000000 + number(numbers)
    return value.to_bytes(8, "little")[: numbers.choice((8, 8, 8, 8, 7, 4, 2, 1, 0))]


def _memmap(numbers: Numbers, before: bytes) -> bytes:
    """Entries of etc/e820: the host's own, and others around them."""
    size = E820_SIZE
    entries = [before[i : i + size] for i in range(0, len(before) // size * size, size)]
    for _ in range(numbers.choice((1, 1, 2, 3, 8, 130, 700))):
        start = number(numbers, 64) if numbers.random() < 0.3 else number(numbers)
        if numbers.random() < 0.3:
            start += 1 << 32
        length = numbers.choice((0, 1, 0x1000, MIB, number(numbers), number(numbers, 64)))
        kind = numbers.choice((1, 1, 2, 2, 3, 4, 5, 0, number(numbers)))
        entry = struct.pack("<QQI", start & (1 << 64) - 1, length, kind)
        if entries and numbers.random() < 0.2:
            entries[numbers.randrange(len(entries))] = entry
        else:
            entries.insert(numbers.randrange(len(entries) + 1), entry)
    return b"".join(entries)[: 0x6000 + numbers.randrange(3)]


def _text(numbers: Numbers, _before: bytes) -> bytes:
    size = numbers.choice((0, 1, 2, 3, 4, 5, 100, 2047, 2048, 4096, 65531, 65532, 65533, 70000))
    return numbers.choice((b"a", b"\0", b"\xff", b"a b=c ")) * size


def _blob(numbers: Numbers, _before: bytes) -> bytes:
    size = numbers.choice((*SIZES, 5000, 0x8000, 0x8001, 65536, 100000))
    return bytes(size) if numbers.random() < 0.5 else numbers.randbytes(size)


def _name(numbers: Numbers) -> bytes:
    weights = [30, 30, 10, 4, 1, 1, 2, 2, 1, 1, 1, 1]
    return numbers.choices(NAMES, weights)[0]


def _script_entry(numbers: Numbers) -> bytes:
    """One entry of the loader's script."""
    command = numbers.choices((0, 1, 2, 3, 4, number(numbers)), (1, 4, 8, 8, 3, 0.3))[0]
    name = _name(numbers).ljust(56, b"\0")
    other = _name(numbers).ljust(56, b"\0")
    offset = numbers.choice((0, 0, 8, 9, 16, 24, 32, 36, number(numbers)))
    if command == Command.ALLOCATE:
        align = numbers.choice((1, 16, 64, 4096, 0, 3, 1 << 31, number(numbers)))
        zone = numbers.choice((Zone.HIGH, Zone.HIGH, Zone.F_SEGMENT, 0, 3, 255))
        body = name + struct.pack("<IB", align, zone)
    elif command == Command.ADD_POINTER:
        body = name + other + struct.pack("<IB", offset, numbers.choice((4, 4, 4, 8, 8, 1, 2, 0)))
    elif command == Command.ADD_CHECKSUM:
        start = numbers.choice((0, 0, offset, number(numbers)))
        length = numbers.choice((20, 36, 64, 1, 0, 0x20000, number(numbers)))
        body = name + struct.pack("<III", offset, start, length)
    else:
        size = numbers.choice((4, 8, 8, 1, 0))
        body = name + other + struct.pack("<IIB", offset, numbers.choice((0, 40, offset)), size)
    return (int(command).to_bytes(4, "little") + body).ljust(acpi.LOADER_ENTRY_SIZE, b"\0")


def _script(numbers: Numbers, before: bytes) -> bytes:
    """A script by grammar, or the host's own with entries put in, left out, swapped."""
    size = acpi.LOADER_ENTRY_SIZE
    entries = [before[i : i + size] for i in range(0, len(before) // size * size, size)]
    if numbers.random() < 0.3:
        entries = []
    for _ in range(numbers.choice((1, 1, 2, 4, 12, 40, 500))):
        drawn = numbers.random()
        if entries and drawn < 0.15:
            entries.pop(numbers.randrange(len(entries)))
        elif entries and drawn < 0.3:
            entries.append(entries.pop(numbers.randrange(len(entries))))
        elif entries and drawn < 0.4:
            entries.append(numbers.choice(entries))
        else:
            entries.insert(numbers.randrange(len(entries) + 1), _script_entry(numbers))
    return b"".join(entries)[: 0x10000 + numbers.choice((0, 0, 0, 1, 64))]


def _anchor(numbers: Numbers, before: bytes) -> bytes:
    if numbers.random() < 0.5:
        data = smbios.ANCHOR_30 + numbers.randbytes(2) + b"\3" + numbers.randbytes(16)
        data = data[:ENTRY_30_SIZE]
    else:
        data = smbios.ENTRY_21.build(
            smbios.ENTRY_21.parse(bytes(smbios.ENTRY_21.sizeof()))
            | {
                "anchor": smbios.ANCHOR_21,
                "structures": number(numbers, 16),
                "max_structure_size": number(numbers, 16),
                "table_length": number(numbers, 16),
            }
        )
    return bytes(data)


def _structures(numbers: Numbers, before: bytes) -> bytes:
    """SMBIOS structures: a header, strings, two zeros."""
    found = before if numbers.random() < 0.5 else b""
    for _ in range(numbers.choice((0, 1, 2, 5, 40))):
        length = numbers.choice((4, 5, 24, 255, 0, 3, numbers.randrange(256)))
        kind = numbers.choice((0, 0, 1, 11, 17, 127, numbers.randrange(256)))
        body = numbers.randbytes(max(length - 4, 0))
        strings = numbers.choice((b"\0\0", b"a\0\0", b"abc\0d\0\0", b"", b"x" * 13000 + b"\0\0"))
        one = bytes([kind, length]) + numbers.randbytes(2) + body + strings
        found = one + found if numbers.random() < 0.3 else found + one
    return found


def _setup(numbers: Numbers, before: bytes) -> bytes:
    """The setup code of a bzImage with other fields in its header."""
    data = bytearray(before.ljust(1024, b"\0"))
    for _ in range(numbers.choice((1, 1, 2, 4))):
        at = SETUP_FIELDS[numbers.choice(SETUP_NAMES)]
        size = numbers.choice((1, 2, 4, 4, 8))
        value = number(numbers, 8 * size)
        if numbers.random() < 0.2:
            value = MIB + number(numbers, 12)  # into the kernel
        data[at : at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
    return bytes(data)


def _information(numbers: Numbers, _before: bytes) -> bytes:
    data = bytearray(multiboot.INFO.sizeof())
    for at in numbers.sample(INFORMATION, 4):
        data[at : at + 4] = number(numbers).to_bytes(4, "little")
    return bytes(data)


def _elf(numbers: Numbers, _before: bytes) -> bytes:
    """A kernel for the firmware to load, with other bytes in its headers."""
    base = numbers.choice((MIB, 2 * MIB, 16 * MIB, MIB, number(numbers)))
    if numbers.random() < 0.5:
        data = bytearray(vmlinux(numbers.choice((4, 8))))
    else:
        segments = [
            Segment(base + i * 0x1000 & 0xFFFFFFFF, b"\xf4" * 100, numbers.choice((100, 0x1000)), 7)
            for i in range(numbers.choice((1, 2, 5, 128, 140)))
        ]
        data = bytearray(write_elf(segments, [], base, pvh_note(base)))
    for _ in range(numbers.choice((0, 1, 1, 2, 4))):
        at = numbers.randrange(min(len(data), 0x200))
        size = numbers.choice((1, 2, 4, 4, 8))
        data[at : at + size] = number(numbers, 8 * size).to_bytes(size, "little")
    return bytes(data)


def _bzimage_kernel(numbers: Numbers, _before: bytes) -> bytes:
    return numbers.choice((*bzimages(), b"\x7fELF", b""))


KINDS: dict[str, Generator] = {
    "u32": _u32, "u64": _u64, "memmap": _memmap, "text": _text, "blob": _blob,
    "script": _script, "anchor": _anchor, "structures": _structures, "setup": _setup,
    "information": _information, "elf": _elf, "other kernel": _bzimage_kernel,
}  # fmt: skip
