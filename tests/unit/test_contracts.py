"""Every routine that returns is run, and changes only what its contract says."""

from functools import cache

import pytest

from fwbuild.abi import (
    acpi,
    chipset,
    e820,
    elf,
    fw_cfg,
    linux_boot,
    multiboot2,
    offsets,
    pci,
    pvh,
    x86,
)
from fwbuild.firmware import file_names, layout, pci_plan, preloaded, work
from fwbuild.firmware.symbols import symbols
from fwbuild.image import template
from fwbuild.image.build import Image, build_image
from fwbuild.image.elf import pvh_note
from tests.support.call import Called, call

WORDS = symbols()
DESTINATION = 0x200000
SIZE = 0x100
MAP = WORDS["region.memmap.base"]
SCRATCH = WORDS["region.scratch.base"]
SCRIPT = WORDS["region.script.base"]
DIRECTORY = WORDS["region.directory.base"] + fw_cfg.DIR_HEADER.sizeof()
CURRENT = SCRIPT + acpi.LOADER_ENTRY_SIZE
ALLOCATED = offsets(work.ALLOCATED)
# PCI tables: the root bus, a bus behind a bridge, the bridge, a resource on a list of each.
ROOT, BUS = WORDS["ram.plan.root"], WORDS["region.pci.base"] + 0x1000
FUNCTION, RESOURCE, WINDOW = BUS + 0x100, BUS + 0x200, BUS + 0x300
MEMORY_LIST = offsets(pci_plan.BUS)["lists"] + 4 * pci_plan.List.MEMORY
HEAD, SEGMENT = WORDS["region.head.base"], WORDS["region.segments.base"]
TAGS = WORDS["ram.multiboot2_info"] + 8
REGISTER = int(chipset.Config.HOST_BRIDGE) | 0x10
# One range of RAM in the map; a kernel, and no initrd; one file, etc/e820; an ACPI script of an
# ALLOCATE entry that is done and an entry of zeros, whose names are empty.
STATE = {
    "ram.work.memmap_end": MAP + pvh.MEMMAP_ENTRY.sizeof(), "ram.work.high_top": 0x2000000,
    "ram.work.item.kernel_addr": 0x1000000, "ram.work.item.kernel_size": 0x100000,
    "ram.work.item.kernel_entry": 0x1000100, "ram.work.item.cmdline_size": 16,
    "ram.work.kernel_start": 0x1000000, "ram.work.kernel_span": 0x100000,
    "ram.work.directory_entries": 1, "ram.work.directory_end": DIRECTORY + fw_cfg.FILE.sizeof(),
    "ram.work.sums_left": work.SUMS_MAX, "ram.work.ram_end": 0x2000000,
    "ram.work.cpus": 1, "ram.work.f_segment_next": 0xF0000, "ram.work.script_last": SCRIPT,
    "ram.boot_params.hdr.header": int.from_bytes(b"HdrS", "little"),
    "ram.boot_params.hdr.version": linux_boot.PROTOCOL_NEWEST,
    "ram.boot_params.hdr.code32_start": 0x1000000, "ram.boot_params.hdr.setup_data": 0x10FFFF0,
    "ram.boot_params.hdr.init_size": 0x100000,
    "ram.boot_params.hdr.loadflags": linux_boot.LoadFlag.LOADED_HIGH,
}  # fmt: skip
RAM = {0: 0, 8: 0x2000000, 16: int(e820.Type.RAM)}
DONE = {0: int(acpi.Command.ALLOCATE), ALLOCATED["address"]: 0x1000, ALLOCATED["size"]: 0x1000}


def words(base: int, data: bytes) -> dict[int, int]:
    return {base + i: int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)}


