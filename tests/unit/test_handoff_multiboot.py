"""The whole firmware in the emulated machine: what a Multiboot kernel is handed."""

from pathlib import Path

import pytest

from fwbuild.abi import e820, multiboot, offsets
from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator import recording
from fwbuild.emulator.machine import Machine
from fwbuild.errors import FwbuildError
from fwbuild.firmware import layout
from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.kernel.multiboot import find_header, parse_multiboot
from fwbuild.machines import MACHINES
from fwbuild.payloads.test_kernel import build_test_multiboot
from fwbuild.protocols import MULTIBOOT, load
from fwbuild.protocols.multiboot import MultibootHandoff
from fwbuild.sizes import MIB
from tests.support.booted import SIZES, emulated
from tests.support.files import claim
from tests.support.multiboot import by_header

INFO = offsets(multiboot.INFO)


def boot(guest: Guest, image: bytes, *, dma: bool = True, poison: int = 0xA5) -> Machine:
    return emulated(guest, image, build_test_multiboot(), dma=dma, poison=poison)


def handoff(machine: Machine) -> MultibootHandoff:
    return MULTIBOOT.read(machine.state())


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """Two modules, as QEMU's -initrd names them."""
    for name, size in (("one", 5000), ("t,wo", 0x3000)):
        (tmp_path / name).write_bytes(name.encode() * size)
    return Path(f"{tmp_path}/one its arguments,{tmp_path}/t,,wo")


@pytest.mark.parametrize("megabytes", SIZES)
@pytest.mark.parametrize("name", MACHINES)
def test_memory_sizes(name: str, megabytes: int, image: Image, modules: Path) -> None:
    machine = boot(Guest(name, megabytes * MIB, initrd=modules, append="a=b"), image.image)
    assert MULTIBOOT.judge(machine.state()) == []
    found = handoff(machine)
    folder = str(modules).partition("/one")[0]
    assert found.cmdline == b"the test kernel a=b"
    assert found.loader == b"qemu"
    texts = [text.decode() for _, _, text in found.modules]
    assert texts == [f"{folder}/one its arguments", f"{folder}/t,wo"]
    for (start, end, _), content in zip(
        found.modules, (b"one" * 5000, b"t,wo" * 0x3000), strict=True
    ):
        assert start % 4096 == 0
        assert machine.read(start, end - start) == content
    ram = sum(m.size for m in found.memmap if m.type in (e820.Type.RAM, e820.Type.NVS))
    assert ram == megabytes * MIB - (e820.EXTENDED - layout.BIOS.base)


@pytest.mark.parametrize("dma", [True, False])
@pytest.mark.parametrize("poison", [0, 0xFF])
def test_by_port_and_over_other_contents(dma: bool, poison: int, image: Image) -> None:
    machine = boot(Guest("pc"), image.image, dma=dma, poison=poison)
    assert MULTIBOOT.judge(machine.state()) == []
    assert handoff(machine).info.mods_count == 0


LOWEST, HIGHEST = layout.MULTIBOOT_LOW, layout.MULTIBOOT_HIGH
SIZE = 0x1000  # the test kernel's blob, text and all, has no more


@pytest.mark.parametrize("dma", [True, False])
@pytest.mark.parametrize("base", [LOWEST, 0x7000, 0x8000, 0x9000, HIGHEST - 2 * SIZE])
def test_a_kernel_below_1_mib(base: int, dma: bool, image: Image) -> None:
    """SeaBIOS's and qboot's users load at 0x8000, as kvm-unit-tests' realmode does."""
    kernel = build_test_multiboot(base=base)
    machine = emulated(Guest("pc", append="a"), image.image, dma=dma, kernel=kernel)
    assert MULTIBOOT.judge(machine.state()) == []
    assert machine.run_kernel().exit_value == 1
    usual = emulated(Guest("pc", append="a"), image.image, kernel=build_test_multiboot())
    assert machine.console.text == usual.run_kernel().console


def test_a_kernel_that_fills_low_memory(image: Image) -> None:
    """Every byte of what is free is the kernel's when it is entered."""
    kernel = build_test_multiboot(base=LOWEST)
    found = recording.find(Guest("q35"))
    loaded = load(Guest("q35"), found, kernel)
    assert loaded
    blob = loaded.keys[Key.KERNEL_DATA].ljust(HIGHEST - LOWEST, b"\x77")
    loaded.keys[Key.KERNEL_DATA] = blob
    loaded.keys[Key.KERNEL_SIZE] = len(blob).to_bytes(4, "little")
    machine = Machine(image.image, found, loaded)
    machine.run()
    problems = MULTIBOOT.judge(machine.state())
    # The judge of ACPI reads the firmware's notes of where the tables are: the kernel lies there.
    assert [p for p in problems if not p.startswith("ACPI")] == []
    assert machine.run_kernel().exit_value == 1


