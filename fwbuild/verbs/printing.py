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
    """A line on stderr which says what takes a while: on a terminal alone, whatever FORCE_COLOR
    says of colours. Nothing else may be printed meanwhile, but in `paused`.

    It is drawn when it has new words. A thread that moved it would take its time from what the
    bench measures."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._console: Console | None = None  # None: not shown

    def say(self, text: str) -> None:
        """What is going on now."""
        self._text = text
        if self._console:
            self._erase()
            room = self._console.width - 1  # a character in the last column begins a new line
            self._console.print(printable(text)[:room], style="dim", end="")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The line is gone for a while."""
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()

    def __enter__(self) -> "Working":
        if sys.stderr.isatty():
            from rich.console import Console  # noqa: PLC0415

            console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
            self._console = None if console.is_dumb_terminal else console
        self.say(self._text)
        return self

    def __exit__(self, *_: object) -> None:
        if self._console:
            self._erase()
        self._console = None

    def _erase(self) -> None:
        from rich.control import Control  # noqa: PLC0415
        from rich.segment import ControlType  # noqa: PLC0415

        line = (ControlType.CARRIAGE_RETURN,), (ControlType.ERASE_IN_LINE, 2)
        assert self._console
        self._console.control(Control(*line))
