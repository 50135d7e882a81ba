"""The routines and labels of an image, from the ELF beside it."""

import difflib
import io
from collections.abc import Mapping

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from fwbuild.errors import ExitCode, FwbuildError


def belongs(elf: bytes, image: bytes) -> bool:
    """Whether an ELF is that of an image: its ROM ends as the image does."""
    try:
        segments = [s.data() for s in ELFFile(io.BytesIO(elf)).iter_segments("PT_LOAD")]
    except ELFError:
        return False
    return bool(segments) and image.endswith(segments[0])


def has_symbols(file: bytes) -> bool:
    """Whether a file is an ELF that names its routines."""
    try:
        return ELFFile(io.BytesIO(file)).get_section_by_name(".symtab") is not None
    except ELFError:
        return False


def places(elf: bytes) -> dict[str, int]:
    """The address of each routine, and of each "routine:.label". Of code that the firmware copies
    it is the one in RAM, where it runs."""
    found: dict[str, int] = {}
    for unit in ELFFile(io.BytesIO(elf)).get_dwarf_info().iter_CUs():
        for routine in unit.get_top_DIE().iter_children():
            name = _text(routine, "DW_AT_name")
            _put(found, name, routine.attributes["DW_AT_low_pc"].value)
            for label in routine.iter_children():
                at = label.attributes["DW_AT_low_pc"].value
                _put(found, f"{name}:{_text(label, 'DW_AT_name')}", at)
    return found


def find(name: str, known: Mapping[str, int]) -> int:
    """The address of a routine, a label, or of a number in hexadecimal. Raises FwbuildError."""
    if name.lower().startswith("0x"):
        try:
            return int(name, 16)
        except ValueError:
            what = f"'{name}' is no address"
            raise FwbuildError(ExitCode.USAGE, what, hint="say 0xfffffff0") from None
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else "`fwbuild map` lists them"
    raise FwbuildError(ExitCode.INPUT, f"no routine '{name}' in the image", hint=hint)


def _put(found: dict[str, int], name: str, address: int) -> None:
    """The ROM is at the end of the address space, RAM below it."""
    found[name] = min(address, found.get(name, address))


def _text(entry: object, attribute: str) -> str:
    value: bytes = entry.attributes[attribute].value  # type: ignore[attr-defined]
    return value.decode()
