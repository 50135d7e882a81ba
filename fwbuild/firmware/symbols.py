"""The assembly's symbols: one rule, no alias.

| symbol | is |
|---|---|
| `module.CONSTANT`, `module.Enum.MEMBER` | a declaration in fwbuild/abi, firmware or machines |
| `module.STRUCT.field`, `module.STRUCT.sizeof` | an offset, a size in bytes |
| `ram.struct`, `ram.struct.field` | the address of a structure, of a variable: layout.STRUCTURES |
| `region.name.base`, `.size`, `.end` | a region of the layout |
| `option.key`, `option.key.value` | 0 or 1: what the image's template says |
| `option.one_machine` | whether the template names one machine alone |

So a symbol can be searched for: the name after the module is the one in Python.
"""

from contextlib import suppress
from enum import IntEnum, IntFlag
from types import ModuleType

from construct import SizeofError, Struct

from fwbuild import abi
from fwbuild.abi import offsets
from fwbuild.firmware import (
    bench,
    file_names,
    identity,
    layout,
    mptable_data,
    pci_plan,
    preloaded,
    smbios_data,
    stop_codes,
    test_kernel,
    trace,
    trial,
    work,
)
from fwbuild.machines import pc, q35

OWN: tuple[ModuleType, ...] = (
    bench, file_names, identity, layout, mptable_data, pc, pci_plan, preloaded, q35, smbios_data,
    stop_codes, test_kernel, trace, trial, work,
)  # fmt: skip


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


def stop_symbols() -> dict[str, int]:
    """`stop_codes.NAME` of each stop."""
    return {f"stop_codes.{stop.name}": stop.code for stop in stop_codes.STOPS}


def region_symbols() -> dict[str, int]:
    """`region.NAME.base|size|end` of each region, in bytes."""
    found: dict[str, int] = {}
    for r in layout.REGIONS:
        prefix = f"region.{r.name}"
        found |= {f"{prefix}.base": r.base, f"{prefix}.size": r.size, f"{prefix}.end": r.end}
    return found


def variable_symbols() -> dict[str, int]:
    """`ram.STRUCT`, `ram.STRUCT.field`: the addresses of each structure and its variables."""
    found: dict[str, int] = {}
    for name, (base, struct) in layout.STRUCTURES.items():
        found[f"ram.{name}"] = base
        found |= {f"ram.{name}.{field}": base + at for field, at in offsets(struct).items()}
    return found


def symbols() -> dict[str, int]:
    """Every symbol that is the same for all images; Template.symbols() has the rest."""
    found: dict[str, int] = {}
    for module in (*abi.CONTRACTS, *OWN):
        found |= module_symbols(module)
    return found | stop_symbols() | region_symbols() | variable_symbols()
