"""The first lines of a command line: SIGINT is looked after before anything else is imported.

Until then the interpreter answers it with a traceback, so this module has no imports but what is
in the interpreter; `signal` is not, and makes enums.
"""

import _signal  # type: ignore[import-not-found]
import os

NO_START = 3  # ExitCode.INPUT, which may not be there yet
SAID = "fwbuild: error: this machine: no start: {} (hint: `ulimit -a` shows the limits)"


def main() -> int:
    """Run the command line in sys.argv and return its exit code."""
    if _signal.getsignal(_signal.SIGINT) != _signal.SIG_IGN:  # as in a shell's background
        _signal.signal(_signal.SIGINT, lambda *_: os._exit(130))
    try:
        from fwbuild import process  # noqa: PLC0415
    except (ImportError, MemoryError, OSError) as error:
        what = " ".join((str(error) or "too little memory").split())
        try:  # noqa: SIM105 (contextlib may not be there)
            os.write(2, f"{SAID.format(what)}\n".encode(errors="backslashreplace"))
        except OSError:  # nobody to tell
            pass
        return NO_START
    return process.main()
