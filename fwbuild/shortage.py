"""What the machine refuses, which is no bug of fwbuild's: memory, open files, threads, a file."""

import mmap
import os

from fwbuild.errors import ExitCode, FwbuildError

MEMORY = "too little memory"
FILES = "too many open files"
THREADS = "can't start new thread"  # Python's words; they need memory and a process's number
MACHINE = "this machine"  # where it is
HINT = "`ulimit -a` shows the limits; `free` the memory"
HOST = "is there room, memory, and the right to it? TMPDIR is where scratch files go"
LIBRARY = 64 << 20  # bytes, more than any library of fwbuild's takes


def shortage(error: BaseException) -> str:
    """What there was too little of as an exception was raised, "" for none of it.

    A MemoryError with words is one of the guest's memory. An ImportError does not always say why a
    library cannot be loaded, so the machine is asked."""
    if isinstance(error, MemoryError) and not error.args:
        return MEMORY
    if isinstance(error, RuntimeError) and THREADS in str(error):
        return "no thread can be started"
    if isinstance(error, ImportError):
        return _lacking()
    return ""


def system_error(error: OSError) -> FwbuildError:
    """The line of what the system refuses, as for a scratch file."""
    what, where = error.strerror or str(error), str(error.filename or MACHINE)
    return FwbuildError(ExitCode.INPUT, what, where=where, hint=HOST)


def _lacking() -> str:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return FILES
    return "" if has_memory(LIBRARY) else MEMORY


def has_memory(size: int, protection: int = mmap.PROT_READ | mmap.PROT_WRITE) -> bool:
    """Whether so many bytes of address space can be had; they are given back."""
    try:
        mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, protection).close()
    except (OSError, MemoryError):
        return False
    return True
