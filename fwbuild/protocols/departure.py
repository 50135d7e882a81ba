"""A departure from a specification: a sentence that knows where the rule stands."""

from collections.abc import Iterable, Iterator


class Departure(str):
    """One departure in words. `source` names the specification or the code that has the rule."""

    __slots__ = ("source",)
    source: str

    def __new__(cls, what: str, source: str) -> "Departure":
        """The departure `what` from a rule of `source`."""
        made = super().__new__(cls, what)
        made.source = source
        return made

    def plain(self) -> dict[str, str]:
        """The same for JSON."""
        return {"what": str(self), "source": self.source}


def by(source: str, found: Iterable[str]) -> Iterator[Departure]:
    """The departures that a check found, each with its source; one that has a source keeps it."""
    for what in found:
        yield what if isinstance(what, Departure) else Departure(what, source)
