"""A file that is full of what another guest left in its RAM."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from fwbuild.firmware import layout, work
from fwbuild.sizes import MIB

JUNK = 0xA5


@cache
def old_ram(size: int) -> Path:
    """`size` bytes of JUNK, whole MiB, in which a firmware of ours has been: the mark that tells a
    guest's reset from the first one is there. Kept until the tests end."""
    folder = Path(tempfile.mkdtemp(prefix="fwbuild-ram-"))
    atexit.register(shutil.rmtree, folder)
    path = folder / "ram"
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(bytes([JUNK]) * MIB)
        file.seek(layout.address("ebda", "mark"))
        file.write(work.WAKE_MARK.to_bytes(4, "little"))
    return path