@pytest.mark.parametrize("name", MACHINES)
def test_a_kernel_at_the_top_of_ram(name: str, image: Image) -> None:
    """Tables go below it; the judge sees to it that nothing of it is lost."""
    base = 512 * MIB - 2 * SIZE
    kernel = build_test_multiboot(base=base)
    machine = emulated(Guest(name, 512 * MIB, append="a"), image.image, kernel=kernel)
    assert MULTIBOOT.judge(machine.state()) == []
    tables = [m for m in handoff(machine).memmap if m.type == e820.Type.NVS]
    assert tables and all(m.addr + m.size <= base for m in tables)
    assert machine.run_kernel().exit_value == 1


@pytest.mark.parametrize("poison", [0, 0xFF])
def test_what_no_flag_is_set_for_is_zero(poison: int, image: Image) -> None:
    """QEMU's information ends before framebuffer_addr, the specification's does not."""
    machine = boot(Guest("pc"), image.image, poison=poison)
    assert multiboot.INFO.sizeof() == 116
    found = handoff(machine)
    assert not any(machine.read(found.address + 88, 116 - 88))
    assert found.info.mmap_addr >= found.address + 116
    assert not any(machine.read(found.address + 52, 12))  # drives, configuration table


def test_the_command_line_that_microvm_adds_without_acpi(image: Image) -> None:
    """QEMU's microvm_fix_kernel_cmdline gives the items to any kernel, as it resets."""
    found = recording.find(Guest("microvm"))
    loaded = load(Guest("microvm"), found, build_test_multiboot())
    assert loaded
    line = b" virtio_mmio.device=512@0xfeb00000:5\0"
    loaded.keys[Key.CMDLINE_DATA] = line
    loaded.keys[Key.CMDLINE_SIZE] = len(line).to_bytes(4, "little")
    machine = Machine(image.image, found, loaded)
    machine.run()
    assert MULTIBOOT.judge(machine.state()) == []


def test_registers(image: Image) -> None:
    """The state that the specification asks for, spelled out apart from the judge."""
    registers = boot(Guest("q35"), image.image).outcome.registers
    assert registers["eax"] == 0x2BADB002
    assert registers["cr0"] & 0x80000001 == 1
    assert registers["eflags"] & 0x20200 == 0  # VM, IF


def test_more_ranges_than_qemu_has_room_for(image: Image) -> None:
    """QEMU's places for map and information are 53 entries apart."""
    found = recording.find(Guest("pc"))
    machine = Machine(image.image, found, load(Guest("pc"), found, build_test_multiboot()))
    reserved = [(0x40000000 + i * 0x2000, 0x1000, e820.Type.RESERVED) for i in range(110)]
    claim(machine, [(0, 512 * MIB, e820.Type.RAM), *reserved])
    machine.run()
    ranges = handoff(machine).memmap
    assert [(m.addr, m.size, m.type) for m in ranges if m.addr >= 0x40000000] == reserved
    assert machine.run_kernel().console.count("\nmemory ") == len(ranges)


def test_kernel_reports(image: Image, modules: Path) -> None:
    machine = boot(Guest("pc", initrd=modules, append="hello"), image.image)
    found = handoff(machine)
    lower, upper = (
        next(m.size for m in found.memmap if m.addr == at) // 1024 for at in (0, e820.EXTENDED)
    )
    outcome = machine.run_kernel()
    assert (outcome.kind, outcome.exit_value) == ("exit", 1)
    assert outcome.console.splitlines()[1:] == [
        "magic   2badb002",
        "flags   0000024f",
        f"lower   {lower:08x}",
        f"upper   {upper:08x}",
        "device  8000ffff",
        "loader  qemu",
        "cmdline the test kernel hello",
        *(f"module  {start:08x} {end:08x} {text.decode()}" for start, end, text in found.modules),
        *(f"memory  {m.addr:016x} {m.size:016x} type {m.type:08x}" for m in found.memmap),
    ]
    assert len(found.modules) == 2
    assert {m.type for m in found.memmap} == {e820.Type.RAM, e820.Type.RESERVED, e820.Type.NVS}


# name: (field of the information, its value in memory, words of the complaint)
MEMORY = {
    "flags": ("flags", b"\0", "flags are 0x200"),
    "mem_lower": ("mem_lower", b"\0", "mem_lower is"),
    "mem_upper": ("mem_upper", b"\1", "mem_upper is"),
    "boot device": ("boot_device", b"\1", "boot_device is"),
    "command line": ("cmdline", b"\0", "cmdline is"),
    "modules": ("mods_count", b"\1", "mods_count is"),
    "symbols": ("syms", b"\1", "syms is"),
    "boot loader": ("boot_loader_name", b"\0", "boot_loader_name is"),
    "APM": ("apm_table", b"\1", "apm_table is"),
    "short map": ("mmap_length", b"\x18", "memory map: RAM is"),
    "map elsewhere": ("mmap_addr", b"\0\0\0\xe0", "points nowhere"),
    "no map": ("mmap_length", b"\0", "0 memory map entries"),
}


