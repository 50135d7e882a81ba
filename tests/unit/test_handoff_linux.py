"""The whole firmware in the emulated machine: what a bzImage is handed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fwbuild import protocols
from fwbuild.abi import e820, linux_boot, offsets
from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator import recording
from fwbuild.emulator.loaded import Loaded
from fwbuild.emulator.machine import Machine
from fwbuild.firmware import stop_codes
from fwbuild.guest import Guest
from fwbuild.image.build import Image, build_image
from fwbuild.machines import MACHINES
from fwbuild.payloads.test_kernel import build_test_bzimage, build_test_kernel
from fwbuild.protocols import LINUX
from fwbuild.protocols.linux import LinuxHandoff
from fwbuild.sizes import MIB, align_up
from tests.support.booted import SIZES, emulated
from tests.support.files import put_files


def relocatable() -> bytes:
    return build_test_bzimage(
        relocatable_kernel=1, pref_address=0x2000000, init_size=0x800000, kernel_alignment=0x200000
    )


def boot(
    guest: Guest, image: bytes, *, dma: bool = True, poison: int = 0xA5, kernel: bytes | None = None
) -> Machine:
    return emulated(guest, image, kernel or build_test_bzimage(), dma=dma, poison=poison)


def handoff(machine: Machine) -> LinuxHandoff:
    return LINUX.read(machine.state())


@pytest.mark.parametrize("megabytes", SIZES)
@pytest.mark.parametrize("name", MACHINES)
def test_memory_sizes(name: str, megabytes: int, image: Image, tmp_path: Path) -> None:
    initrd = tmp_path / "initrd"
    initrd.write_bytes(bytes(range(256)) * 4097)
    machine = boot(Guest(name, megabytes * MIB, initrd=initrd, append="a=b vga=0x317"), image.image)
    assert LINUX.judge(machine.state()) == []
    found = handoff(machine)
    assert found.boot_params.hdr.vid_mode == 0x317
    page = machine.read(found.address, linux_boot.BOOT_PARAMS.sizeof())
    assert page == linux_boot.BOOT_PARAMS.build(found.boot_params)  # nothing is between the fields
    ram = sum(m.size for m in found.memmap if m.type in (e820.Type.RAM, e820.Type.NVS))
    assert ram == megabytes * MIB - (e820.EXTENDED - e820.EBDA)


CASES: dict[str, dict[str, Any]] = {
    "no initrd, no command line": {},
    "by port": {"dma": False},
    "memory of zeros": {"poison": 0},
    "memory of ones": {"poison": 0xFF},
}
KERNELS: dict[str, Callable[[], bytes]] = {
    "protocol 2.12": lambda: build_test_bzimage(version=0x20C),
    "a header that reaches into what follows": lambda: build_test_bzimage(jump=0xFFEB),
    "a header that ends early": lambda: build_test_bzimage(jump=0x66EB, kernel_info_offset=7),
    "relocatable": relocatable,
    "setup_sects is 0": lambda: build_test_bzimage(setup_sects=0).ljust(0x10000, b"\x90"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("template", ["universal", "linux"])
def test_cases(name: str, case: str, template: str) -> None:
    machine = boot(Guest(name), build_image(template).image, **CASES[case])
    assert LINUX.judge(machine.state()) == []
    assert handoff(machine).boot_params.hdr.setup_data == 0


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("template", ["universal", "linux"])
def test_kernels(name: str, kernel: str, template: str) -> None:
    machine = boot(Guest(name), build_image(template).image, kernel=KERNELS[kernel]())
    assert LINUX.judge(machine.state()) == []
    assert handoff(machine).boot_params.hdr.setup_data == 0


def test_without_acpi(image: Image) -> None:
    machine = boot(Guest("microvm,acpi=off"), image.image)
    assert LINUX.judge(machine.state()) == []
    assert handoff(machine).boot_params.acpi_rsdp_addr == 0


@pytest.mark.parametrize("length", [0, 1, 254, 255])
def test_command_line_as_long_as_the_header_allows(length: int, image: Image) -> None:
    kernel = build_test_bzimage(cmdline_size=255)
    machine = boot(Guest(append="x" * length), image.image, kernel=kernel)
    assert LINUX.judge(machine.state()) == []
    assert handoff(machine).cmdline == b"x" * length


def test_the_header_need_not_say_where_the_initrd_is(image: Image, tmp_path: Path) -> None:
    """QEMU says it there too: the number in fw_cfg counts."""
    initrd = tmp_path / "initrd"
    initrd.write_bytes(b"initrd" * 1000)
    guest = Guest("pc", initrd=initrd)
    found = recording.find(guest)
    loaded = protocols.load(guest, found, build_test_bzimage())
    assert loaded
    setup = bytearray(loaded.keys[Key.SETUP_DATA])
    for field in ("ramdisk_image", "ramdisk_size", "cmd_line_ptr"):
        at = offsets(linux_boot.SETUP_HEADER)[field]
        setup[at : at + 4] = bytes(4)
    loaded.keys[Key.SETUP_DATA] = bytes(setup)
    machine = Machine(image.image, found, loaded)
    machine.run()
    assert LINUX.judge(machine.state()) == []


def with_setup_data(loaded: Loaded, items: list[tuple[int, bytes]]) -> None:
    """Append a setup_data list to the kernel, as QEMU does for -dtb and the like."""
    kernel = loaded.keys[Key.KERNEL_DATA]
    base = int.from_bytes(loaded.keys[Key.KERNEL_ADDR], "little")
    at = align_up(len(kernel), 16)
    setup = bytearray(loaded.keys[Key.SETUP_DATA])
    place = offsets(linux_boot.SETUP_HEADER)["setup_data"]
    setup[place : place + 8] = (base + at).to_bytes(8, "little")
    for number, (kind, data) in enumerate(items, 1):
        kernel = kernel.ljust(at, b"\0")
        following = align_up(at + 16 + len(data), 16)
        more = base + following if number < len(items) else 0
        item = linux_boot.SETUP_DATA.build({"next": more, "type": kind, "len": len(data)})
        kernel += item + data
        at = following
    loaded.keys |= {Key.KERNEL_DATA: kernel, Key.SETUP_DATA: bytes(setup)}
    loaded.keys[Key.KERNEL_SIZE] = len(kernel).to_bytes(4, "little")


SETUP_DATA = {
    "a device tree": [(2, b"\xd0\x0d\xfe\xed" + bytes(range(256)) * 500)],
    "a tree and a seed": [(2, b"tree" * 1001), (9, bytes(range(32)))],
    "nothing inside": [(9, b"")],
}


@pytest.mark.parametrize("case", SETUP_DATA)
@pytest.mark.parametrize("kernel", [build_test_bzimage, relocatable])
def test_setup_data(case: str, kernel: Callable[[], bytes], image: Image) -> None:
    """The list arrives, and lies after everything that the kernel uses."""
    found = recording.find(Guest("pc"))
    loaded = protocols.load(Guest("pc"), found, kernel())
    assert loaded
    with_setup_data(loaded, SETUP_DATA[case])
    machine = Machine(image.image, found, loaded)
    machine.run()
    assert LINUX.judge(machine.state()) == []
    got = handoff(machine)
    assert got.setup_data == SETUP_DATA[case]
    header = got.boot_params.hdr
    size = len(loaded.keys[Key.KERNEL_DATA])
    assert header.setup_data >= max(0x100000 + size, header.pref_address + header.init_size)
    text = machine.run_kernel().console
    assert text.count("\nsetup_data ") == len(SETUP_DATA[case])


@pytest.mark.parametrize("pointer", [0xFFFFF, 0x1234567, 0x1_0010_0010, 0xFFFFFFFFFFFF0000])
def test_setup_data_elsewhere_stays(pointer: int, image: Image) -> None:
    """A pointer that does not lead into the kernel is none of the firmware's business."""
    machine = boot(Guest("pc"), image.image, kernel=build_test_bzimage(setup_data=pointer))
    at = machine.outcome.registers["esi"]
    params = linux_boot.BOOT_PARAMS.parse(machine.read(at, linux_boot.BOOT_PARAMS.sizeof()))
    assert machine.outcome.kind == "handoff"
    assert params.hdr.setup_data == pointer


