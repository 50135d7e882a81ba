"""A guest that `fwbuild bake` has laid out in a RAM file: a PVH kernel, entered as any other.

Source: docs/decisions/13-a-guest-in-a-ram-file.md.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from construct import ConstructError

from fwbuild.abi.e820 import EXTENDED
from fwbuild.emulator.loaded import Loaded
from fwbuild.emulator.state import State
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import IRREGULAR, UNREADABLE, why_no_file
from fwbuild.firmware import file_names, layout, preloaded
from fwbuild.firmware.options import BootProtocol
from fwbuild.guest import RAM_FILE, Guest
from fwbuild.kernel.placed import placed
from fwbuild.protocols.pvh import Pvh, PvhHandoff

RECORD = layout.region("record").base
CMDLINE = layout.region("cmdline").base
AGAIN = "bake the guest again"
SHARED = "it was used with share=on, and holds a guest that has run; bake it again"


class Preloaded(Pvh):
    name = BootProtocol.PRELOADED
    title = "PVH ABI, from a RAM file"
    reloaded = False

    def contents(self, state: State, handoff: PvhHandoff) -> Iterator[str]:
        """Departures from what the RAM file held, and from the host's addition."""
        laid = {p.address: bytes(p.content) for p in state.laid}
        record = preloaded.RECORD.parse(laid[RECORD])
        text, more = laid[CMDLINE], state.file(file_names.APPEND)
        wanted = b" ".join(part for part in (text, more) if part)
        if handoff.cmdline != wanted:
            yield f"the command line is {handoff.cmdline!r}, not {wanted!r}"
        modules = [(m.paddr, m.size) for m in record.modules[: record.nr_modules]]
        if [(m.paddr, m.size) for m in handoff.modules] != modules:
            yield "the modules are not those of the RAM file"
        for piece in [*state.segments, *(p for p in state.laid if p.address >= EXTENDED)]:
            if not piece.is_at(state.read):
                yield f"what the RAM file has at {piece.address:#x} is damaged"
        now = preloaded.RECORD.parse(state.read(RECORD, preloaded.RECORD.sizeof()))
        if now.magic != preloaded.SPENT:
            yield "the record is not marked as spent: a reset would start the used kernel again"


PRELOADED = Preloaded()


def load_baked(guest: Guest) -> Loaded:
    """The pieces of a baked guest, as its RAM file has them. Raises FwbuildError for a file that is
    none, that a guest has used, or whose record lies."""
    assert guest.baked
    path = guest.baked / RAM_FILE
    record = read_record(path, guest.memory)
    pieces = [(record.kernel_start, record.kernel_size)]
    pieces += [(m.paddr, m.size) for m in record.modules[: record.nr_modules]]
    if any(start + length > guest.memory for start, length in pieces):
        what = "its record names what lies outside the guest's memory"
        raise FwbuildError(ExitCode.INPUT, what, where=str(path), hint=AGAIN)
    cmdline = min(record.cmdline_size, layout.CMDLINE_MAX)
    pieces += [(RECORD, preloaded.RECORD.sizeof()), (CMDLINE, cmdline)]
    with opened(path) as file:
        kernel, *laid = [placed(at, _at(file, at, length)) for at, length in pieces]
    files = {file_names.APPEND: os.fsencode(guest.append)} if guest.append else {}
    return Loaded(
        BootProtocol.PRELOADED, record.kernel_entry, files=files, mapped=[kernel], laid=laid
    )


def read_record(path: Path, memory: int) -> Any:
    """The record in the RAM file of a guest with so many bytes of memory. Raises FwbuildError for
    a file that no guest may use. QEMU would make one that is missing, fill up an empty one, and
    take one that is too long."""
    where = str(path)
    with opened(path) as file:
        size = file.seek(0, os.SEEK_END)
        try:
            record = preloaded.RECORD.parse(_at(file, RECORD, preloaded.RECORD.sizeof()))
        except ConstructError:
            record = None
    if record is not None and record.magic == preloaded.SPENT:
        raise FwbuildError(ExitCode.INPUT, "the guest in it was started", where=where, hint=SHARED)
    if record is None or record.magic != preloaded.MAGIC:
        raise FwbuildError(ExitCode.INPUT, "no baked guest in it", where=where, hint=AGAIN)
    if size != memory:
        what = f"it has {size} bytes, and the guest's memory {memory}"
        raise FwbuildError(ExitCode.INPUT, what, where=where, hint=AGAIN)
    return record


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A RAM file to read from. Raises FwbuildError where it cannot be opened, and where the block
    cannot read it."""
    try:
        if why_no_file(path) == IRREGULAR:  # a pipe would be waited for
            raise OSError(errno.EINVAL, IRREGULAR)
        with path.open("rb") as file:
            yield file
    except OSError as error:
        what = f"{UNREADABLE}: {error.strerror}"
        raise FwbuildError(ExitCode.INPUT, what, where=str(path), hint=AGAIN) from None


def _at(file: BinaryIO, address: int, size: int) -> bytes:
    file.seek(address)
    return file.read(size)
