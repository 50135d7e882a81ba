"""The contract above each routine, in one fixed form:

    #: what it does, in a line
    #: mode: 32                          16, 32 or 64, or `data` for a data item
    #: in: eax key, ecx bytes            registers with a word on each; `-` for none
    #: out: -                            registers that carry a result
    #: clobbers: eax, edx, eflags        what else it changes
    #: reads: ram.work.ecam              optional: variables and regions of RAM, see below
    #: writes: ram.work.dma, region.memmap
    #: returns: never                    optional; else it returns
    #: source: QEMU docs/specs/fw_cfg.rst

A test holds every routine to it, by the disassembly and by running it. For RAM the rule is:

1. An operand in brackets that names a variable reads or writes it, as the instruction does.
2. Where a line only takes an address (`mov edi, ram.work.dma`), the author says which of the two.
3. What a routine calls, or ends in, counts as its own, unless it never returns.
4. A variable that one file alone names, or one chapter, is of no concern to callers outside it.
5. A name stands for all that is below it (`ram.work`), and nothing is listed without need.
"""

import re
from dataclasses import dataclass

from fwbuild.errors import ExitCode, FwbuildError

FIELDS = ("mode", "in", "out", "clobbers", "reads", "writes", "returns", "source")
REQUIRED = ("mode", "in", "out", "clobbers", "source")
VARIABLE = re.compile(r"ram(\.[a-z]\w*)+|region\.[a-z]\w*")
REGISTERS = frozenset("eax ebx ecx edx esi edi ebp esp eflags ds es fs gs ss cr0 cr3 cr4".split())


@dataclass(frozen=True)
class Contract:
    """A parsed contract. `inputs`, `outputs` and `clobbers` are 32-bit register names, `reads`
    and `writes` symbols of variables."""

    title: str
    kind: str = "routine"  # or "data"
    bits: int = 32
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    clobbers: frozenset[str] = frozenset()
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    returns: bool = True
    source: str = ""


def registers(text: str) -> tuple[str, ...]:
    """The registers that a field names, each the first word of its comma-separated part."""
    words = (part.split()[0] for part in text.split(",") if part.strip() not in ("", "-"))
    return tuple(words)


def variables(text: str) -> frozenset[str]:
    """The variables that a field names."""
    return frozenset(part.strip() for part in text.split(",") if part.strip())


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
    data = fields.get("mode") == "data"
    missing = [name for name in REQUIRED if not data and not fields.get(name)]
    if "".join(title) in ("", "-"):
        missing.append("a title")
    if missing:
        raise FwbuildError(ExitCode.ASSEMBLY, f"contract lacks {', '.join(missing)}", where=where)
    if data:
        return Contract(" ".join(title), "data", source=fields.get("source", ""))
    inputs, outputs, clobbers = (registers(fields[f]) for f in ("in", "out", "clobbers"))
    reads, writes = (variables(fields.get(f, "")) for f in ("reads", "writes"))
    unknown = sorted(set(inputs + outputs + clobbers) - REGISTERS)
    unknown += sorted(name for name in reads | writes if not VARIABLE.fullmatch(name))
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
        reads,
        writes,
        "returns" not in fields,
        fields["source"],
    )
