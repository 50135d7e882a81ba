"""Every routine that returns is run, and changes only what its contract says."""

from functools import cache

import pytest

from fwbuild import abi, layout
from fwbuild.abi import e820, fw_cfg, linux_boot, pvh
from fwbuild.image.build import Image, build_image
from tests.support.call import call

WORDS = abi.symbols() | layout.symbols()
DESTINATION = 0x200000
SIZE = 0x100
MAP = WORDS["ram.memmap.base"]
SCRATCH = WORDS["ram.scratch.base"]
# One range of RAM in the map; a kernel, and no initrd.
STATE = {
    "work.memmap_end": MAP + pvh.MEMMAP_ENTRY.sizeof(),
    "work.kernel_addr": 0x1000000, "work.kernel_size": 0x100000, "work.kernel_entry": 0x1000100,
    "work.setup_size": 0x400, "work.kernel_data_size": 0x100000,
    "boot_params.hdr.header": int.from_bytes(b"HdrS", "little"),
    "boot_params.hdr.version": linux_boot.PROTOCOL_NEWEST,
    "boot_params.hdr.code32_start": 0x1000000, "boot_params.hdr.setup_data": 0x10FFFF0,
    "boot_params.hdr.init_size": 0x100000,
    "work.e820.size": e820.ENTRY.sizeof(), "work.e820.select": 0x20,
}  # fmt: skip
MEMORY = {
    MAP: 0x100000, MAP + 8: 0x2000000, MAP + 16: int(e820.Type.RAM),
    SCRATCH: 0x100000, SCRATCH + 8: 0x2000000, SCRATCH + 16: int(e820.Type.RAM),
} | {WORDS[name]: value for name, value in STATE.items()}  # fmt: skip
READ = int(fw_cfg.DmaControl.READ | fw_cfg.DmaControl.SELECT)
TRANSFER = {"eax": READ, "ecx": SIZE, "edi": DESTINATION}
# The registers that a routine needs, by its name.
ROWS: dict[str, dict[str, int]] = {
    "fw_cfg_read": {**TRANSFER, "eax": 1},
    "fw_cfg_transfer": TRANSFER,
    "fw_cfg_transfer_by_port": TRANSFER,
    "fw_cfg_require": {},
    "fw_cfg_find_files": {},
    "fw_cfg_note_file": {"esi": SCRATCH},
    "kernel_read": {},
    "kernel_check": {},
    "linux_read": {},
    "linux_area": {},
    "linux_move_setup_data": {},
    "cmdline_read": {},
    "initrd_read": {},
    "handoff_init": {},
    "memmap_build": {},
    "memmap_add_host": {"esi": SCRATCH},
    "memmap_insert": {"eax": 0xF0000, "edx": 0, "ebx": 0x100000, "ecx": 0, "ebp": 2},
    "memmap_check": {},
    "memmap_covers": {"eax": 0x1000000, "ecx": 0x1000},
    "memmap_low_end": {},
    "mtrr_init": {},
    "print_string": {"esi": WORDS["work.empty_string"]},
    "print_hex": {"eax": 0x12345678, "ecx": 8},
    "print_char": {"eax": 0x41},
}
# Routines that start from something else than MEMORY.
OTHERWISE = {
    "memmap_build": {WORDS["work.memmap_end"]: MAP},
    "linux_move_setup_data": {
        WORDS["work.kernel_addr"]: DESTINATION, WORDS["work.kernel_size"]: 0x10},
}  # fmt: skip


@cache
def image() -> Image:
    return build_image()


def routines() -> list[str]:
    return [
        f.name
        for f in image().linked.fragments
        if f.contract.kind == "routine" and f.contract.returns and f.contract.bits == 32
    ]


def allowed(address: int, size: int) -> bool:
    regions = [(r.base, r.end) for r in layout.RAM] + [(DESTINATION, DESTINATION + SIZE)]
    return any(base <= address and address + size <= end for base, end in regions)


@pytest.mark.parametrize("name", routines())
def test_a_call_keeps_to_the_contract(name: str) -> None:
    assert name in ROWS, "give it a row"
    contract = next(f.contract for f in image().linked.fragments if f.name == name)
    done = call(image(), name, ROWS[name], MEMORY | OTHERWISE.get(name, {}))
    assert done.returned
    assert done.changed <= {*contract.outputs, *contract.clobbers}
    assert [w for w in done.writes if not allowed(*w)] == []
