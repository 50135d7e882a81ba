"""Makes the packaged recordings of a release of QEMU: `make recordings`. The guests are those of
the other releases' recordings."""

from pathlib import Path

from fwbuild.emulator import recording
from fwbuild.emulator.recording import Recording
from fwbuild.files import write_all
from fwbuild.guest import Guest
from fwbuild.qemu.program import program
from fwbuild.qemu.record import record


def guest_of(kept: Recording) -> Guest:
    """The guest that a recording is of."""
    return Guest(kept.machine, kept.memory, kept.smp, accel=kept.accel, extra=kept.extra)


def main() -> None:
    """Write them all, with the QEMU that fwbuild uses."""
    folder = recording.PACKAGED / recording.series(program().version)
    names: dict[str, Path] = {path.name: path for path in recording.packaged()}
    for name, path in sorted(names.items()):
        made = record(guest_of(recording.load(path)))
        write_all({folder / name: made.to_json().encode()})
        print(f"{folder.name}/{name}: {len(made.files)} files, {len(made.pci)} PCI functions")


if __name__ == "__main__":
    main()