@pytest.mark.parametrize("base", [0x80000, 0x1_0010_0000])  # below the kernel, and above 4 GiB
def test_setup_data_ends_at_an_entry_elsewhere(base: int, image: Image) -> None:
    """The first entry moves; its pointer, which leads elsewhere, stays."""
    found = recording.find(Guest("pc"))
    loaded = protocols.load(Guest("pc"), found, build_test_bzimage())
    assert loaded
    with_setup_data(loaded, [(9, b"seed")])
    kernel = bytearray(loaded.keys[Key.KERNEL_DATA])
    elsewhere = base + len(kernel) - 20
    assert elsewhere not in range(0x100000, 0x100000 + len(kernel))
    kernel[-20:-12] = elsewhere.to_bytes(8, "little")
    loaded.keys[Key.KERNEL_DATA] = bytes(kernel)
    machine = Machine(image.image, found, loaded)
    assert machine.run().kind == "handoff"
    place = machine.outcome.registers["esi"] + offsets(linux_boot.SETUP_HEADER)["setup_data"]
    at = int.from_bytes(machine.read(place, 8), "little")
    assert at > 0x100000 + len(kernel)
    assert machine.read(at, 8) == elsewhere.to_bytes(8, "little")


def place_initrd(machine: Machine, address: int) -> None:
    """Let the host give an initrd of one page."""
    numbers = {Key.INITRD_ADDR: address, Key.INITRD_SIZE: 0x1000}
    machine.fw_cfg.items |= {key: n.to_bytes(4, "little") for key, n in numbers.items()}


