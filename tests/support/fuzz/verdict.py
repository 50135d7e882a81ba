"""Whether a run ended as it may: in a state that the judge accepts, or in one line with a code;
and with no store outside the declared layout."""

import struct
from collections.abc import Mapping
from dataclasses import replace

from construct import ConstructError

from fwbuild import protocols
from fwbuild.abi import e820, elf, linux_boot, mptable, multiboot, offsets, pvpanic
from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator.loaded import Loaded
from fwbuild.emulator.machine import Machine, Outcome
from fwbuild.emulator.state import End, State
from fwbuild.errors import FwbuildError
from fwbuild.firmware import file_names, layout, stop_codes
from fwbuild.firmware.options import BootProtocol, Value
from fwbuild.guest import Guest
from fwbuild.image.identity import read_identity
from fwbuild.kernel.elf_file import ElfError, read_elf
from fwbuild.protocols import LINUX, LINUX16, kernel_file, linux
from tests.support.fuzz import bases
from tests.support.fuzz.inputs import Host
from tests.support.fuzz.machine import LIMIT, LeanMachine
from tests.support.fuzz.native import GRANULE, GRANULE_SHIFT
from tests.support.sandbox import DECLARED, _granules, vectors

NOTE = "fwbuild: no room for PCI "
# Complaints about what the host's tables hold, which the firmware hands over as they are.
CONTENTS = ("ACPI: bad", "ACPI: no RSDP", "the RSDP is said", "a table points nowhere")
NUMBERS = (
    Key.KERNEL_ADDR, Key.KERNEL_SIZE, Key.KERNEL_ENTRY, Key.INITRD_ADDR, Key.INITRD_SIZE,
    Key.CMDLINE_SIZE, Key.SETUP_SIZE, Key.SETUP_ADDR, Key.CMDLINE_ADDR,
)  # fmt: skip
SIZES = (
    (Key.KERNEL_SIZE, Key.KERNEL_DATA), (Key.INITRD_SIZE, Key.INITRD_DATA),
    (Key.CMDLINE_SIZE, Key.CMDLINE_DATA), (Key.SETUP_SIZE, Key.SETUP_DATA),
)  # fmt: skip
OPTIONAL = ((Key.INITRD_SIZE, Key.INITRD_DATA), (Key.CMDLINE_SIZE, Key.CMDLINE_DATA))
VERSION = offsets(linux_boot.SETUP_HEADER)["version"]
MODULE_FILES = file_names.MODULE[:-1]  # what the names of all of them start with
MULTIBOOT_MARK = multiboot.INFO_ADDRESS_QEMU.to_bytes(4, "little")
VARIABLES = [layout.address("work", n) for n in ("kernel_start", "kernel_span", "memmap_end")]
MODULES = layout.address("pvh_area", "modules")
TEXTS = layout.region("texts")
EMPTY_STRING = layout.address("pvh_area", "empty_string")
MODULE = struct.Struct("<QQQQ")  # abi.pvh's MODLIST_ENTRY: address, size, command line, 0
RANGE = struct.Struct("<QQII")  # its MEMMAP_ENTRY: address, size, type, 0
MULTIBOOT_MAP = layout.address("multiboot_area", "mmap")
MULTIBOOT_RANGE = struct.Struct("<IQQI")  # abi.multiboot's MMAP_ENTRY: size, address, size, type
PANIC = frozenset(_granules(pvpanic.PCI_PLACE, pvpanic.PCI_PLACE + 1))


