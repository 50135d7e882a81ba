"""A machine whose fw_cfg files are the test's own."""

from dataclasses import replace

from fwbuild.abi import e820
from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator import recording
from fwbuild.emulator.fw_cfg import directory
from fwbuild.emulator.machine import Machine
from fwbuild.emulator.recording import Recording
from fwbuild.firmware import file_names
from fwbuild.guest import Guest


def with_cpus(found: Recording, cpus: int) -> Recording:
    """A recording whose host has so many CPUs."""
    keys = {**found.keys, int(Key.NB_CPUS): cpus.to_bytes(2, "little")}
    return replace(found, smp=cpus, keys=keys)


def bare(image: bytes, files: dict[str, bytes]) -> Machine:
    """A microvm without a kernel of QEMU's, and these files."""
    machine = Machine(image, recording.find(Guest("microvm")))
    put_files(machine, files)
    return machine


def put_files(machine: Machine, files: dict[str, bytes]) -> None:
    """Let the fw_cfg of a machine that is there hold these files."""
    found = machine.recording.with_files(files).files
    machine.fw_cfg.items[Key.FILE_DIR] = directory(found)
    machine.fw_cfg.items |= {f.select: f.data for f in found}


def put_sizes(machine: Machine, sizes: dict[str, int]) -> None:
    """Let the directory claim other sizes."""
    files = [replace(f, size=sizes.get(f.name, f.size)) for f in machine.recording.files]
    machine.fw_cfg.items[Key.FILE_DIR] = directory(files)


def claim(machine: Machine, memmap: list[tuple[int, int, int]]) -> None:
    """Let fw_cfg hold another etc/e820 than the machine's memory is."""
    data = b"".join(e820.ENTRY.build({"addr": a, "size": s, "type": t}) for a, s, t in memmap)
    put_files(machine, {file_names.E820: data})