# A kernel's file as the directory has it, its head with a segment to load and one of notes, the
# first as elf_read leaves it, and a PVH note.
KERNEL = {"size": 0x1000, "select": 0x21, "reserved": 0, "name": file_names.KERNEL}
EHDR = dict.fromkeys((f.name for f in elf.EHDR.subcons if f.name), 0)
EHDR |= {"machine": elf.EM_386, "phoff": elf.EHDR.sizeof(), "phnum": 2}
EHDR["phentsize"] = elf.PHDR.sizeof()
EHDR.pop("ident")
PHDR = dict.fromkeys((f.name for f in elf.PHDR.subcons), 0)
PHDRS = [
    PHDR | {"type": elf.PT_LOAD, "paddr": DESTINATION, "memsz": SIZE},
    PHDR | {"type": elf.PT_NOTE, "filesz": len(pvh_note(DESTINATION))},
]
LOADED = dict.fromkeys((f.name for f in work.SEGMENT.subcons), 0)
LOADED |= {"type": elf.PT_LOAD, "paddr": DESTINATION, "memsz": SIZE}
KERNEL_FILE = {
    **words(DIRECTORY + fw_cfg.FILE.sizeof(), fw_cfg.FILE.build(KERNEL)),
    **words(HEAD, elf.EHDR.build(EHDR) + b"".join(map(elf.PHDR.build, PHDRS))),
    **words(WORDS["region.notes.base"], pvh_note(DESTINATION)),
    **words(SEGMENT, work.SEGMENT.build(LOADED)),
    WORDS["ram.work.directory_end"]: DIRECTORY + 2 * fw_cfg.FILE.sizeof(),
    WORDS["ram.work.file_size"]: 0x1000,
    WORDS["ram.work.segments_end"]: SEGMENT + work.SEGMENT.sizeof(),
}


def acpi_at(struct: str, field: str) -> int:
    return WORDS[f"acpi.{struct}.{field}"]


E820 = {"size": e820.ENTRY.sizeof(), "select": 0x20, "reserved": 0, "name": file_names.E820}
PCI_FIELDS: tuple[tuple[int, object, dict[str, int]], ...] = (
    (FUNCTION, pci_plan.FUNCTION, {"config": pci.CONFIG_ENABLE, "command": 7}),
    (BUS, pci_plan.BUS, {"parent": ROOT, "previous": ROOT, "function": FUNCTION,
                         "lists": RESOURCE, "has": 7}),
    *((at, pci_plan.RESOURCE, {"function": FUNCTION, "register": REGISTER, "key": 12,
                               "size": 0x1000, "address": 0x2000}) for at in (RESOURCE, WINDOW)),
    (ROOT, pci_plan.BUS, {"config": pci.CONFIG_ENABLE, "config_end": pci.CONFIG_ENABLE + 0x1000,
                          "next": BUS}),
)  # fmt: skip
PCI = {at + offsets(kind)[k]: v for at, kind, fields in PCI_FIELDS for k, v in fields.items()}
PCI |= {
    WORDS["ram.plan.next"]: BUS + 0x400,
    WORDS["ram.plan.bus_last"]: BUS,
    WORDS["ram.plan.kind"]: int(pci_plan.Kind.MEMORY),
}
PCI |= {ROOT + MEMORY_LIST: WINDOW}
MEMORY = {
    **PCI,
    **{MAP + at: value for at, value in RAM.items()},
    **{SCRATCH + at: value for at, value in RAM.items()},
    **{SCRIPT + at: value for at, value in DONE.items()},
    **words(DIRECTORY, fw_cfg.FILE.build(E820)),
    **{WORDS[name]: value for name, value in STATE.items()},
}
TOP_PAGE = (STATE["ram.work.high_top"] - x86.PAGE, STATE["ram.work.high_top"])  # an ACPI table's
APIC = (x86.APIC_BASE, x86.APIC_BASE + x86.APIC_SIZE)
READ = int(fw_cfg.DmaControl.READ | fw_cfg.DmaControl.SELECT)
TRANSFER: dict[str, int | str] = {"eax": READ, "ecx": SIZE, "edi": DESTINATION}


@cache
def image() -> Image:
    return build_image("all-cpus")  # the template that leaves nothing out of what a kernel needs


@cache
def baked() -> Image:
    return build_image("baked", machines=["pc"])


