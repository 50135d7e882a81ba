"""The command line as a process: SIGINT, a pipe that nobody reads, a full disk, odd bytes."""

import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fwbuild.errors import ExitCode
from fwbuild.payloads.test_kernel import (
    build_test_bzimage,
    build_test_kernel,
    build_test_multiboot,
)
from fwbuild.qemu.child import child
from tests.support.bzimages import bzimage

RUN = [sys.executable, "-m", "fwbuild"]

# Verbs that print by print() and by rich, much and little, and argparse's own text.
PRINTERS = {
    "map": ["map"],
    "inspect": ["inspect", "--json", sys.executable],
    "errors": ["errors"],
    "verify": ["verify"],
    "symbols": ["build", "--symbols"],
    "help": ["--help"],
    "version": ["--version"],
}

# Runs command lines, a line of JSON each, in a process of their own that ends as every other does;
# the modules are imported, and the image is built, once. Its answer is the exit code and stderr.
SERVER = """
import importlib, json, os, pathlib, resource, sys, tempfile
from fwbuild import cli, process
from fwbuild.image.build import build_image
def signalled(owner, name, number):
    real = getattr(owner, name)
    def both(*words, **more):
        found = real(*words, **more)
        os.kill(os.getpid(), number)
        return found
    setattr(owner, name, both)
for verb in cli.VERBS:
    importlib.import_module("fwbuild.verbs." + verb)
build_image()
for line in sys.stdin:
    case = json.loads(line)
    said = tempfile.TemporaryFile()
    child = os.fork()
    if not child:
        if case["out"] == "nobody":
            reading, out = os.pipe()
            os.close(reading)
        else:
            out = os.open(case["out"], os.O_WRONLY)
        os.dup2(out, 1)
        os.dup2(said.fileno(), 2)
        if case["most"]:
            resource.setrlimit(resource.RLIMIT_FSIZE, (case["most"], case["most"]))
        if case["moment"]:
            owner = {"mkstemp": tempfile, "replace": pathlib.Path}[case["moment"]]
            signalled(owner, case["moment"], case["number"])
        sys.stdout = open(1, "w", closefd=False)
        sys.argv[1:] = case["arguments"]
        sys.exit(process.main())
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    said.seek(0)
    print(json.dumps([status, said.read().decode()]), flush=True)
"""


class Server:
    """Runs command lines with a file, or nobody, for their standard output. `most` is the largest
    file that they can write: with a full disk it ends in the same way. Signal `number` comes
    after each call of `moment`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(
        self,
        arguments: list[str],
        out: str = os.devnull,
        *,
        most: int = 0,
        moment: str = "",
        number: int = 0,
    ) -> tuple[int, str]:
        """(exit code, stderr) of a command line."""
        assert self._process.stdin and self._process.stdout
        case = {
            "arguments": arguments,
            "out": out,
            "most": most,
            "moment": moment,
            "number": number,
        }
        print(json.dumps(case), file=self._process.stdin, flush=True)
        code, said = json.loads(self._process.stdout.readline())
        return code, said


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Server(process)


@pytest.mark.parametrize("name", PRINTERS)
def test_nobody_reads(name: str, server: Server) -> None:
    assert server.run(PRINTERS[name], "nobody") == (ExitCode.BROKEN_PIPE, "")


@pytest.mark.parametrize("name", PRINTERS)
def test_full_disk(name: str, server: Server) -> None:
    code, said = server.run(PRINTERS[name], "/dev/full")
    assert code == ExitCode.INPUT
    assert said.startswith("fwbuild: error: standard output: cannot write: No space left")
    assert said.count("\n") == 1


@pytest.mark.parametrize("verb", ["build", "extract"])
def test_no_room_for_the_file(verb: str, server: Server, tmp_path: Path) -> None:
    out, kernel = tmp_path / "new" / "out.bin", tmp_path / "vmlinuz"
    kernel.write_bytes(bzimage(gzip.compress(build_test_kernel().ljust(40_000, b"\0"))))
    arguments = [verb, "--out", str(out), *([str(kernel)] if verb == "extract" else [])]
    code, said = server.run(arguments, most=20_000)
    assert code == ExitCode.INPUT
    assert said.startswith(f"fwbuild: error: {out}: cannot write: File too large (hint: ")
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == [kernel]


@pytest.mark.parametrize(("redirection", "code"), [("2>/dev/full", 2), ("2>&-", 2), (">&-", 0)])
def test_closed_streams(redirection: str, code: int) -> None:
    verb = "nope" if code else "errors"
    line = f'"$0" -m fwbuild {verb} {redirection}'
    done = subprocess.run(["sh", "-c", line, sys.executable], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (code, b"")


# What is imported until SIGINT is looked after: in that time, the interpreter answers it with a
# traceback.
EARLY = """
import _signal, os, sys
before = {*sys.modules}
def noted(number, handler):
    print(int(number), *sorted({*sys.modules} - before), flush=True)
    os._exit(0)
_signal.signal = noted
from fwbuild.start import main
main()
"""


def test_little_is_imported_until_sigint_is_looked_after() -> None:
    """`signal` would be most of it: it makes enums."""
    done = subprocess.run(
        [sys.executable, "-c", EARLY], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.split() == [str(int(signal.SIGINT)), "fwbuild", "fwbuild.start"]


# A signal as a module is imported, and as the interpreter ends.
# argv: the moment, the signal's number, and the file to build.
SIGNALLED = """
import atexit, os, sys
moment, number, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
def signalled(*_):
    os.kill(os.getpid(), number)
