"""The process around a command line: SIGINT, standard output and error, and the exit code.

Nothing but light modules is imported until SIGINT is looked after.
"""

import errno
import io
import os
import signal
import sys
from types import FrameType

TYPE_CHECKING = False  # typing itself takes long to import
if TYPE_CHECKING:
    from typing import TextIO

    from _typeshed import ReadableBuffer

STDOUT, STDERR = 1, 2


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


def main() -> int:
    """Run the command line in sys.argv and return its exit code."""
    wanted = signal.getsignal(signal.SIGINT) != signal.SIG_IGN  # not so in a shell's background
    if wanted:
        signal.signal(signal.SIGINT, _leave)
    try:
        return _run(wanted)
    except KeyboardInterrupt:
        _leave()
    finally:
        if wanted:  # all is done, and the exit code known
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise AssertionError


def _leave(_number: int = 0, _frame: FrameType | None = None) -> None:
    """End at once: there is nothing yet, or nothing any more, to clean up."""
    os._exit(130)


def _run(wanted: bool) -> int:
    from fwbuild import cli  # noqa: PLC0415 (heavy)
    from fwbuild.errors import ExitCode, FwbuildError  # noqa: PLC0415

    sys.stdout, sys.stderr = _stream(sys.stdout, STDOUT), _stream(sys.stderr, STDERR)
    try:
        if wanted:  # from here on there are files to clean up
            signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            code = cli.main()
        except SystemExit as end:  # argparse's
            code = end.code if isinstance(end.code, int) else ExitCode.OK
        sys.stdout.flush()
    except OutputLost as lost:
        if lost.error.errno == errno.EPIPE:
            return ExitCode.BROKEN_PIPE
        what, hint = f"cannot write: {lost.error.strerror}", "some of the output is missing"
        error = FwbuildError(ExitCode.INPUT, what, where="standard output", hint=hint)
        print(f"fwbuild: error: {error}", file=sys.stderr)
        return error.code
    return code


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
