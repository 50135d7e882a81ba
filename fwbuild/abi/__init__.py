"""The contracts that others specify, one module a contract, declared with construct.

What the firmware decides for itself is in fwbuild/firmware. fwbuild/firmware/symbols.py turns
both into the assembly's symbols.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

from construct import Adapter, Construct, SizeofError, StringEncoded, Struct

from fwbuild.abi import (
    acpi,
    bios,
    chipset,
    e820,
    elf,
    fw_cfg,
    legacy,
    linux_boot,
    linux_user,
    mptable,
    multiboot,
    multiboot2,
    pci,
    ports,
    pvh,
    pvpanic,
    smbios,
    x86,
)

# Those that the assembly knows.
CONTRACTS: tuple[ModuleType, ...] = (
    acpi, bios, chipset, e820, elf, fw_cfg, legacy, linux_boot, linux_user, mptable, multiboot,
    multiboot2, pci, ports, pvh, pvpanic, smbios, x86,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Field:
    """A named field of a structure, or of a structure in it ("outer.inner"); of an array's
    elements the first. `at` is its offset in bytes, `what` the text at its declaration."""

    name: str
    at: int
    what: str


def fields(struct: Struct) -> Iterator[Field]:
    """The fields in order, each structure before its own. Those after a field of variable size
    have no offset and are left out."""
    at = 0
    for field in struct.subcons:
        if field.name:
            yield Field(name=field.name, at=at, what=field.docs or "")
            inner = _plain(field)
            for f in fields(inner) if isinstance(inner, Struct) else ():
                name = f"{field.name}.{f.name}"
                yield Field(name=name, at=at + f.at, what=f.what)
        try:
            at += field.sizeof()
        except SizeofError:
            break


def offsets(struct: Struct) -> dict[str, int]:
    """The offset in bytes of each of the fields."""
    return {field.name: field.at for field in fields(struct)}


def _plain(field: Construct) -> Construct:
    """The declaration under construct's wrappers: names, texts, arrays, encodings."""
    while hasattr(field, "subcon") and not isinstance(field, (StringEncoded, Adapter)):
        field = field.subcon
    return field


__all__ = ["CONTRACTS", "Field", "fields", "offsets"]
