"""The declared contracts against what their specifications say."""

import ast
import re
from pathlib import Path

import pytest

from fwbuild import abi
from fwbuild.abi import chipset, e820, fw_cfg, linux_boot, pci, pvh, x86
from fwbuild.firmware import layout, stop_codes, work

ROOT = Path(__file__).resolve().parents[2]

# (structure, bytes, {field: offset}) as the specifications draw them.
STRUCTURES = {
    "hvm_start_info": (pvh.START_INFO, 56, {
        "magic": 0, "version": 4, "flags": 8, "nr_modules": 12, "modlist_paddr": 16,
        "cmdline_paddr": 24, "rsdp_paddr": 32, "memmap_paddr": 40, "memmap_entries": 48,
        "reserved": 52}),
    "hvm_modlist_entry": (pvh.MODLIST_ENTRY, 32, {
        "paddr": 0, "size": 8, "cmdline_paddr": 16, "reserved": 24}),
    "hvm_memmap_table_entry": (pvh.MEMMAP_ENTRY, 24, {
        "addr": 0, "size": 8, "type": 16, "reserved": 20}),
    "e820 entry": (e820.ENTRY, 20, {"addr": 0, "size": 8, "type": 16}),
    "boot_params": (linux_boot.BOOT_PARAMS, 4096, {
        "tboot_addr": 0x58, "ist_info": 0x60, "acpi_rsdp_addr": 0x70, "hd0_info": 0x80,
        "olpc_ofw_header": 0xB0, "ext_ramdisk_image": 0xC0, "cc_blob_address": 0x13C,
        "efi_info": 0x1C0, "alt_mem_k": 0x1E0, "e820_entries": 0x1E8, "sentinel": 0x1EF,
        "hdr": 0x1F1, "edd_mbr_sig_buffer": 0x290, "e820_table": 0x2D0, "eddbuf": 0xD00}),
    "setup_header": (linux_boot.SETUP_HEADER, 0x26C, {
        "setup_sects": 0x1F1, "vid_mode": 0x1FA, "boot_flag": 0x1FE, "jump": 0x200,
        "header": 0x202, "version": 0x206, "type_of_loader": 0x210, "loadflags": 0x211,
        "code32_start": 0x214, "ramdisk_image": 0x218, "ramdisk_size": 0x21C,
        "heap_end_ptr": 0x224, "cmd_line_ptr": 0x228, "initrd_addr_max": 0x22C,
        "kernel_alignment": 0x230, "relocatable_kernel": 0x234, "xloadflags": 0x236,
        "cmdline_size": 0x238, "payload_offset": 0x248, "setup_data": 0x250,
        "pref_address": 0x258, "init_size": 0x260, "kernel_info_offset": 0x268}),
    "setup_data": (linux_boot.SETUP_DATA, 16, {"next": 0, "type": 8, "len": 12}),
    "fw_cfg DMA": (fw_cfg.DMA, 16, {"control": 0, "length": 4, "address": 8}),
    "fw_cfg file": (fw_cfg.FILE, 64, {"size": 0, "select": 4, "reserved": 6, "name": 8}),
    "descriptor": (x86.DESCRIPTOR, 8, {"limit_low": 0, "base_low": 2}),
    "GDTR": (x86.GDTR, 6, {"limit": 0, "base": 2}),
    "PCI type 0 header": (pci.HEADER, 64, {
        "command": 0x04, "class_code": 0x09, "type": 0x0E, "bar": 0x10, "subsystem": 0x2E,
        "rom": 0x30, "capabilities": 0x34, "interrupt_line": 0x3C, "interrupt_pin": 0x3D}),
    "PCI type 1 header": (pci.BRIDGE, 64, {
        "bar": 0x10, "primary": 0x18, "secondary": 0x19, "subordinate": 0x1A, "io_base": 0x1C,
        "memory_base": 0x20, "prefetch_base": 0x24, "prefetch_base_high": 0x28,
        "prefetch_limit_high": 0x2C, "io_base_high": 0x30, "capabilities": 0x34, "rom": 0x38,
        "interrupt_line": 0x3C, "control": 0x3E}),
}  # fmt: skip


@pytest.mark.parametrize("name", STRUCTURES)
def test_structure(name: str) -> None:
    struct, size, fields = STRUCTURES[name]
    assert struct.sizeof() == size
    assert abi.offsets(struct).items() >= fields.items()