# The registers that a routine needs, by its name; a word is the address of a data item.
ROWS: dict[str, dict[str, int | str]] = {
    "fw_cfg_transfer": TRANSFER,
    "fw_cfg_transfer_by_port": TRANSFER,
    "fw_cfg_require": {},
    "files_open": {},
    "files_note": {"eax": 1},
    "files_find": {"esi": "name_e820"},
    "name_equal": {"esi": DESTINATION, "edi": DESTINATION},
    "chipset_init": {},
    "chipset_program": {},
    "high_alloc": {"ecx": 0x1234, "edx": 0x100},
    "high_find": {"ecx": 0x1234, "edx": 0x100},
    "ranges_overlap": {"eax": 0x1000, "ecx": 0x1000, "ebx": 0x1800, "edi": 0x1000},
    "f_segment_alloc": {"ecx": 36, "edx": 16},
    "memmap_take": {"eax": 0x1FF0000, "ecx": 0x1000},
    "checksum_set": {"esi": DESTINATION, "ecx": SIZE - 1, "edi": DESTINATION},
    "acpi_load": {},
    "acpi_allocate": {"ebx": CURRENT},
    "acpi_add_pointer": {"ebx": CURRENT},
    "acpi_add_checksum": {"ebx": CURRENT},
    "acpi_write_pointer": {"ebx": CURRENT},
    "acpi_find": {"esi": CURRENT + 4, "ebx": CURRENT},
    "mptable_build": {},
    "mptable_processors": {"edi": DESTINATION},
    "mptable_topology": {},
    "mptable_pci": {"edi": DESTINATION},
    "pirq_rotation": {"ecx": 3},
    "pirq_irq": {"eax": 6},
    "smp_init": {},
    "smp_read": {},
    "feature_control_set": {},
    "wake_arm": {},
    "waking_vector": {},
    "smbios_load": {},
    "smbios_read_tables": {},
    "smbios_has_type0": {"edi": DESTINATION, "ecx": 0},
    "kernel_read": {},
    "kernel_check": {},
    "kernel_file_load": {},
    "kernel_file_copy": {"eax": 0, "ecx": SIZE, "edi": DESTINATION},
    "kernel_file_read": {},
    "elf_read": {},
    "elf_table": {"edx": 1, "esi": 52},
    "elf_entry": {},
    "elf_next": {"ebx": DESTINATION},
    "elf_span": {},
    "elf_in_file": {"ebx": SEGMENT},
    "elf_pvh_entry": {},
    "elf_note_part": {"eax": 5, "ecx": 7},
    "machine_check": {},
    "preloaded_read": {},
    "preloaded_take": {},
    "preloaded_cmdline": {},
    "linux_read": {},
    "linux_area": {},
    "linux_pointers": {},
    "linux_tables": {},
    "linux_move_setup_data": {},
    "linux16_read": {"edx": 0x207},
    "linux64_file_read": {},
    "linux64_pages": {},
    "multiboot_read": {},
    "multiboot_memory": {},
    "multiboot_file_read": {},
    "multiboot_segment": {"esi": HEAD + 0x100, "ebx": HEAD},
    "multiboot2_file_read": {},
    "multiboot2_move": {"ebp": HEAD + 0x100, "edx": DESTINATION},
    "multiboot2_sections": {"edi": TAGS + 8, "ebx": TAGS},
    "multiboot2_text": {"esi": DESTINATION, "edi": TAGS + 8, "ebx": TAGS},
    "multiboot2_copy": {"esi": DESTINATION, "ecx": 5, "edi": TAGS + 8, "ebx": TAGS},
    "multiboot2_room": {"ecx": 5, "edi": TAGS + 8},
    "multiboot2_close": {"edi": TAGS + 13, "ebx": TAGS},
    "modules_load": {},
    "bios_install": {},
    "bios_take_memory": {},
    "cmdline_read": {},
    "cmdline_take": {"eax": READ, "ecx": 16},
    "initrd_read": {},
    "handoff_init": {},
    "memmap_build": {},
    "memmap_add_host": {"esi": SCRATCH},
    "memmap_insert": {"eax": 0xF0000, "edx": 0, "ebx": 0x100000, "ecx": 0, "ebp": 2},
    "memmap_check": {},
    "memmap_covers": {"eax": 0x1000000, "ecx": 0x1000},
    "mtrr_init": {},
    "mtrr_set": {"esi": 1 << 31},
    "device_window": {},
    "phys_bits": {},
    "pic_init": {},
    "pic_program": {},
    "pci_read32": {"ebx": REGISTER},
    "pci_write32": {"ebx": REGISTER},
    "pci_write16": {"ebx": REGISTER},
    "pci_write8": {"ebx": REGISTER},
    "pci_select": {"ebx": REGISTER},
    "pci_init": {},
    "pci_alloc": {"ecx": 40},
    "pci_apertures": {},
    "pci_bounds": {"eax": 0, "edx": 0},
    "pci_read_number": {"esi": "name_e820"},
    "pci_find_roots": {},
    "pci_scan": {"esi": ROOT},
    "pci_step": {"esi": ROOT, "ebx": pci.CONFIG_ENABLE, "eax": 0},
    "pci_function": {"esi": ROOT, "ebx": pci.CONFIG_ENABLE, "eax": 0x12345678},
    "pci_interrupt": {"esi": BUS, "ebp": FUNCTION},
    "pci_open_bus": {"esi": ROOT, "ebp": FUNCTION, "ecx": 3},
    "pci_capabilities": {"esi": BUS, "ebx": REGISTER},
    "pci_close_bus": {"esi": BUS},
    "pci_window": {"esi": BUS, "ebp": FUNCTION, "ecx": 0},
    "pci_room": {"esi": BUS, "edi": WINDOW, "ecx": 0},
    "pci_bars": {
        "esi": BUS,
        "ebp": FUNCTION,
        "ebx": pci.CONFIG_ENABLE,
        "ecx": pci_plan.BARS_NORMAL,
    },
    "pci_bar": {"esi": BUS, "ebp": FUNCTION, "ebx": REGISTER},
    "pci_size_bits": {"eax": 0xFFFFF000},
    "pci_insert": {"edi": WINDOW, "esi": BUS, "eax": 1},
    "pci_assign": {},
    "pci_fit": {"ecx": pci_plan.Kind.MEMORY},
    "pci_try": {},
    "pci_try_root": {},
    "pci_root_list": {},
    "pci_size_window": {"esi": BUS, "ecx": 1},
    "pci_sort": {"esi": ROOT + MEMORY_LIST},
    "pci_lay": {"esi": ROOT + MEMORY_LIST, "ebx": WORDS["ram.plan.memory"], "ecx": 0},
    "pci_drop": {"ecx": pci_plan.Short.FIRST},
    "pci_rank": {},
    "pci_rank_one": {"edi": RESOURCE},
    "pci_place_left": {},
    "pci_fill": {"esi": ROOT + MEMORY_LIST, "ebx": WORDS["ram.plan.memory"], "ecx": 0},
    "pci_place": {"edi": RESOURCE, "eax": 0x1800, "edx": 0, "ecx": 0},
    "pci_place_list": {"esi": BUS, "ecx": 0},
    "pci_program": {"edi": RESOURCE},
    "pci_program_window": {"edi": RESOURCE, "ebx": REGISTER, "eax": 0x100000, "ecx": 1},
    "pci_note": {"edi": RESOURCE},
    "pci_note_hex": {"eax": 0x12345678, "ecx": 8, "edi": DESTINATION},
    "print_string": {"esi": WORDS["ram.pvh_area.empty_string"]},
    "print_hex": {"eax": 0x12345678, "ecx": 8},
    "print_char": {"eax": 0x41},
}
# What else a routine needs in memory.
MOVABLE = multiboot2.RELOCATABLE.build(
    {"tag": {"type": multiboot2.HeaderTag.RELOCATABLE, "flags": 0, "size": 24},
     "min_addr": 0x400000, "max_addr": 0x2000000, "align": 0x1000, "preference": 1}
)  # fmt: skip
NAME = words(CURRENT + 4, file_names.E820.encode().ljust(12, b"\0"))
RSDT, FADT, FACS = (DESTINATION + 0x100 * n for n in (1, 2, 3))
TABLES = {
    **words(DESTINATION, acpi.RSDP_SIGNATURE),
    DESTINATION + acpi_at("RSDP", "rsdt_address"): RSDT,
    RSDT: acpi.RSDT_SIGNATURE, RSDT + acpi_at("TABLE_HEADER", "length"): 40, RSDT + 36: FADT,
    FADT: acpi.FADT_SIGNATURE, FADT + acpi_at("FADT", "firmware_ctrl"): FACS,
    FACS: acpi.FACS_SIGNATURE, FACS + acpi_at("FACS", "firmware_waking_vector"): 0x9A010,
}  # fmt: skip
BAKED = {
    WORDS["ram.record.magic"]: preloaded.MAGIC, WORDS["ram.record.low_ram_end"]: 0x2000000,
    WORDS["ram.record.protocol"]: preloaded.Entry.PVH, WORDS["ram.record.nr_modules"]: 1,
    WORDS["ram.record.kernel_entry"]: 0x1000100, WORDS["ram.record.cmdline_size"]: 16,
    WORDS["ram.record.modules"]: 0x1100000, WORDS["ram.record.modules"] + 8: SIZE,
}  # fmt: skip
MORE: dict[str, dict[int, int]] = {
    "pci_init": {WORDS["ram.work.host_bridge"]: chipset.Device.I440FX},
    "acpi_allocate": {CURRENT: 1, **NAME, CURRENT + 60: 64, CURRENT + 64: int(acpi.Zone.HIGH)},
    "acpi_add_pointer": {CURRENT: 2, CURRENT + 120: 4},
    "acpi_add_checksum": {CURRENT: 3, CURRENT + 68: 16},
    "acpi_write_pointer": {CURRENT: 4, **NAME, CURRENT + 124: 8},
    "waking_vector": {WORDS["ram.ebda.rsdp"]: DESTINATION, **TABLES},
    "linux_read": {WORDS["ram.work.item.cmdline_size"]: 0},
    "linux16_read": {WORDS["ram.work.setup_size"]: linux_boot.SETUP_SIZE_MIN},
    "kernel_file_read": KERNEL_FILE,
    "elf_read": KERNEL_FILE,
    "elf_entry": KERNEL_FILE,
    "elf_span": KERNEL_FILE,
    "multiboot_file_read": KERNEL_FILE,
    "multiboot2_move": KERNEL_FILE | words(HEAD + 0x100, MOVABLE),
    "elf_pvh_entry": KERNEL_FILE,
    "kernel_file_load": KERNEL_FILE,
    "preloaded_read": BAKED,
    "preloaded_take": BAKED,
    "preloaded_cmdline": BAKED,
    "linux_move_setup_data": {
        WORDS["ram.work.kernel_start"]: DESTINATION, WORDS["ram.work.kernel_span"]: 0x10},
}  # fmt: skip


