"""Every binary contract of the firmware, one module a contract, declared with construct.

`symbols()` turns the declarations into assembly symbols, so that the assembly, the emulated
devices and the tests all take a number from the one place where it is written down.
"""

from contextlib import suppress
from enum import IntEnum, IntFlag
from types import ModuleType

from construct import Adapter, Construct, SizeofError, StringEncoded, Struct

from fwbuild.abi import (
    acpi,
    bench,
    bios,
    chipset,
    e820,
    fw_cfg,
    identity,
    legacy,
    linux_boot,
    linux_user,
    mptable,
    multiboot,
    pci,
    pci_plan,
    ports,
    pvh,
    smbios,
    stop_codes,
    test_kernel,
    trace,
    work,
    x86,
)

CONTRACTS: tuple[ModuleType, ...] = (
    acpi, bench, bios, chipset, e820, fw_cfg, identity, legacy, linux_boot, linux_user, mptable,
    multiboot, pci, pci_plan, ports, pvh, smbios, test_kernel, trace, work, x86,
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


def module_symbols(module: ModuleType) -> dict[str, int]:
    """The symbols of one module: `module.CONSTANT`, `module.Enum.MEMBER`,
    `module.STRUCT.field` and `module.STRUCT.sizeof` (bytes)."""
    prefix = module.__name__.rpartition(".")[2]
    found: dict[str, int] = {}
    for name, value in vars(module).items():
        if name.startswith("_"):
            continue
        if isinstance(value, int):
            found[f"{prefix}.{name}"] = int(value)
        elif isinstance(value, type) and issubclass(value, IntEnum | IntFlag):
            found |= {f"{prefix}.{name}.{m.name}": int(m) for m in value}
        elif isinstance(value, Struct):
            found |= {f"{prefix}.{name}.{k}": v for k, v in offsets(value).items()}
            with suppress(SizeofError):
                found[f"{prefix}.{name}.sizeof"] = value.sizeof()
    return found


def symbols() -> dict[str, int]:
    """Every constant and offset of every contract, by its assembly name."""
    found: dict[str, int] = {}
    for module in CONTRACTS:
        found |= module_symbols(module)
    found |= {f"stop.{stop.name}": stop.code for stop in stop_codes.STOPS}
    return found


__all__ = ["CONTRACTS", "module_symbols", "offsets", "symbols"]