def ended(outcome: Outcome, asked: int = 0) -> list[str]:
    """What is wrong with the way in which a run ended. A run that spends most of its instructions
    on what was `asked` may take more of them than it is given here."""
    if outcome.kind == End.HANDOFF or (outcome.kind == End.LIMIT and asked > LIMIT // 2):
        return []
    if outcome.kind != End.EXIT:
        return [f"ended in {outcome.kind} {outcome.detail}".strip()]
    *notes, line = outcome.console.splitlines() or [""]
    stop, _ = stop_codes.told(line)
    wrong = [f"a note {note!r}" for note in notes if not note.startswith(NOTE)]
    if stop is None or not line.startswith(f"fwbuild: {stop.code:02x} {stop.what} "):
        wrong.append(f"no coded line: {outcome.console!r}")
    elif outcome.exit_value is not None and outcome.exit_value != stop.code:
        wrong.append(f"exit {outcome.exit_value:#x} after {line!r}")
    if outcome.serial != f"{line}\n":  # notes go to the debug console alone
        wrong.append(f"the serial port has {outcome.serial!r}")
    return wrong


def asked(machine: LeanMachine, host: Host) -> int:
    """The bytes that the host's sizes asked a run for, an iteration of an instruction each: those
    read from fw_cfg's data port, and where the run reached its limit the zeros of the kernel's
    file, at the most."""
    copied = int(machine.hooks.counters.copied)
    return copied + _zeros(host) if machine.outcome.kind == End.LIMIT else copied


def _zeros(host: Host) -> int:
    try:
        loaded = read_elf(host.get(file_names.KERNEL)).of(elf.PT_LOAD)
    except ElfError:
        return 0
    return sum(max(0, s.memsz - len(s.content)) for s in loaded)


def judged(machine: Machine, host: Host) -> list[str]:
    """What the judge says of a handoff, of an input that it can judge."""
    if not can_judge(host) or not _is_consistent(machine, host):
        return []
    state = as_the_host_sees(machine, host)
    if state is None:
        return []
    try:
        if state.protocol == BootProtocol.LINUX:
            linux.host_setup_data(state)
    except MemoryError:
        return []  # the list is the host's, and absurd
    try:
        found = [str(departure) for departure in protocols.judge(state)]
    except (LookupError, ValueError, ConstructError, TypeError) as error:
        return [f"the judge gives up: {error!r}"]
    if _tells_of_tables(machine, host):
        return found
    return [departure for departure in found if not departure.startswith(CONTENTS)]


def can_judge(host: Host) -> bool:
    """Not where a device says that it did what it did not, or where the host contradicts itself
    about what it put into the items."""
    if any(kind == "dma" for kind, *_ in host.behaviour) or host.count is not None:
        return False
    if any(len(host.items.get(f.select, b"")) != f.size for f in host.files):
        return False
    return all(len(host.items.get(key, b"")) <= 4 for key in NUMBERS)


def _is_consistent(machine: Machine, host: Host) -> bool:
    """Whether the sizes are those of the bytes, and what is passed on as it is makes sense: a
    Multiboot kernel's information, and a setup code's header."""
    if _has_foreign_setup(host):
        return False
    for size, data in SIZES:
        number = int.from_bytes(host.items.get(size, b""), "little")
        if number and number != len(host.items.get(data, b"")):
            return machine.loaded is not None and _is_as_loaded(machine, host)
    if host.items.get(Key.INITRD_ADDR) != MULTIBOOT_MARK or machine.loaded is None:
        return True
    return _is_as_loaded(machine, host)


def _has_foreign_setup(host: Host) -> bool:
    """Whether a bzImage's header tells of what the firmware does not know: a list of setup_data
    that starts outside the kernel's file, or, where its setup code runs, another initrd than the
    items have. No QEMU wants that code elsewhere than where the firmware puts it."""
    setup = host.items.get(Key.SETUP_DATA, b"").ljust(linux_boot.HEADER_END_MAX, b"\0")
    header = linux_boot.SETUP_HEADER.parse(setup)
    if header.header != linux_boot.HEADER_MAGIC:
        return False
    if not header.type_of_loader:  # QEMU's own: no firmware knows better
        return True

    def number(key: Key) -> int:
        return int.from_bytes(host.items.get(key, b""), "little")

    start, first = number(Key.KERNEL_ADDR), header.setup_data
    if first and not start <= first < start + len(host.items.get(Key.KERNEL_DATA, b"")):
        return True
    wanted = number(Key.INITRD_ADDR), number(Key.INITRD_SIZE), number(Key.SETUP_ADDR)
    told = header.ramdisk_image, header.ramdisk_size, layout.region("setup").base
    return header.version < linux_boot.PROTOCOL_MODERN and wanted != told


def _is_as_loaded(machine: Machine, host: Host) -> bool:
    """Whether all that belongs to the kernel is as QEMU's loader left it."""
    assert machine.loaded
    keys = {*machine.loaded.keys, *NUMBERS, *(data for _, data in SIZES)}
    return all(host.items.get(key, b"") == machine.loaded.keys.get(key, b"") for key in keys)


def _tells_of_tables(machine: Machine, host: Host) -> bool:
    """Whether the host's ACPI tables and their script are a QEMU's own."""
    own = {f.name: f.data for f in machine.recording.files}
    names = own.keys() | {f.name.decode("latin-1") for f in host.files}
    tables = {n for n in names if n.startswith("etc/acpi") or n == file_names.TABLE_LOADER}
    return all(host.get(name) == own.get(name, b"") for name in tables)


def as_the_host_sees(machine: Machine, host: Host) -> State | None:
    """The state by the protocol that the items stand for, None for a kernel's file that the
    Python side refuses."""
    items = dict(host.items)

    def number(key: Key) -> int:
        return int.from_bytes(items.get(key, b""), "little")

    items |= {data: b"" for size, data in OPTIONAL if not number(size)}
    options = _options(machine)

    def file(name: str) -> bytes:
        if name.startswith(MODULE_FILES) and not options["modules"]:
            return b""  # the image does not look for it
        found = host.find(name)
        return machine.fw_cfg.items.get(found.select, b"") if found else b""

    files = {file_names.E820: host.get(file_names.E820)}
    names = (f.name.decode("latin-1") for f in host.files if options["modules"])
    files |= {name: file(name) for name in names if name.startswith(MODULE_FILES)}
    kept = [f for f in machine.recording.files if not f.name.startswith(MODULE_FILES)]
    offer = replace(machine.recording, files=kept, smp=_cpus(number(Key.NB_CPUS)))
    offer = offer.with_files(files)
    told = not any(kind == "no dma" for kind, *_ in host.behaviour)
    state = replace(machine.state(), file=file, host=offer, items=items, told=told)
    entry: int | None = number(Key.KERNEL_ENTRY)
    if not number(Key.KERNEL_SIZE):
        loaded = _file(machine, host)
        if loaded is None:
            return None
        state = replace(state, protocol=loaded.protocol, segments=loaded.segments)
        entry = loaded.entry
    elif not entry:
        version = int.from_bytes(items.get(Key.SETUP_DATA, b"")[VERSION : VERSION + 2], "little")
        modern = version >= linux_boot.PROTOCOL_MODERN
        protocol = BootProtocol.LINUX if modern else BootProtocol.LINUX16
        state, entry = replace(state, protocol=protocol, segments=()), None
    elif number(Key.INITRD_ADDR) == multiboot.INFO_ADDRESS_QEMU:
        state = replace(state, protocol=BootProtocol.MULTIBOOT, segments=())
    else:
        start = number(Key.KERNEL_ADDR)
        end = start + number(Key.KERNEL_SIZE)
        known = state.segments if state.protocol == BootProtocol.PVH else ()
        inside = [p for p in known if start <= p.address and p.end <= end]
        state = replace(state, protocol=BootProtocol.PVH, segments=inside)
    if entry is not None and state.registers["eip"] != entry:
        return replace(state, end=End.FAULT, detail=f"entered at {state.registers['eip']:#x}")
    return state


def _cpus(number: int) -> int:
    """The CPUs that a guest of so many has in an MP table, which names at most 255."""
    return min(number & 0xFFFF, mptable.ALL_APICS)


def _options(machine: Machine) -> Mapping[str, Value]:
    """The options that the image of a machine was built with."""
    identity = read_identity(machine.image)
    assert identity
    return bases.image(identity.template).template.values


def _file(machine: Machine, host: Host) -> Loaded | None:
    """The kernel's file that the firmware is to load, None where the Python side refuses it."""
    data = host.get(file_names.KERNEL)
    memory = machine.recording.with_files({file_names.E820: host.get(file_names.E820)})
    try:
        return kernel_file.load_file(Guest(firmware_loads=True), memory, data, "the file")
    except FwbuildError:
        return None


def _entry(machine: Machine, host: Host) -> int | None:
    """Where the kernel of a host is entered."""
    if not any(host.items.get(Key.KERNEL_SIZE, b"")):
        loaded = _file(machine, host)
        return loaded.entry if loaded else None
    entry = int.from_bytes(host.items.get(Key.KERNEL_ENTRY, b""), "little")
    if entry:
        return entry
    version = int.from_bytes(host.items.get(Key.SETUP_DATA, b"")[VERSION : VERSION + 2], "little")
    modern = version >= linux_boot.PROTOCOL_MODERN
    return (LINUX if modern else LINUX16).entry


def strays(machine: LeanMachine) -> list[str]:
    """Stores of the run outside the declared layout."""
    found = {g: block for g, block in machine.hooks.stored() if g not in DECLARED}
    for start, end in machine.memory.transfers:
        if end > start and not (start // GRANULE in DECLARED and (end - 1) // GRANULE in DECLARED):
            found[start // GRANULE] = 0
            found[(end - 1) // GRANULE] = 0
    found = {g: block for g, block in found.items() if not _is_device(machine, g)}
    if not found:
        return []
    claimed = _claimed(machine)
    return [
        f"a store to {granule << GRANULE_SHIFT:#x} by the block at {block:#x}"
        for granule, block in found.items()
        if not any(a // GRANULE <= granule <= (b - 1) // GRANULE for a, b in claimed)
    ]


def _claimed(machine: LeanMachine) -> list[tuple[int, int]]:
    """[address, end) of what the host and the memory map allow besides the layout, as
    sandbox.py has it."""
    items, read = machine.fw_cfg.items, machine.read

    def number(data: bytes) -> int:
        return int.from_bytes(data, "little")

    found = [
        (start := number(items.get(a, b"")), start + number(items.get(s, b"")))
        for a, s in ((Key.KERNEL_ADDR, Key.KERNEL_SIZE), (Key.INITRD_ADDR, Key.INITRD_SIZE))
    ]
    start, span, end = (number(read(at, 4)) for at in VARIABLES)
    found.append((start, start + span))
    found += vectors(read)
    modules = read(MODULES, 10 * MODULE.size)
    for address, size, text, _ in MODULE.iter_unpack(modules):
        if text == EMPTY_STRING or TEXTS.base <= text < TEXTS.end:
            found.append((address, address + size))
    if items.get(Key.INITRD_ADDR) == MULTIBOOT_MARK and machine.outcome.kind == End.HANDOFF:
        # its kernel may lie over the map that its own was made from
        entries = read(MULTIBOOT_MAP, layout.region("multiboot").end - MULTIBOOT_MAP)
        whole = len(entries) // MULTIBOOT_RANGE.size * MULTIBOOT_RANGE.size
        for _, address, size, kind in MULTIBOOT_RANGE.iter_unpack(entries[:whole]):
            if kind == e820.Type.NVS:
                found.append((address, address + size))
        return [(start, end) for start, end in found if start < end]
    area = layout.region("memmap")
    entries = read(area.base, min(max(end - area.base, 0), area.size) // RANGE.size * RANGE.size)
    for address, size, kind, _ in RANGE.iter_unpack(entries):
        if kind == e820.Type.NVS:
            found.append((address, address + size))
    return [(start, end) for start, end in found if start < end]


def _is_device(machine: Machine, granule: int) -> bool:
    return granule in PANIC or machine.board.mmio.find(granule << GRANULE_SHIFT) is not None


def again(machine: Machine, host: Host) -> list[str]:
    """Everything that is wrong with a run of the stock emulator, which counts each instruction."""
    machine._entry = _entry(machine, host)
    outcome = machine.run(LIMIT)
    wrong = ended(outcome, _zeros(host))
    if outcome.kind == End.HANDOFF:
        wrong += judged(machine, host)
    return wrong
