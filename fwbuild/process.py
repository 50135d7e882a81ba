"""The process around a command line: signals, standard output and error, and the exit code."""

import errno
import io
import os
import signal
import sys
import warnings
from types import FrameType

from fwbuild.ending_signals import ENDING
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.shortage import HINT, MACHINE, shortage, system_error

TYPE_CHECKING = False  # typing itself takes long to import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from sys import UnraisableHookArgs
    from typing import TextIO

    from _typeshed import ReadableBuffer


STDOUT, STDERR = 1, 2
TRACEBACK = "FWBUILD_TRACEBACK"  # in the environment: show a bug's traceback
MOMENT = 0.001  # seconds


class OutputLost(Exception):
    """A write to standard output failed with `error`. It is not an OSError, so that no
    library between takes it for one of its own."""

    def __init__(self, error: OSError) -> None:
        self.error = error
        super().__init__(str(error))


class Output(io.FileIO):
    """A standard stream. The first write to standard output that fails raises OutputLost; to
    standard error, nothing: there is nobody to tell.

    Later writes go nowhere, since the interpreter flushes its streams once more as it ends.
    """

    lost = False

    def write(self, data: "ReadableBuffer", /) -> int:
        if not self.lost:
            try:
                return super().write(data)
            except OSError as error:
                self.lost = True
                if self.fileno() == STDOUT:
                    raise OutputLost(error) from None
        return memoryview(data).nbytes


_ended_by: list[int] = []  # the signal that did


def main() -> int:
    """Run the command line in sys.argv and return its exit code."""
    # nobody's wish to end is heard where it was turned off, as in a shell's background
    wanted = [number for number in ENDING if signal.getsignal(number) != signal.SIG_IGN]
    _on(wanted, _leave)
    try:
        return _run(wanted)
    except KeyboardInterrupt:
        _leave(_ended_by[0] if _ended_by else signal.SIGINT)
    finally:  # all is done, and the exit code known
        signal.setitimer(signal.ITIMER_REAL, 0)
        _on(wanted, signal.SIG_IGN)
    raise AssertionError


def _on(numbers: "Iterable[int]", handler: "Callable[[int, FrameType | None], None] | int") -> None:
    for number in numbers:
        signal.signal(number, handler)


def _leave(number: int, _frame: FrameType | None = None) -> None:
    """End at once: there is nothing yet, or nothing any more, to clean up."""
    if number == signal.SIGINT:
        os._exit(130)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _stop(number: int, _frame: FrameType | None) -> None:
    """End once all is cleaned up, in which another signal does not interfere."""
    _on(ENDING, signal.SIG_IGN)
    _ended_by.append(number)
    raise KeyboardInterrupt


def _unraisable(lost: "UnraisableHookArgs") -> None:
    """Send the signal again, a moment later, if its KeyboardInterrupt was raised in what no
    exception leaves: a finalizer, a weak reference's callback, a C library's callback."""
    if not (_ended_by and isinstance(lost.exc_value, KeyboardInterrupt)):
        sys.__unraisablehook__(lost)
        return
    number = _ended_by[0]
    signal.signal(number, _stop)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), number))
    signal.setitimer(signal.ITIMER_REAL, MOMENT)


def _run(wanted: "Iterable[int]") -> int:
    sys.stdout, sys.stderr = _stream(sys.stdout, STDOUT), _stream(sys.stderr, STDERR)
    try:
        from fwbuild import cli  # noqa: PLC0415 (heavy)

        sys.unraisablehook = _unraisable
        if not sys.warnoptions:  # nobody asks for what Python says of a user's regular expression
            warnings.simplefilter("ignore")
        _on(wanted, _stop)  # from here on there are files to clean up
        try:
            code = cli.main()
        except SystemExit as end:  # argparse's, after its help
            code = end.code if isinstance(end.code, int) else ExitCode.OK
        if _ended_by and _ended_by[0] != signal.SIGINT:
            _leave(_ended_by[0])
        sys.stdout.flush()
        return code
    except OutputLost as lost:
        if lost.error.errno == errno.EPIPE:
            return ExitCode.BROKEN_PIPE
        what, hint = f"cannot write: {lost.error.strerror}", "some of the output is missing"
        error = FwbuildError(ExitCode.INPUT, what, where="standard output", hint=hint)
    except OSError as lacking:  # of an import
        error = system_error(lacking)
    except Exception as bug:
        if os.environ.get(TRACEBACK):
            raise
        if what := shortage(bug):
            error = FwbuildError(ExitCode.INPUT, what, where=MACHINE, hint=HINT)
        else:
            error = _bug(bug)
    print(f"fwbuild: error: {error}", file=sys.stderr)
    return error.code


def _bug(bug: Exception) -> FwbuildError:
    """The line of an exception that nobody foresaw."""
    from traceback import extract_tb  # noqa: PLC0415 (rarely needed)

    last = extract_tb(bug.__traceback__)[-1]
    return FwbuildError(
        ExitCode.INTERNAL,
        f"a bug of fwbuild's: {type(bug).__name__}: {bug}",
        where=f"{os.path.relpath(last.filename)}:{last.lineno}",
        hint=f"report it; {TRACEBACK}=1 shows how it came to that",
    )


def _stream(stream: "TextIO | None", number: int) -> "TextIO":
    """The stream of this number, written through Output. No name or text is beyond it: what its
    encoding lacks is escaped. A stream that is closed takes everything."""
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123
    stream.flush()
    output = Output(number, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(output),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=number == STDERR or output.isatty(),
    )
