"""Macros of the dialect: lines that stand for others, with parameters put in."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

HEAD = re.compile(r"(?P<name>[a-z_][a-z0-9_]*)(?: (?P<parameters>[a-z_]\w*(?:, ?[a-z_]\w*)*))?")


@dataclass(frozen=True)
class Macro:
    """One macro; its lines have `\\PARAMETER` where an argument goes."""

    name: str
    parameters: tuple[str, ...]
    lines: list[str] = field(default_factory=list)

    @classmethod
    def parse(cls, head: str) -> "Macro | None":
        """The macro of `NAME PARAMETER, PARAMETER`, still without lines; None if it is not
        of this form."""
        match = HEAD.fullmatch(head)
        if not match:
            return None
        parameters = tuple(re.findall(r"\w+", match["parameters"] or ""))
        return cls(match["name"], parameters)

    def expand(self, arguments: Sequence[str]) -> Iterator[str]:
        """The lines with the arguments put in, one for each parameter."""
        values = dict(zip(self.parameters, arguments, strict=True))
        for line in self.lines:
            yield re.sub(r"\\(\w+)", lambda m: values.get(m[1], m[0]), line)


Macros = dict[str, Macro]