def test_xen_magic_spells_its_name() -> None:
    # start_info.h: "xEn3" with the 0x80 bit of the "E" set
    text = pvh.START_INFO_MAGIC.to_bytes(4, "little")
    assert bytes([text[0], text[1] & 0x7F, text[2], text[3]]) == b"xEn3"
    assert text[1] & 0x80


# Descriptors as other systems write them: Linux's boot GDT (arch/x86/boot/pm.c) and SDM 3.4.5.
DESCRIPTORS = {
    "flat code": ((0, 0xFFFFF, x86.Access.CODE, 0xC), 0x00CF9B000000FFFF),
    "flat data": ((0, 0xFFFFF, x86.Access.DATA, 0xC), 0x00CF93000000FFFF),
    "TSS": ((0, 0x67, x86.Access.TSS32, 0), 0x0000890000000067),
    "based": ((0x12345678, 0xABCDE, 0x93, 0x4), 0x124A93345678BCDE),
}


@pytest.mark.parametrize("name", DESCRIPTORS)
def test_descriptor(name: str) -> None:
    arguments, expected = DESCRIPTORS[name]
    assert x86.descriptor(*arguments) == expected.to_bytes(8, "little")


# The functions as `lspci` and the data sheets number them: bus 0, device and function.
FUNCTIONS = {
    "HOST_BRIDGE": (0, 0), "PIIX3_ISA": (1, 0), "PIIX3_IDE": (1, 1), "PIIX4_PM": (1, 3),
    "ICH9_LPC": (31, 0), "ICH9_SATA": (31, 2), "ICH9_SMBUS": (31, 3),
}  # fmt: skip


def test_functions_addresses() -> None:
    for name, (device, function) in FUNCTIONS.items():
        assert chipset.Config[name] == 0x80000000 | device << 11 | function << 8
        if name in chipset.Ecam.__members__:
            assert chipset.Ecam[name] == 0xB0000000 | device << 15 | function << 12
    assert set(FUNCTIONS) == set(chipset.Config.__members__) == set(chipset.Devfn.__members__)


def test_nested_fields_have_offsets() -> None:
    found = abi.offsets(work.PVH_AREA)
    start = found["start_info"]
    assert found["start_info.cmdline_paddr"] == start + 24
    assert layout.address("pvh_area", "start_info.cmdline_paddr") == (
        layout.region("pvh").base + start + 24
    )


def test_layout_has_no_problem() -> None:
    assert layout.problems() == []


def test_layout_finds_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    clash = (
        layout.Region("work", 0x2000, 16, ""),
        layout.Region("memmap", 0x2008, 0x1000, ""),
        layout.Region("scratch", 0x9F000, 0x5000, ""),
        layout.region("directory"),
        layout.region("record"),
        layout.region("setup"),
        layout.region("cmdline"),
        layout.Region("pvh", 0x1800, 0x800, ""),
        layout.region("multiboot"),
        layout.region("segments"),
    )
    monkeypatch.setattr(layout, "RAM", clash)
    text = " / ".join(layout.problems())
    assert "work and memmap overlap" in text
    assert "too few" in text
    assert "OSv spoils pvh" in text
    assert "past conventional memory" in text


def test_stop_codes_are_unique_and_printable() -> None:
    assert len(stop_codes.BY_CODE) == len(stop_codes.BY_NAME) == len(stop_codes.STOPS)
    for stop in stop_codes.STOPS:
        assert 0 < stop.code < 0x80, "isa-debug-exit's status has seven bits for it"
        assert re.fullmatch(r"[\x20-\x7e]+", stop.what)
        assert stop.hint


def test_every_stop_code_has_a_user() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "asm").rglob("*.s"))
    unused = [
        s.name for s in stop_codes.STOPS if not re.search(rf"stop_codes\.{s.name}\b", sources)
    ]
    assert unused == []


def test_no_number_stands_twice_in_assembly() -> None:
    """A hexadecimal number in the assembly is one that should have a name."""
    allowed = {"0x66", "0xea", "0xff"}  # the far jump's opcode; a mask of one byte
    for path in (ROOT / "asm").glob("**/*.s"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            code = line.partition("#")[0]
            for literal in re.findall(r"\b0x[0-9a-f]+\b", code):
                assert literal in allowed, f"{path.name}:{number}: {literal}"


def test_modules_hold_declarations_only() -> None:
    """A contract module imports nothing of the package outside abi/."""
    for path in (ROOT / "fwbuild" / "abi").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fwbuild"):
                known = ("fwbuild.abi", "fwbuild")  # the latter for its version
                assert node.module in known, f"{path.name} imports {node.module}"
