"""The contract above each routine, in one fixed form:

    #: what it does, in a line
    #: mode: 32                          16, 32 or 64, or `data` for a data item
    #: in: eax key, ecx bytes            registers with a word on each; `-` for none
    #: out: -                            registers that carry a result
    #: clobbers: eax, edx, eflags        what else it changes
    #: returns: never                    optional; else it returns
    #: source: QEMU docs/specs/fw_cfg.rst

A test holds every routine to it, by the disassembly and by running it.
"""

import re
from dataclasses import dataclass

from fwbuild.errors import ExitCode, FwbuildError

FIELDS = ("mode", "in", "out", "clobbers", "returns", "source")
REQUIRED = ("mode", "in", "out", "clobbers", "source")
REGISTERS = frozenset("eax ebx ecx edx esi edi ebp esp eflags ds es fs gs ss cr0 cr3 cr4".split())


@dataclass(frozen=True)
class Contract:
    """A parsed contract. `inputs`, `outputs` and `clobbers` are 32-bit register names."""

    title: str
    kind: str = "routine"  # or "data"
    bits: int = 32
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    clobbers: frozenset[str] = frozenset()
    returns: bool = True
    source: str = ""


def registers(text: str) -> tuple[str, ...]:
    """The registers that a field names, each the first word of its comma-separated part."""
    words = (part.split()[0] for part in text.split(",") if part.strip() not in ("", "-"))
    return tuple(words)


def parse_contract(lines: list[str], where: str) -> Contract:
    """The contract in `lines` (without `#:`); an error names `where`."""
    title: list[str] = []
    fields: dict[str, str] = {}
    last = ""
    for line in lines:
        match = re.match(r"([a-z]+):\s*(.*)", line)
        if match and match[1] in FIELDS:
            last = match[1]
            if last in fields:
                raise FwbuildError(ExitCode.ASSEMBLY, f"contract has two {last}:", where=where)
            fields[last] = match[2]
        elif last:
            fields[last] += " " + line
        else:
            title.append(line)
    if fields.get("returns", "never") != "never":
        raise FwbuildError(ExitCode.ASSEMBLY, "returns: says only `never`", where=where)
    if fields.get("mode") == "data":
        return Contract(" ".join(title), "data", source=fields.get("source", ""))
    missing = [name for name in REQUIRED if not fields.get(name)]
    if missing or not title:
        raise FwbuildError(
            ExitCode.ASSEMBLY, f"contract lacks {', '.join(missing) or 'a title'}", where=where
        )
    inputs, outputs, clobbers = (registers(fields[f]) for f in ("in", "out", "clobbers"))
    unknown = sorted(set(inputs + outputs + clobbers) - REGISTERS)
    if unknown or fields["mode"] not in ("16", "32", "64"):
        bad = ", ".join(unknown) or f"mode {fields['mode']}"
        raise FwbuildError(ExitCode.ASSEMBLY, f"contract names unknown {bad}", where=where)
    return Contract(
        " ".join(title),
        "routine",
        int(fields["mode"]),
        inputs,
        outputs,
        frozenset(clobbers),
        "returns" not in fields,
        fields["source"],
    )