@pytest.fixture
def machine(image: Image, modules: Path) -> Machine:
    return boot(Guest("pc", initrd=modules, append="a=b"), image.image)


@pytest.mark.parametrize("name", MEMORY)
def test_judge(name: str, machine: Machine) -> None:
    field, value, words = MEMORY[name]
    assert MULTIBOOT.judge(machine.state()) == []
    machine.uc.mem_write(machine.outcome.registers["ebx"] + INFO[field], value)
    assert words in " / ".join(MULTIBOOT.judge(machine.state()))


def test_judge_of_the_map(machine: Machine) -> None:
    at = handoff(machine).info.mmap_addr
    machine.uc.mem_write(at, (24).to_bytes(4, "little"))
    assert "an entry of 24 bytes" in " / ".join(MULTIBOOT.judge(machine.state()))


def test_judge_of_the_contents(machine: Machine) -> None:
    found = handoff(machine)
    machine.uc.mem_write(found.modules[1][0], b"\0")
    assert "module is damaged" in " / ".join(MULTIBOOT.judge(machine.state()))
    machine.uc.mem_write(found.info.mods_addr, b"\0\0\0\0")
    assert "module 0 lies outside" in " / ".join(MULTIBOOT.judge(machine.state()))


REGISTERS = {
    "EAX": ("eax", 0x2BADB003, "not the magic"),
    "EBX": ("ebx", 0xE0000000, "points nowhere"),
    "paging": ("cr0", 0x80000011, "without paging"),
    "IF": ("eflags", 0x202, "EFLAGS.IF"),
    "SS": ("ss", 0x10, "SS is not flat"),
}


@pytest.mark.parametrize("name", REGISTERS)
def test_judge_of_registers(name: str, machine: Machine) -> None:
    register, value, words = REGISTERS[name]
    machine.outcome.registers[register] = value
    assert words in " / ".join(MULTIBOOT.judge(machine.state()))


# name: (fields, bytes that are loaded, of them from the file); the file has 48 + 100 behind 48
ADDRESSES = {
    "to the end of the file": ({}, 164, 164),
    "to load_end_addr": ({"load_end_addr": 0x100050}, 0x50, 0x50),
    "with bss": ({"load_end_addr": 0x100050, "bss_end_addr": 0x101000}, 0x1000, 0x50),
}


@pytest.mark.parametrize("name", ADDRESSES)
def test_header_with_addresses(name: str) -> None:
    fields, size, from_file = ADDRESSES[name]
    data = by_header(**fields)
    kernel = parse_multiboot(data, "k")
    assert (kernel.address, kernel.entry, len(kernel.content)) == (0x100000, 0x100040, size)
    assert kernel.content == data[48 : 48 + from_file].ljust(size, b"\0")


BAD = {
    "load_addr": {"load_addr": 0x100020},
    "load_end_addr below": {"load_end_addr": 0xFFFFF},
    "load_end_addr behind": {"load_end_addr": 0x200000},
    "bss_end_addr": {"bss_end_addr": 0x100020},
}


@pytest.mark.parametrize("name", BAD)
def test_bad_header(name: str) -> None:
    with pytest.raises(FwbuildError, match=f"invalid {name.partition(' ')[0]}"):
        parse_multiboot(by_header(**BAD[name]), "k")


def test_no_header() -> None:
    data = by_header()
    assert find_header(data)
    assert find_header(data[1:]) is None  # not aligned
    assert find_header(data.replace(data[72:76], b"\1\0\0\0", 1)) is None  # checksum
    assert find_header(bytes(8192) + data) is None


def test_a_64_bit_elf_is_refused() -> None:
    data = bytearray(build_test_multiboot())
    data[18:20] = (62).to_bytes(2, "little")  # EM_X86_64
    with pytest.raises(FwbuildError, match="no 32-bit ELF"):
        parse_multiboot(bytes(data), "k")


def test_two_accesses_for_kernel_and_information(image: Image) -> None:
    guest = Guest("pc", append="a")
    ours = boot(guest, image.image).outcome.accesses
    pvh = emulated(guest, image.image).outcome.accesses
    transfers = [sum(a.port == 0x518 for a in accesses) for accesses in (ours, pvh)]
    assert transfers[0] == transfers[1] - 1 + 2  # the command line is part of the kernel
    assert Key.CMDLINE_DATA not in load(guest, recording.find(guest), build_test_multiboot()).keys  # type: ignore[union-attr]
