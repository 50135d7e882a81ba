"""Draws changes: which part of the host lies, and how."""

import random
from collections.abc import Callable

from fwbuild.abi import acpi, e820, linux_boot, multiboot, offsets, smbios
from fwbuild.abi.fw_cfg import Key
from fwbuild.firmware import file_names
from tests.support.fuzz import honest
from tests.support.fuzz.contents import PLACES, number
from tests.support.fuzz.inputs import Change, Host, Input

CHANGES_MAX = 12
SETUP = f"#{int(Key.SETUP_DATA):x}"
# What items and files are made of, by the names of contents.KINDS.
GENERATED: dict[str, tuple[str, ...]] = {
    file_names.E820: ("memmap",),
    file_names.TABLE_LOADER: ("script",),
    file_names.SMBIOS_ANCHOR: ("anchor",),
    file_names.SMBIOS_TABLES: ("structures",),
    file_names.EXTRA_ROOTS: ("u64",),
    file_names.RESERVED_MEMORY_END: ("u64",),
    file_names.FEATURE_CONTROL: ("u64",),
    file_names.PVPANIC_PORT: ("u64",),
    file_names.KERNEL: ("elf", "blob"),
    file_names.CMDLINE: ("text",),
    file_names.MODULE: ("blob",),
    file_names.MODULE[:-1] + "2": ("blob",),
    "etc/x": ("blob",),
    "etc/acpi/tables": ("blob",),
    SETUP: ("setup", "setup", "blob"),
    f"#{int(Key.KERNEL_DATA):x}": ("blob", "other kernel"),
    f"#{int(Key.CMDLINE_DATA):x}": ("text",),
    f"#{int(Key.INITRD_DATA):x}": ("blob", "information"),
    **{
        f"#{int(key):x}": ("u32",)
        for key in (
            Key.KERNEL_ADDR, Key.KERNEL_SIZE, Key.KERNEL_ENTRY, Key.INITRD_ADDR, Key.INITRD_SIZE,
            Key.CMDLINE_SIZE, Key.SETUP_SIZE, Key.NB_CPUS, Key.SETUP_ADDR, Key.CMDLINE_ADDR,
        )
    },
}  # fmt: skip
# Where the fields of what is a structure begin: once (0), or every so many bytes.
FIELDS: dict[str, tuple[int, list[int]]] = {
    file_names.E820: (e820.ENTRY.sizeof(), [0, 4, 8, 12, 16]),
    file_names.TABLE_LOADER: (
        acpi.LOADER_ENTRY_SIZE,
        sorted({0, *offsets(acpi.ADD_POINTER).values(), *offsets(acpi.ADD_CHECKSUM).values()}),
    ),
    file_names.SMBIOS_ANCHOR: (0, sorted(offsets(smbios.ENTRY_21).values())),
    SETUP: (0, sorted(offsets(linux_boot.SETUP_HEADER).values())),
    f"#{int(Key.INITRD_DATA):x}": (0, sorted(offsets(multiboot.INFO).values())),
}
CONTROLS = (0, 1, 2, 0xFFFFFFFE, 0xFFFFFFFF, 0x80000000, 0x1B000000)


def _generate(numbers: random.Random, host: Host) -> Change:
    target = numbers.choice(list(GENERATED))
    return ["generate", target, numbers.choice(GENERATED[target]), numbers.getrandbits(32)]


