"""A QEMU process that is waited for at most so long, and ended by whoever started it."""

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fwbuild.errors import ExitCode, FwbuildError


@contextmanager
def stopped(argv: list[str], option: str, seconds: float = 20) -> Iterator[socket.socket]:
    """QEMU before its first instruction (-S), and a socket to its `option` ("-qtest" or
    "-gdb"); ended when the block is left."""
    with tempfile.TemporaryDirectory(prefix="fwbuild-") as folder:
        path = Path(folder) / "socket"
        with (Path(folder) / "stderr").open("w+") as errors:
            process = subprocess.Popen(
                [*argv, "-S", option, f"unix:{path},server=on,wait=off"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
            )  # fmt: skip
            try:
                with _connect(path, process, seconds) as connection:
                    yield connection
            except OSError as error:
                errors.seek(0)
                last = (errors.read().strip().splitlines() or [str(error)])[-1]
                raise FwbuildError(ExitCode.QEMU, f"QEMU failed: {last}") from None
            finally:
                process.kill()
                process.wait()


def _connect(path: Path, process: subprocess.Popen[bytes], seconds: float) -> socket.socket:
    end = time.monotonic() + seconds
    while True:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(seconds)
        try:
            connection.connect(str(path))
            return connection
        except OSError:
            connection.close()
            if process.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.02)