def routines(of: Image) -> list[str]:
    return [
        f.name
        for f in of.linked.fragments
        if f.contract.kind == "routine" and f.contract.returns and f.contract.bits == 32
    ]


def allowed(name: str, address: int, size: int) -> bool:
    """Whether a routine may store there. Real mode's vectors are those of two. Behind the last
    variable nothing is anybody's."""
    declared = [*layout.RAM, layout.BIOS, layout.EBDA, layout.F_SEGMENT]
    if name not in ("bios_install", "multiboot_memory"):
        declared.remove(layout.region("ivt"))
    regions = [(r.base, r.end) for r in declared if r.name != "work"]
    base, work_area = layout.STRUCTURES["work"]
    regions.append((base, base + work_area.sizeof()))
    regions += [(DESTINATION, DESTINATION + 0x400), (0x1000, 0x2000), TOP_PAGE, APIC]
    return any(start <= address and address + size <= end for start, end in regions)


def image_of(name: str) -> Image:
    return image() if name in routines(image()) else baked()


@pytest.mark.parametrize("name", ROWS)
def test_a_call_keeps_to_the_contract(name: str) -> None:
    linked = image_of(name).linked
    contract = next(f.contract for f in linked.fragments if f.name == name)
    registers = {r: linked.addresses[v] if isinstance(v, str) else v for r, v in ROWS[name].items()}
    done = call(image_of(name), name, registers, MEMORY | MORE.get(name, {}))
    assert done.returned
    assert done.fell == []
    assert done.changed <= {*contract.outputs, *contract.clobbers}
    assert [w for w in done.writes if not allowed(name, *w)] == []