def _set(numbers: random.Random, host: Host) -> Change:
    named = [name for name in FIELDS if host.get(name)]
    if named and numbers.random() < 0.7:
        target = numbers.choice(named)
        stride, fields = FIELDS[target]
        at = numbers.choice(fields)
        if stride:
            at += numbers.randrange(max(1, len(host.get(target)) // stride)) * stride
    else:
        target = numbers.choice(host.targets())
        at = numbers.randrange(min(len(host.get(target)), 1 << 16))
    size = numbers.choice((1, 2, 4, 4, 8))
    if numbers.random() < 0.1:
        host_number = 0x100000000 + numbers.choice(PLACES)
    else:
        host_number = number(numbers, 8 * size)
    value = host_number & (1 << 8 * size) - 1
    return ["set", target, at, value.to_bytes(size, "little").hex()]


def _resize(numbers: random.Random, host: Host) -> Change:
    target = numbers.choice(host.targets())
    size = len(host.get(target))
    if numbers.random() < 0.6:
        return ["cut", target, numbers.choice((0, size - 1, size // 2, numbers.randrange(size)))]
    return ["grow", target, numbers.choice((1, 4, 20, 128, 5000, 70000)), numbers.choice((0, 255))]


def _directory(numbers: random.Random, host: Host) -> Change:
    if not host.files or numbers.random() < 0.15:
        return ["count", numbers.choice((0, 1, len(host.files) - 1, 127, 0x4000, 0xFFFFFFFF))]
    files = [f.name.decode("latin-1") for f in host.files]
    known = [name for name in files if name in GENERATED or name.startswith("etc/acpi")]
    target = numbers.choice(known if known and numbers.random() < 0.7 else files)
    return numbers.choice(
        (
            ["claim", target, number(numbers)],
            ["claim", target, len(host.get(target)) + numbers.choice((-1, 1, 4096))],
            ["select", target, numbers.choice((0, 0x19, 0x8000, 0xFFFF, 0x11, 0x20))],
            ["select", target, numbers.choice(host.files).select],
            ["name", target, numbers.choice(("", "x" * 56, *GENERATED))],
            ["twice", target],
            ["drop", numbers.choice((target, numbers.choice(host.targets())))],
            ["fill", numbers.choice((1, 100, 126, 127, 252))],
        )
    )


def _dma(numbers: random.Random, _host: Host) -> Change:
    if numbers.random() < 0.3:
        return ["no dma"]
    how = numbers.choice(("control", "late", "once", "half"))
    return ["dma", how, numbers.randrange(1, 30), numbers.choice(CONTROLS)]


def _pci(numbers: random.Random, _host: Host) -> Change:
    drawn = numbers.random()
    if drawn < 0.6:
        return ["devices", numbers.getrandbits(32), numbers.choice((1, 1, 2, 2, 4, 4, 8, 20, 60))]
    if drawn < 0.85:
        size = numbers.choice((1, 2, 4))
        new = numbers.randbytes(size).hex()
        bits = numbers.choice(("", "00" * size, "ff" * size))
        return ["registers", numbers.randrange(64), numbers.randrange(0x48), new, bits]
    present = numbers.choice((0, 0x11234, 0x71908086, 0x70008086, 0x29C08086))
    buses = 256 if numbers.random() < 0.03 else numbers.choice((1, 1, 2))
    return ["answers", present, numbers.getrandbits(32), buses, numbers.choice((1, 8, 64, 200))]


def _file(numbers: random.Random, _host: Host) -> Change:
    return ["file", numbers.choice(("elf", "elf", "elf", "blob")), numbers.getrandbits(32)]


def _honest(numbers: random.Random, _host: Host) -> Change:
    return ["honest", numbers.choice(list(honest.PARTS)), numbers.getrandbits(32)]


DRAWN: tuple[tuple[float, Callable[[random.Random, Host], Change]], ...] = (
    (0.40, _generate), (0.26, _set), (0.05, _resize), (0.10, _directory), (0.05, _dma),
    (0.11, _pci), (0.03, _file), (0.05, _honest),
)  # fmt: skip
WEIGHTS = [weight for weight, _ in DRAWN]


def change(numbers: random.Random, host: Host) -> Change:
    """One lie more of this host."""
    [(_, draw)] = numbers.choices(DRAWN, WEIGHTS)
    return draw(numbers, host)


def good(numbers: random.Random, base: str) -> Input:
    """A host that differs from the base, and is as good."""
    changes = [
        ["honest", p, numbers.getrandbits(32)] for p in honest.PARTS if numbers.random() < 0.4
    ]
    if numbers.random() < 0.2:
        changes.append(["no dma"])
    return Input(base, tuple(changes))


def mutate(numbers: random.Random, host: Host, parent: Input, other: Input) -> Input:
    """Another input from one that reached something; `host` is the base's, to draw from."""
    changes = list(parent.changes)
    drawn = numbers.random()
    if drawn < 0.15 and changes:
        changes.pop(numbers.randrange(len(changes)))
    elif drawn < 0.3 and other.changes:
        changes += numbers.sample(other.changes, numbers.randint(1, len(other.changes)))
    elif drawn < 0.4 and changes:
        numbers.shuffle(changes)
    if drawn >= 0.3 or not changes:
        for _ in range(numbers.choice((1, 1, 1, 2, 3))):
            changes.insert(numbers.randrange(len(changes) + 1), change(numbers, host))
    return Input(parent.base, tuple(changes[:CHANGES_MAX]))
