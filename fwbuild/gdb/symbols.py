"""The routines and labels of an image, from the ELF beside it, and the symbols of a kernel."""

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


def in_kernel(name: str, file: bytes) -> tuple[int, ...]:
    """Where a symbol of an ELF kernel may run: at the address that it is linked for and, before the
    kernel has its page tables, at the one that it is loaded to. None where there is no such
    symbol."""
    try:
        elf = ELFFile(io.BytesIO(file))
        table = elf.get_section_by_name(".symtab")
        found = table.get_symbol_by_name(name) if table else None
        defined = [s["st_value"] for s in found or () if s["st_shndx"] != "SHN_UNDEF"]
        if not defined:
            return ()
        at = defined[0]
        loaded = [
            s["p_paddr"] + at - s["p_vaddr"]
            for s in elf.iter_segments("PT_LOAD")
            if s["p_vaddr"] <= at < s["p_vaddr"] + s["p_memsz"]
        ]
        return tuple(dict.fromkeys([at, *loaded[:1]]))
    except ELFError:
        return ()


def find(name: str, known: Mapping[str, int], kernel: bytes = b"") -> tuple[int, ...]:
    """The addresses of a routine or a label, of a number in hexadecimal, or of a symbol of the
    kernel. Raises FwbuildError."""
    if name.lower().startswith("0x"):
        try:
            return (int(name, 16),)
        except ValueError:
            what = f"'{name}' is no address"
            raise FwbuildError(ExitCode.USAGE, what, hint="say 0xfffffff0") from None
    if name in known:
        return (known[name],)
    if found := in_kernel(name, kernel):
        return found
    near = difflib.get_close_matches(name, known, 1)
    where = "image or the kernel"
    if not has_symbols(kernel):
        where = "image, and the kernel has no symbols" if kernel else "image"
    hint = f"did you mean {near[0]}?" if near else "`fwbuild map` lists the image's"
    raise FwbuildError(ExitCode.INPUT, f"no routine '{name}' in the {where}", hint=hint)


def _put(found: dict[str, int], name: str, address: int) -> None:
    """The ROM is at the end of the address space, RAM below it."""
    found[name] = min(address, found.get(name, address))


def _text(entry: object, attribute: str) -> str:
    value: bytes = entry.attributes[attribute].value  # type: ignore[attr-defined]
    return value.decode()
