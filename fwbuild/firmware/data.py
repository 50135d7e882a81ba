"""Data items of the image that are made from declarations: GDT, RAM template, stop table."""

from collections.abc import Iterable

from fwbuild.abi import e820, offsets, pvh, x86
from fwbuild.assembler.source import Fragment, data_fragment
from fwbuild.firmware import (
    file_names,
    layout,
    mptable_data,
    pci_plan,
    smbios_data,
    work,
)
from fwbuild.firmware.stop_codes import STOPS, Stop
from fwbuild.machines import PC, Q35
from fwbuild.sizes import padded
from fwbuild.version import __version__

FLAT_LIMIT = 0xFFFFF  # in pages of 4 KiB: 4 GiB


def gdt() -> bytes:
    """The GDT: null, TSS, flat code, flat data, at x86.SELECTOR_*."""
    flat = x86.FLAGS_4K | x86.FLAGS_32
    entries = {
        0: bytes(8),
        x86.SELECTOR_TSS: x86.descriptor(0, x86.TSS32_LIMIT, x86.Access.TSS32, 0),
        x86.SELECTOR_CODE: x86.descriptor(0, FLAT_LIMIT, x86.Access.CODE, flat),
        x86.SELECTOR_DATA: x86.descriptor(0, FLAT_LIMIT, x86.Access.DATA, flat),
    }
    return b"".join(entries[selector] for selector in sorted(entries))


def real_mode_gdt() -> bytes:
    """The GDT for the way to real mode: null, code in the ROM, data at 0, code of the BIOS calls,
    64 KiB each as real mode's segments, at work.SELECTOR_*."""
    entries = {0: bytes(8)}
    for selector, base, access in (
        (work.SELECTOR_ROM16, layout.ROM.base, x86.Access.CODE),
        (work.SELECTOR_DATA16, 0, x86.Access.DATA),
        (work.SELECTOR_BIOS16, layout.BIOS.base, x86.Access.CODE),
    ):
        entries[selector] = x86.descriptor(base, work.REAL_LIMIT, access, 0)
    return b"".join(entries[selector] for selector in sorted(entries))


def handoff_template() -> bytes:
    """The start of work.PVH_AREA and, after it, of work.WORK: what is known before the guest
    is."""
    size = x86.DESCRIPTOR.sizeof()
    table = gdt()
    handed = work.PVH_AREA.parse(bytes(work.PVH_AREA.sizeof()))
    handed.gdt = [x86.DESCRIPTOR.parse(table[i : i + size]) for i in range(0, len(table), size)]
    handed.start_info.magic = pvh.START_INFO_MAGIC
    handed.start_info.version = pvh.START_INFO_VERSION
    handed.start_info.cmdline_paddr = layout.region("cmdline").base
    handed.start_info.memmap_paddr = layout.region("memmap").base
    handed.modules[0].cmdline_paddr = layout.address("pvh_area", "empty_string")
    own = work.WORK.parse(bytes(work.WORK.sizeof()))
    own.f_segment_next = layout.F_SEGMENT.base
    # an entry of zeros, which is good for nothing but being compared with
    own.script_last = layout.ROM.base + layout.F_SEGMENT.size
    own.sums_left = work.SUMS_MAX
    built = bytes(work.PVH_AREA.build(handed))[: work.PVH_TEMPLATE_SIZE]
    return built + bytes(work.WORK.build(own))[: offsets(work.WORK)["dma"]]


def memmap_template() -> bytes:
    """The memory map below 1 MiB, as pvh.MEMMAP_ENTRY."""
    entries = [
        (0, e820.EBDA, e820.Type.RAM),
        (e820.EBDA, e820.VGA, e820.Type.RESERVED),
        (e820.SYSTEM_ROM, e820.EXTENDED, e820.Type.RESERVED),
    ]
    assert len(entries) == work.MEMMAP_TEMPLATE_ENTRIES
    return b"".join(
        pvh.MEMMAP_ENTRY.build({"addr": a, "size": b - a, "type": kind, "reserved": 0})
        for a, b, kind in entries
    )


def chipset_setups() -> dict[str, bytes]:
    """The writes of chipset_init: pairs of a place and a dword."""
    pairs = {
        "chipset_i440fx": PC.config_writes,
        "chipset_q35": Q35.config_writes + Q35.ecam_writes,
    }
    return {
        name: b"".join(n.to_bytes(4, "little") for pair in setup for n in pair)
        for name, setup in pairs.items()
    }


def stop_table(stops: Iterable[Stop]) -> bytes:
    """The code of each stop as a byte, and its words; 0 ends the table and fits any other code."""
    entries = [bytes([s.code]) + f" {s.what} \0".encode("ascii") for s in stops]
    return b"".join(entries) + b"\0 ? \0"


# The fw_cfg files that the firmware asks for by name.
NAMES = {
    "name_e820": file_names.E820,
    "name_feature_control": file_names.FEATURE_CONTROL,
    "name_kernel": file_names.KERNEL,
    "name_cmdline": file_names.CMDLINE,
    "name_append": file_names.APPEND,
    "name_module": file_names.MODULE_CMDLINE,
    "name_table_loader": file_names.TABLE_LOADER,
    "name_smbios_anchor": file_names.SMBIOS_ANCHOR,
    "name_smbios_tables": file_names.SMBIOS_TABLES,
    "name_extra_roots": file_names.EXTRA_ROOTS,
    "name_reserved_memory_end": file_names.RESERVED_MEMORY_END,
    "name_pvpanic_port": file_names.PVPANIC_PORT,
}


NAME_UNIT = 4  # name_equal compares dwords


def file_name(text: str) -> bytes:
    """A file name as name_equal in asm/lib/files.s takes it."""
    data = text.encode("ascii") + b"\0"
    return padded(data, NAME_UNIT).ljust(work.NAME_SIZE_MIN, b"\0")


def identity_text(template: str) -> bytes:
    """The text that the used part of an image starts with."""
    return f"{__version__} {template}\0".encode(errors="replace")


def fragments(template: str, stops: Iterable[Stop] = STOPS) -> list[Fragment]:
    """All of them, for the linker. `template` is the name of the image's, `stops` are those that
    the image may come to."""
    setups = [data_fragment(n, d, "chipset registers") for n, d in chipset_setups().items()]
    names = [data_fragment(name, file_name(text), text) for name, text in NAMES.items()]
    return [
        data_fragment("identity_text", identity_text(template), "fwbuild's version and template"),
        *names,
        *setups,
        data_fragment("mptable_head", mptable_data.head(), "MP table: pointer and header"),
        data_fragment("mptable_fixed", mptable_data.fixed(), "MP table: entries of every guest"),
        data_fragment("memmap_template", memmap_template(), "the memory map below 1 MiB"),
        data_fragment("handoff_template", handoff_template(), "what handoff_init puts into RAM"),
        data_fragment("smbios_type0", smbios_data.type0(), "SMBIOS structure of type 0"),
        data_fragment("real_gdt", real_mode_gdt(), "16-bit segments for the way to real mode"),
        data_fragment("pci_note_line", pci_plan.NOTE.encode("ascii"), "for a BAR without address"),
        data_fragment("stop_table", stop_table(stops), "stop codes and their words"),
    ]