@pytest.mark.parametrize("limit, xloadflags, fits", [
    (0x1000FFF, 0, True),
    (0x1000FFE, 0, False),
    (0x1000FFE, linux_boot.XLoadFlag.CAN_BE_LOADED_ABOVE_4G, True),
])  # fmt: skip
def test_an_initrd_at_the_limit(limit: int, xloadflags: int, fits: bool, image: Image) -> None:
    """The header's limit is none for a kernel that takes an initrd anywhere."""
    found = recording.find(Guest("pc"))
    kernel = build_test_bzimage(initrd_addr_max=limit, xloadflags=int(xloadflags))
    loaded = protocols.load(Guest("pc"), found, kernel)
    machine = Machine(image.image, found, loaded)
    place_initrd(machine, 0x1000000)
    assert machine.run().kind == ("handoff" if fits else "exit")


# the header's fields, where what the kernel takes ends
ENDS: dict[str, tuple[dict[str, int], int]] = {
    "where it likes to run": ({"pref_address": 0x2000000, "kernel_alignment": 0x200000}, 0x3000000),
    "aligned": ({"pref_address": 0x1E00001, "kernel_alignment": 0x200000}, 0x3000000),
    "setup_data above 4 GiB": (
        {"pref_address": 0x2000000, "kernel_alignment": 1, "setup_data": 0x1_0010_0010}, 0x3000000),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDS)
def test_an_initrd_right_behind_the_kernel(name: str, image: Image) -> None:
    fields, end = ENDS[name]
    found = recording.find(Guest("pc"))
    kernel = build_test_bzimage(relocatable_kernel=1, init_size=0x1000000, **fields)
    loaded = protocols.load(Guest("pc"), found, kernel)
    for initrd, kind in ((end, "handoff"), (end - 1, "exit")):
        machine = Machine(image.image, found, loaded)
        place_initrd(machine, initrd)
        assert machine.run().kind == kind, machine.console.text


def test_an_initrd_right_behind_setup_data(image: Image) -> None:
    """Which moves to right behind what the kernel takes: its 16 bytes and 4 of data."""
    found = recording.find(Guest("pc"))
    kernel = build_test_bzimage(
        relocatable_kernel=1, init_size=0x1000000, pref_address=0x2000000, kernel_alignment=8
    )
    loaded = protocols.load(Guest("pc"), found, kernel)
    assert loaded
    with_setup_data(loaded, [(9, b"seed")])
    for initrd, kind in ((0x3000014, "handoff"), (0x3000013, "exit")):
        machine = Machine(image.image, found, loaded)
        place_initrd(machine, initrd)
        assert machine.run().kind == kind, machine.console.text


