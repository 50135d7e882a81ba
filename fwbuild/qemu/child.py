"""A process of ours that ends with the block it is used in, whatever ends the block."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import AnyStr

from fwbuild.interrupt import interrupted_later


@contextmanager
def child(start: Callable[[], subprocess.Popen[AnyStr]]) -> Iterator[subprocess.Popen[AnyStr]]:
    """The process that `start` starts; it is killed and waited for as the block is left. A Ctrl-C
    while it starts ends it, too."""
    process = None
    try:
        with interrupted_later():
            process = start()
        yield process
    finally:
        if process:
            with process:  # closes its pipes and waits
                process.kill()
