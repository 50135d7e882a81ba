"""The contracts that others specify, one module a contract, declared with construct.

What the firmware decides for itself is in fwbuild/firmware. fwbuild/firmware/symbols.py turns
both into the assembly's symbols.
"""

from types import ModuleType

from construct import Adapter, Construct, SizeofError, StringEncoded, Struct

from fwbuild.abi import (
    acpi,
    bios,
    chipset,
    e820,
    fw_cfg,
    legacy,
    linux_boot,
    linux_user,
    mptable,
    multiboot,
    pci,
    ports,
    pvh,
    smbios,
    x86,
)

# Those that the assembly knows. `elf` and `multiboot2` describe files, which only Python reads.
CONTRACTS: tuple[ModuleType, ...] = (
    acpi, bios, chipset, e820, fw_cfg, legacy, linux_boot, linux_user, mptable, multiboot, pci,
    ports, pvh, smbios, x86,
)  # fmt: skip


def offsets(struct: Struct) -> dict[str, int]:
    """Offset in bytes of each named field, and of the fields of nested structures
    ("outer.inner"). Fields behind one of variable size have no offset and are left out."""
    found: dict[str, int] = {}
    at = 0
    for field in struct.subcons:
        if field.name:
            found[field.name] = at
            inner = _plain(field)
            if isinstance(inner, Struct):
                found |= {f"{field.name}.{k}": at + v for k, v in offsets(inner).items()}
        try:
            at += field.sizeof()
        except SizeofError:
            break
    return found


def _plain(field: Construct) -> Construct:
    """The declaration under construct's renaming and encoding wrappers."""
    while hasattr(field, "subcon") and not isinstance(field, (StringEncoded, Adapter)):
        field = field.subcon
    return field


__all__ = ["CONTRACTS", "offsets"]
