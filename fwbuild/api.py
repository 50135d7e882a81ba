"""The public API: `import fwbuild` has all of these names. The verbs are thin callers of it.

Every function raises FwbuildError for what is wrong with its input: one line with what, where and
a hint, and the exit code of the same error on the command line.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fwbuild import protocols
from fwbuild.emulator import recording
from fwbuild.emulator.machine import Machine, Outcome
from fwbuild.emulator.recording import Recording
from fwbuild.emulator.state import End, State
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import read_file
from fwbuild.firmware import stop_codes
from fwbuild.firmware.stop_codes import Stop
from fwbuild.guest import Guest
from fwbuild.image import artefacts
from fwbuild.image.build import Image, build_image
from fwbuild.image.template import DEFAULT, Template
from fwbuild.inspection import Report
from fwbuild.inspection import inspect as inspect_bytes
from fwbuild.payloads.test_kernel import build_test_kernel
from fwbuild.protocols import BY_NAME, Departure, Handoff, Protocol
from fwbuild.qemu import program
from fwbuild.qemu.record import record


def build(template: str | Path | Template = DEFAULT, **options: object) -> Image:
    """Build an image.

    `template` is the name of a packaged template, the path of a TOML file, or a Template.
    `options` replace its values, and then its budget does not hold: docs/templates.md lists the
    keys and their types. Nothing is written; `write` does that.
    """
    return build_image(template, **options)


def write(image: Image, path: str | Path) -> dict[str, Any]:
    """Write an image, and beside it its map, listing, ELF with symbols and JSON: all of them or
    none. Returns the content of that JSON; docs/json.md has its keys."""
    return artefacts.write(image, Path(path))


@dataclass(frozen=True, kw_only=True)
class Emulation:
    """A finished run from reset to the kernel's entry, or to where the firmware stopped.

    guest:   the guest that was emulated.
    machine: its machine; machine.run_kernel() goes on from the kernel's entry.
    outcome: how the run ended: registers, device accesses, instructions, both consoles.
    state:   the same as the judge looks at it, with memory and tables.
    """

    guest: Guest
    machine: Machine
    outcome: Outcome
    state: State

    @property
    def stop(self) -> Stop | None:
        """The firmware's reason not to enter the kernel; None if it had none."""
        if self.state.end != End.EXIT:
            return None
        return stop_codes.BY_CODE.get(self.outcome.exit_value or 0)

    @property
    def protocol(self) -> Protocol:
        """The boot protocol of the kernel."""
        return BY_NAME[self.state.protocol]

    @property
    def handoff(self) -> Handoff | None:
        """The kernel's view at its entry: memory map, command line, modules. None after a run that
        did not get there, and where a pointer in it leads nowhere; judge() tells which."""
        try:
            return protocols.read(self.state) if self.state.end == End.HANDOFF else None
        except MemoryError:
            return None


def emulate(
    guest: Guest | None = None,
    image: Image | bytes | None = None,
    *,
    offer: Recording | None = None,
    dma: bool = True,
) -> Emulation:
    """Run an image in an emulated CPU up to the kernel's entry.

    guest: by default Guest(); without a kernel it gets the test kernel.
    image: by default the image of the template `universal`.
    offer: the fw_cfg items and PCI functions of the guest's QEMU; by default a packaged
           recording, else one that is made now with the QEMU on this machine.
    dma:   whether fw_cfg has its DMA interface.
    """
    guest = guest or Guest()
    image = build() if image is None else image
    offer = offer or _offer(guest)
    kernel = None if guest.kernel else build_test_kernel()
    loaded = protocols.load(guest, offer, kernel)
    machine = Machine(image if isinstance(image, bytes) else image.image, offer, loaded, dma=dma)
    outcome = machine.run()
    return Emulation(guest=guest, machine=machine, outcome=outcome, state=machine.state())


def _offer(guest: Guest) -> Recording:
    """A packaged recording of the guest, or one of the QEMU on this machine."""
    try:
        return recording.find(guest)
    except FwbuildError:
        if not program.find():
            raise
        return record(replace(guest, kernel=None, initrd=None))


def judge(emulation: Emulation) -> list[Departure]:
    """Each departure of the handoff from the kernel's boot protocol and from what the host
    offers, in words, each with its `source`; empty for none. Raises FwbuildError where the firmware
    stopped: there is no handoff then."""
    if stop := emulation.stop:
        what = f"the firmware stopped: {stop.what}"
        raise FwbuildError(ExitCode.STOPPED, what, hint=stop.hint)
    return protocols.judge(emulation.state)


def inspect(path: str | Path) -> Report:
    """Tell what a kernel or firmware image is, how QEMU and the firmware take it, and what
    keeps it from booting, if anything does."""
    path = Path(path)
    return inspect_bytes(read_file(path), path)


__all__ = [
    "Emulation",
    "ExitCode",
    "FwbuildError",
    "Guest",
    "Image",
    "Report",
    "Template",
    "build",
    "emulate",
    "inspect",
    "judge",
    "write",
]