def stored(done: Called) -> list[int]:
    """The addresses that a call has written, but for the stack's."""
    stack = layout.region("stack")
    return [at for at, _ in done.writes if not stack.base <= at < stack.end]


@pytest.mark.parametrize("name", ["pci_write8", "pci_write16", "pci_write32"])
def test_a_write_to_configuration_space_by_ports(name: str) -> None:
    """No memory is written but for what the address port holds."""
    ports = {WORDS["ram.work.ecam"]: 0}
    done = call(image(), name, {"ebx": REGISTER}, MEMORY | ports)
    assert stored(done) == [WORDS["ram.plan.config_address"]]


@pytest.mark.parametrize("bridge, marked", [(pci.NO_VENDOR, False), (chipset.Device.Q35, True)])
def test_a_machine_without_s3_gets_no_mark(bridge: int, marked: bool) -> None:
    done = call(image(), "wake_arm", {}, MEMORY | {WORDS["ram.work.host_bridge"]: bridge})
    assert (WORDS["ram.ebda.mark"] in stored(done)) == marked


def test_each_routine_has_a_row() -> None:
    assert sorted({*routines(image()), *routines(baked())}) == sorted(ROWS)


@pytest.mark.parametrize("name", template.names())
def test_no_template_has_more_routines(name: str) -> None:
    assert set(routines(build_image(name))) <= {*routines(image()), *routines(baked())}
