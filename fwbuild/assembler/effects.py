"""Holds every routine to what its contract says of RAM, and tells who reads and writes what.

contract.py has the rule.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from os.path import commonpath

from capstone import CS_AC_READ, CS_AC_WRITE, CsInsn

from fwbuild.assembler.audit import instructions, target_of
from fwbuild.assembler.encoder import split_mnemonic
from fwbuild.assembler.link import NAME, Encoded, Linked
from fwbuild.assembler.operand import split
from fwbuild.assembler.source import Fragment

# A variable or a region in the text of a line; `- region.x.base` only measures a distance.
SYMBOL = re.compile(
    r"(?<![\w.])(?:ram(?:\.[a-z]\w*)+|(?<!- )region\.(?!rom\b)[a-z]\w*(?=\.base\b))"
)
# Instructions of which capstone does not know that they write to memory.
WRITERS = re.compile(r"set\w+|cmpxchg")


class Access(Enum):
    """The use of a variable by a line. ADDRESS: it takes the address alone."""

    READ = "reads"
    WRITE = "writes"
    ADDRESS = "takes the address of"


@dataclass(frozen=True)
class Touch:
    """One access of a line."""

    line: Encoded
    access: Access
    name: str


def covers(name: str, other: str) -> bool:
    """Whether `name` stands for `other`: itself, or what is below it."""
    return other == name or other.startswith(name + ".")


def _covered(names: Iterable[str], other: str) -> bool:
    return any(covers(name, other) for name in names)


@dataclass
class Effects:
    """The accesses of a linked program to variables in RAM."""

    linked: Linked

    @cached_property
    def by_address(self) -> dict[int, Fragment]:
        return {self.linked.addresses[f.name]: f for f in self.linked.fragments}

    @cached_property
    def routines(self) -> list[Fragment]:
        return [f for f in self.linked.fragments if f.contract.kind != "data"]

    @cached_property
    def named_by_data(self) -> dict[str, list[str]]:
        """The variables whose addresses each data item holds. A line that names the item names
        them, too."""
        return {
            f.name: [n for s in f.statements if s.kind == "data" for n in SYMBOL.findall(s.text)]
            for f in self.linked.fragments
            if f.contract.kind == "data"
        }

    @cached_property
    def touches(self) -> dict[str, list[Touch]]:
        """The accesses of each routine's own lines."""
        return {
            f.name: [t for line in self.linked.lines[f.name] for t in self._line(line)]
            for f in self.routines
        }

    @cached_property
    def files(self) -> dict[str, set[str]]:
        """The files that name each variable."""
        found: dict[str, set[str]] = {}
        for routine in self.routines:
            for touch in self.touches[routine.name]:
                found.setdefault(touch.name, set()).add(routine.file)
        return found

    def _line(self, line: Encoded) -> Iterator[Touch]:
        statement = line.statement
        if statement.kind == "string":
            return
        for word in NAME.findall(statement.text):
            for name in self.named_by_data.get(word, ()):
                yield Touch(line, Access.ADDRESS, name)
        if statement.kind != "instruction":
            for name in SYMBOL.findall(statement.text):
                yield Touch(line, Access.ADDRESS, name)
            return
        mnemonic, operands = split_mnemonic(statement.text)[1:]
        (insn,) = instructions(line)
        for number, text in enumerate(split(operands)):
            for name in SYMBOL.findall(text):
                in_memory = "[" in text and mnemonic != "lea"
                for access in _accesses(insn, number) if in_memory else (Access.ADDRESS,):
                    yield Touch(line, access, name)

    def home(self, name: str) -> str:
        """The file or the folder that alone names a variable, or what is below it."""
        files = {file for n, where in self.files.items() if covers(name, n) for file in where}
        return commonpath(files) if files else ""

    def concerns(self, name: str, routine: Fragment) -> bool:
        """Whether a callee's access to `name` counts as the routine's own."""
        home = self.home(name)
        return not home or f"{routine.file}/".startswith(f"{home}/")

    def through_calls(self, routine: Fragment) -> Iterator[Touch]:
        """The contracts' word on all that the routine calls or ends in."""
        for line in self.linked.lines[routine.name]:
            callee = self.by_address.get(target_of(line) or 0)
            if callee and callee is not routine and callee.contract.returns:
                for access, names in (
                    (Access.READ, callee.contract.reads),
                    (Access.WRITE, callee.contract.writes),
                ):
                    for name in sorted(names):
                        if self.concerns(name, routine):
                            yield Touch(line, access, name)

    def all_touches(self, routine: Fragment) -> list[Touch]:
        return [*self.touches[routine.name], *self.through_calls(routine)]

    def unlisted(self) -> list[str]:
        """The accesses that contracts do not list."""
        return [
            f"{touch.line.statement.where}: {routine.name}: '{touch.line.statement.text}' "
            f"{touch.access.value} {touch.name}, which the contract does not say"
            for routine in self.routines
            for touch in self.all_touches(routine)
            if not _covered(_listed(routine)[touch.access], touch.name)
        ]

    def needless(self) -> list[str]:
        """The variables that contracts list without need."""
        found = []
        for routine in self.routines:
            touches = self.all_touches(routine)
            for access in (Access.READ, Access.WRITE):
                for name in sorted(_listed(routine)[access]):
                    kinds = (access, Access.ADDRESS)
                    if not any(t.access in kinds and covers(name, t.name) for t in touches):
                        found.append(
                            f"{routine.file}:{routine.line}: {routine.name}: the contract lists "
                            f"{name}, but nothing {access.value} it"
                        )
        return found

    def users(self) -> dict[str, tuple[list[str], list[str]]]:
        """The routines whose own lines write each variable, and those that read it."""
        found: dict[str, tuple[list[str], list[str]]] = {}
        for routine in self.routines:
            for touch in self.touches[routine.name]:
                row = found.setdefault(touch.name, ([], []))
                for users, access in zip(row, (Access.WRITE, Access.READ), strict=True):
                    listed = _covered(_listed(routine)[access], touch.name)
                    by_address = touch.access is Access.ADDRESS and listed
                    if (touch.access is access or by_address) and routine.name not in users:
                        users.append(routine.name)
        return found


def _listed(routine: Fragment) -> dict[Access, frozenset[str]]:
    contract = routine.contract
    return {
        Access.READ: contract.reads,
        Access.WRITE: contract.writes,
        Access.ADDRESS: contract.reads | contract.writes,
    }


def _accesses(insn: CsInsn, number: int) -> list[Access]:
    access = insn.operands[number].access
    mnemonic = split_mnemonic(insn.mnemonic)[1]
    if number == 0 and WRITERS.fullmatch(mnemonic):
        access = CS_AC_WRITE if mnemonic.startswith("set") else CS_AC_READ | CS_AC_WRITE
    found = [Access.READ] if access & CS_AC_READ else []
    return [*found, Access.WRITE] if access & CS_AC_WRITE else found
