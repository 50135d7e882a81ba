"""A machine whose fw_cfg files are the test's own."""

from dataclasses import replace

from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator.fw_cfg import directory
from fwbuild.emulator.machine import Machine
from fwbuild.emulator.recording import File


def put_files(machine: Machine, files: dict[str, bytes]) -> None:
    """Let fw_cfg hold these files, in the place of those of the same name."""
    kept = [f for f in machine.recording.files if f.name not in files]
    first = 1 + max(f.select for f in machine.recording.files)
    more = [File(n, first + i, len(d), d) for i, (n, d) in enumerate(files.items())]
    machine.fw_cfg.items[Key.FILE_DIR] = directory(kept + more)
    machine.fw_cfg.items |= {f.select: f.data for f in more}


def put_sizes(machine: Machine, sizes: dict[str, int]) -> None:
    """Let the directory claim other sizes."""
    files = [replace(f, size=sizes.get(f.name, f.size)) for f in machine.recording.files]
    machine.fw_cfg.items[Key.FILE_DIR] = directory(files)
