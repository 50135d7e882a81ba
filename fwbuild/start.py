"""The first lines of a command line: SIGINT is looked after before anything else is imported.

Until then the interpreter answers it with a traceback, so this module has no imports but what is
in the interpreter; `signal` is not, and makes enums.
"""

import _signal  # type: ignore[import-not-found]
import os


def main() -> int:
    """Run the command line in sys.argv and return its exit code."""
    if _signal.getsignal(_signal.SIGINT) != _signal.SIG_IGN:  # as in a shell's background
        _signal.signal(_signal.SIGINT, lambda *_: os._exit(130))
    from fwbuild import process  # noqa: PLC0415

    return process.main()