def test_setup_data_whose_end_wraps(image: Image) -> None:
    """Past 4 GiB, to above the kernel's start: no RAM is there."""
    found = recording.find(Guest("pc"))
    loaded = protocols.load(Guest("pc"), found, build_test_bzimage(init_size=0xFFE00000))
    assert loaded
    with_setup_data(loaded, [(9, bytes(5 * MIB // 2))])
    outcome = Machine(image.image, found, loaded).run()
    assert outcome.exit_value == stop_codes.BY_NAME["KERNEL_RANGE"].code


@pytest.mark.parametrize("initrd", [0x100000, 0x180000])
def test_a_kernel_that_prefers_a_lower_address_leaves_it_free(initrd: int, image: Image) -> None:
    """It stays where it is loaded: an initrd before it is in nobody's way."""
    found = recording.find(Guest("pc"))
    kernel = build_test_bzimage(relocatable_kernel=1, pref_address=0x100000, init_size=0x1000000)
    loaded = protocols.load(Guest("pc"), found, kernel)
    assert loaded
    numbers = {
        Key.KERNEL_ADDR: 0x200000, Key.INITRD_ADDR: initrd, Key.INITRD_SIZE: 0x1000,
    }  # fmt: skip
    loaded.keys |= {key: n.to_bytes(4, "little") for key, n in numbers.items()}
    machine = Machine(image.image, found, replace(loaded, entry=0x200000))
    assert machine.run().kind == "handoff", machine.console.text


def test_registers(image: Image) -> None:
    """The state that Linux's document asks for, spelled out apart from the judge."""
    machine = boot(Guest("q35"), image.image)
    registers = machine.outcome.registers
    assert {r: registers[r] for r in ("ebx", "ebp", "edi")} == {"ebx": 0, "ebp": 0, "edi": 0}
    assert registers["cr0"] & 0x80000001 == 1
    assert registers["eflags"] & 0x200 == 0
    base, limit = machine.outcome.gdtr
    table = machine.read(base, limit + 1)
    assert table[0x10:0x18] == bytes.fromhex("ffff0000009bcf00")
    assert table[0x18:0x20] == bytes.fromhex("ffff00000093cf00")
    assert [registers[s] for s in ("cs", "ds", "es", "ss")] == [0x10, 0x18, 0x18, 0x18]


def test_kernel_reports(image: Image) -> None:
    machine = boot(Guest("pc", append="hello"), image.image)
    outcome = machine.run_kernel()
    assert (outcome.kind, outcome.exit_value) == ("exit", 1)
    assert "cmdline hello\n" in outcome.console


@pytest.mark.parametrize("make", [build_test_bzimage, build_test_kernel])
@pytest.mark.parametrize("name", MACHINES)
def test_the_kernel_as_files_too(name: str, make: Callable[[], bytes], image: Image) -> None:
    """QEMU 10 offers the kernel's file, and a shim, to UEFI by names in the directory."""
    found, kernel = recording.find(Guest(name)), make()
    loaded = protocols.load(Guest(name, append="a"), found, kernel)
    plain, offered = (Machine(image.image, found, loaded) for _ in range(2))
    put_files(offered, {"etc/boot/kernel": kernel, "etc/boot/shim": b"MZ" * 50000})
    for machine in (plain, offered):
        machine.run()
        assert protocols.judge(machine.state()) == []
    assert protocols.read(offered.state()).plain() == protocols.read(plain.state()).plain()
    assert len(offered.outcome.accesses) == len(plain.outcome.accesses)


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("template", ["universal", "linux"])
def test_two_accesses_more_than_pvh(template: str, name: str, tmp_path: Path) -> None:
    """The header and the kernel; the design allows four."""
    initrd = tmp_path / "initrd"
    initrd.write_bytes(bytes(MIB))
    guest, image = Guest(name, initrd=initrd, append="a"), build_image(template).image
    ours, pvh = boot(guest, image).outcome, emulated(guest, image).outcome
    assert ours.kind == pvh.kind == "handoff"
    assert len(ours.accesses) == len(pvh.accesses) + 2


def test_a_template_without_it(tmp_path: Path) -> None:
    path = tmp_path / "pvh.toml"
    path.write_text('machines = ["pc"]\nprotocols = ["pvh"]\nbudget = 8192\n')
    small = build_image(str(path))
    machine = boot(Guest("pc"), small.image)
    assert machine.outcome.console.startswith("fwbuild: 21 ")
    assert not any(f.name.startswith("linux_") for f in small.linked.fragments)
