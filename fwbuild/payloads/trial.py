"""Builds the firmware that tries an accelerator: QEMU's -bios file, of nothing but asm/trial."""

from collections.abc import Mapping, Sequence

from fwbuild.abi import x86
from fwbuild.assembler.link import Linker
from fwbuild.assembler.source import Fragment, data_fragment
from fwbuild.firmware.data import gdt
from fwbuild.firmware.layout import ROM
from fwbuild.firmware.symbols import symbols as all_symbols
from fwbuild.image.place import one_after_the_other
from fwbuild.image.sources import read_sources

RESET = "trial_reset"


def build_trial() -> bytes:
    """The file, as large as any image. It wakes no other CPU and looks for no kernel."""
    symbols = all_symbols()
    fragments = read_sources("asm/trial", symbols)
    fragments.append(data_fragment("trial_gdt", gdt(), "null, TSS, flat code, flat data"))
    linked = Linker(symbols).link(fragments, [RESET], _place)
    start = min(linked.addresses.values())
    return linked.bytes_at(start, ROM.end - start).rjust(ROM.size, b"\0")


def _place(fragments: Sequence[Fragment], sizes: Mapping[str, int]) -> dict[str, int]:
    """All below the reset vector."""
    others = [f for f in fragments if f.name != RESET]
    base = x86.RESET_VECTOR - sum(sizes[f.name] for f in others)
    return one_after_the_other(base)(others, sizes) | {RESET: x86.RESET_VECTOR}
