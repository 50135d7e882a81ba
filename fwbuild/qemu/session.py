"""A QEMU process that is waited for at most so long, and ended by whoever started it."""

import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from fwbuild.abi import ports, stop_codes
from fwbuild.errors import ExitCode, FwbuildError

END_SECONDS = 1  # from closed sockets to the exit status


@contextmanager
def stopped(argv: list[str], option: str, seconds: float = 20) -> Iterator[socket.socket]:
    """QEMU before its first instruction (-S), and a socket to its `option` ("-qtest" or
    "-gdb"); ended when the block is left. A reply may take `seconds`. The socket is inherited,
    so it has no path that could be too long or in use."""
    ours, theirs = socket.socketpair()
    name = option.lstrip("-")  # QEMU 7.2 looks for the qtest device by this name
    with ours, theirs, tempfile.TemporaryFile("w+") as errors:
        chardev = f"socket,id={name},fd={theirs.fileno()}"
        process = subprocess.Popen(
            [*argv, "-S", "-chardev", chardev, option, f"chardev:{name}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
            pass_fds=[theirs.fileno()],
        )  # fmt: skip
        theirs.close()  # so that QEMU's end is seen as the end of the stream
        ours.settimeout(seconds)
        try:
            yield ours
        except OSError as error:
            if stop := _stop_of(process):
                raise FwbuildError(
                    ExitCode.STOPPED, f"the firmware stopped: {stop.what}", hint=stop.hint
                ) from None
            errors.seek(0)
            last = (errors.read().strip().splitlines() or [str(error)])[-1]
            raise FwbuildError(ExitCode.QEMU, f"QEMU failed: {last}") from None
        finally:
            process.kill()
            process.wait()


def _stop_of(process: subprocess.Popen[bytes]) -> stop_codes.Stop | None:
    """Why the firmware ended QEMU, if it did: isa-debug-exit closes the sockets unannounced."""
    try:
        status = process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    stops = stop_codes.STOPS
    return next((s for s in stops if ports.debug_exit_status(s.code) == status), None)
