"""What Ctrl-C does to a command at each moment of its first 150 ms.

`python -m tests.support.interrupts FWBUILD TIMES` sends SIGINT to `build`, `inspect` and `verify`
of the program FWBUILD, TIMES at every other millisecond, and prints how many runs ended how. Give
it the program of a wheel that is installed in a venv of its own, as users have it.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from fwbuild.errors import ExitCode
from fwbuild.payloads.test_kernel import build_test_kernel

MOMENTS = range(0, 151, 2)  # milliseconds
LIMIT = 60  # seconds
OURS = re.compile(r'File "[^"]*/fwbuild/\w+\.py"')
SIGNAL, QUIET, DONE = "the signal", "130", "had ended"  # all three without a word
PYTHON, IMPORT, OTHER = "Python's words", "of fwbuild's", "other"
ENDS = (SIGNAL, QUIET, DONE, PYTHON, IMPORT, OTHER)


def verbs(folder: Path) -> dict[str, list[str]]:
    kernel = folder / "kernel"
    kernel.write_bytes(build_test_kernel())
    return {
        "build": ["build", "--out", str(folder / "out" / "bios.bin")],
        "inspect": ["inspect", str(kernel)],
        "verify": ["verify", "--kernel", str(kernel)],
    }


def end(arguments: list[str], seconds: float) -> tuple[str, str]:
    """How a command ended that SIGINT came to after so long, and what it said."""
    with tempfile.TemporaryFile() as said:
        start = time.perf_counter()
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=said)
        time.sleep(max(0, start + seconds - time.perf_counter()))
        process.send_signal(signal.SIGINT)
        code = process.wait(LIMIT)
        said.seek(0)
        text = said.read().decode()
    if not text:
        silent = {-signal.SIGINT: SIGNAL, ExitCode.INTERRUPTED: QUIET, ExitCode.OK: DONE}
        return silent.get(code, OTHER), f"exit code {code}"
    if "KeyboardInterrupt" not in text:
        return OTHER, text
    return IMPORT if OURS.search(text) else PYTHON, text


def runs(program: str, times: int) -> Iterator[tuple[str, int, str, str]]:
    """(verb, milliseconds, end, text) of each run."""
    with tempfile.TemporaryDirectory() as folder:
        for name, arguments in verbs(Path(folder)).items():
            for moment in MOMENTS:
                for _ in range(times):
                    yield name, moment, *end([program, *arguments], moment / 1000)


def main() -> None:
    os.environ.pop("PYTHONPATH", None)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a child inherits that it is ignored
    counts: dict[str, Counter[str]] = {}
    moments: dict[str, list[int]] = {}
    for name, moment, how, text in runs(sys.argv[1], int(sys.argv[2])):
        counts.setdefault(name, Counter())[how] += 1
        moments.setdefault(how, []).append(moment)
        if how in (IMPORT, OTHER):
            print(f"{name} at {moment} ms: {text}")
    print(f"{'':10}" + "".join(f"{how:>16}" for how in ENDS))
    for name, count in counts.items():
        print(f"{name:10}" + "".join(f"{count[how]:16}" for how in ENDS))
    for how, those in moments.items():
        print(f"{how}: {min(those)} to {max(those)} ms")


if __name__ == "__main__":
    main()
