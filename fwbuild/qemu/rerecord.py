"""Makes the packaged recordings anew, each from its own machine, memory, CPUs, accelerator and
arguments: `make recordings`."""

from fwbuild.emulator import recording
from fwbuild.emulator.recording import Recording
from fwbuild.files import write_all
from fwbuild.guest import Guest
from fwbuild.qemu.record import record


def guest_of(kept: Recording) -> Guest:
    """The guest that a recording is of."""
    return Guest(kept.machine, kept.memory, kept.smp, accel=kept.accel, extra=kept.extra)


def main() -> None:
    """Write them all."""
    for path in sorted(recording.PACKAGED.glob("*.json")):
        made = record(guest_of(recording.load(path)))
        write_all({path: made.to_json().encode()})
        print(f"{path.name}: {len(made.files)} files, {len(made.pci)} PCI functions")


if __name__ == "__main__":
    main()
