"""How verbs print: tables and colours on a terminal, plain text in a pipe.

rich decides by the stream, and by NO_COLOR and TERM. It is imported when something is printed, for
it takes as long to load as all the rest of a short verb.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fwbuild.errors import FwbuildError

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 110  # of a table in a pipe or a file


def printable(text: str) -> str:
    """The text without what a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in text)


def output(*, markup: bool = False) -> "Console":
    """Standard output: lines of text are left as long as they are, and tables fit a terminal."""
    from rich.console import Console  # noqa: PLC0415

    width = None if sys.stdout.isatty() else WIDTH
    return Console(highlight=False, markup=markup, soft_wrap=True, width=width)


def print_error(error: FwbuildError) -> None:
    """An error's line on stderr."""
    if not sys.stderr.isatty():
        print(f"fwbuild: error: {error}", file=sys.stderr)
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    line = Text.assemble("fwbuild: ", ("error: ", "bold red"), str(error))
    Console(stderr=True, highlight=False, soft_wrap=True).print(line)


class Working:
    """A line on stderr, on a terminal alone, which says what takes a while. Nothing else may be
    printed meanwhile, but in `paused`."""

    def __init__(self, text: str) -> None:
        from rich.console import Console  # noqa: PLC0415

        self._status = Console(stderr=True).status("")
        self.say(text)

    def say(self, text: str) -> None:
        """What is going on now."""
        from rich.text import Text  # noqa: PLC0415

        self._status.update(Text(printable(text)))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The line is gone for a while."""
        self._status.stop()
        try:
            yield
        finally:
            self._status.start()

    def __enter__(self) -> "Working":
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()