class Finder:
    def find_spec(self, name, *_):
        if name == moment:
            signalled()
if moment == "atexit":
    atexit.register(signalled)
sys.meta_path.insert(0, Finder())
from fwbuild.start import main
sys.argv[1:] = ["build", "--out", out]
sys.exit(main())
"""
# moment: whether the files are there
MOMENTS = {
    "fwbuild.process": False,
    "fwbuild.cli": False,
    "argparse": False,
    "fwbuild.verbs.build": False,
    "keystone": False,
    "atexit": True,
}
FILES = ["bios.bin", "bios.elf", "bios.json", "bios.lst", "bios.map"]
ENDS = {signal.SIGINT: int(ExitCode.INTERRUPTED), signal.SIGTERM: -signal.SIGTERM}


@pytest.mark.parametrize(
    ("moment", "number"),
    [*((moment, signal.SIGINT) for moment in MOMENTS), ("argparse", signal.SIGTERM)],
)  # fmt: skip
def test_ended(moment: str, number: signal.Signals, tmp_path: Path) -> None:
    """Nothing is said, no file is half-written or left in part."""
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED, moment, str(int(number)), str(tmp_path / "bios.bin")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    code = ExitCode.OK if moment == "atexit" else ENDS[number]  # the work is done
    assert (done.returncode, done.stderr) == (code, "")
    assert sorted(p.name for p in tmp_path.iterdir()) == (FILES if MOMENTS[moment] else [])


# A signal inside of what no exception leaves. argv: which, and the signal's number.
SWALLOWED = """
import ctypes, os, sys, time, weakref
from fwbuild import cli, process
where, number = sys.argv[1], int(sys.argv[2])
def signalled(*_):
    os.kill(os.getpid(), number)
class Thing:
    if where == "finalizer":
        __del__ = signalled
def swallow():
    thing = Thing()
    if where == "weak reference":
        return weakref.ref(thing, signalled)
    if where == "C library's callback":
        ctypes.CFUNCTYPE(None)(signalled)()
def main():
    swallow()
    time.sleep(30)
    return 0
cli.main = main
sys.exit(process.main())
"""


@pytest.mark.parametrize("number", ENDS)
@pytest.mark.parametrize("where", ["finalizer", "weak reference", "C library's callback"])
def test_a_signal_is_not_lost(where: str, number: signal.Signals) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SWALLOWED, where, str(int(number))],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stderr) == (ENDS[number], "")


@pytest.mark.parametrize("number", ENDS)
@pytest.mark.parametrize("moment", ["mkstemp", "replace"])
def test_ended_while_files_are_written(
    moment: str, number: signal.Signals, server: Server, tmp_path: Path
) -> None:
    """They are all there: a signal takes effect after them."""
    arguments = ["build", "--out", str(tmp_path / "bios.bin")]
    assert server.run(arguments, moment=moment, number=number) == (ENDS[number], "")
    assert sorted(p.name for p in tmp_path.iterdir()) == FILES


@pytest.mark.parametrize("number", ENDS)
def test_a_signal_while_a_process_starts_ends_it(number: signal.Signals) -> None:
    def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(["sleep", "60"])
        started.append(process)
        os.kill(os.getpid(), number)
        return process

    def handler(*_: object) -> None:
        raise KeyboardInterrupt

    started: list[subprocess.Popen[bytes]] = []
    before = signal.signal(number, handler)
    try:
        with pytest.raises(KeyboardInterrupt), child(start):
            pytest.fail("the signal is held back no longer than the start takes")
    finally:
        signal.signal(number, before)
    assert started[0].returncode == -signal.SIGKILL


BUG = """
import sys
from fwbuild import cli, process
cli.main = lambda: {}["a\\nb"]
sys.exit(process.main())
"""


def test_a_bug_is_told_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BUG], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == ExitCode.INTERNAL
    assert done.stderr.count("\n") == 1
    assert "<string>:4: a bug of fwbuild's: KeyError: " in done.stderr


ODD = os.fsdecode(b"\xff\xfe")  # no UTF-8


def test_names_that_are_no_utf_8(server: Server, tmp_path: Path) -> None:
    kernel = tmp_path / ODD
    kernel.write_bytes(b"text")
    for arguments in (["verify", "--kernel", str(kernel)], ["inspect", str(kernel)], [ODD]):
        code, said = server.run(arguments)
        assert code in (ExitCode.KERNEL, ExitCode.USAGE)
        assert said.count("\n") == 1
        assert said.startswith("fwbuild: error: ")


@pytest.mark.parametrize("kernel", [build_test_kernel, build_test_bzimage, build_test_multiboot])
def test_append_that_is_no_utf_8(
    kernel: Callable[[], bytes], server: Server, tmp_path: Path
) -> None:
    """The bytes reach the kernel as they are; the judge compares them."""
    (tmp_path / ODD).write_bytes(kernel())
    out = tmp_path / "out"
    out.touch()
    line = ["verify", "--kernel", str(tmp_path / ODD), "--append", ODD, "--json"]
    assert server.run(line, str(out)) == (0, "")
    assert json.loads(out.read_text())["handoff"]["cmdline"].endswith("\xff\xfe")
