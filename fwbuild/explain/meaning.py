"""One meaning of a word."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """`kind` tells which sort of thing it is, `what` tells it in words; `facts` has more, each
    with a name."""

    kind: str
    what: str
    facts: dict[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, object]:
        """The meaning for JSON."""
        return {"kind": self.kind, "what": self.what, "facts": self.facts}
