"""The public API: `import fwbuild` has all of these names. The verbs are thin callers of it.

Every function raises FwbuildError for what is wrong with its input: one line with what, where and
a hint, and the exit code of the same error on the command line.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

from unicorn import UC_ERR_NOMEM, UcError

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
from fwbuild.observed import observed
from fwbuild.payloads.test_kernel import build_test_kernel, with_test_kernel
from fwbuild.protocols import BY_NAME, Departure, Handoff, Protocol
from fwbuild.protocols.verdict import Verdict, verdict
from fwbuild.qemu import program
from fwbuild.qemu.boot import Boot, boot
from fwbuild.qemu.console import did_not_come
from fwbuild.qemu.record import record
from fwbuild.shortage import HINT, MACHINE


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
    def entered(self) -> bool:
        """Whether the kernel was entered."""
        return self.state.end == End.HANDOFF

    @property
    def protocol(self) -> Protocol:
        """The boot protocol of the kernel."""
        return BY_NAME[self.state.protocol]

    @property
    def handoff(self) -> Handoff | None:
        """The kernel's view at its entry: memory map, command line, modules. None after a run that
        did not get there, and where a pointer in it leads nowhere; judge() tells which."""
        try:
            return protocols.read(self.state) if self.entered else None
        except MemoryError:
            return None


def emulate(
    guest: Guest | None = None,
    image: Image | bytes | None = None,
    *,
    offer: Recording | None = None,
    dma: bool = True,
    seconds: float = inf,
) -> Emulation:
    """Run an image in an emulated CPU up to the kernel's entry.

    guest: by default Guest(); without a kernel it gets the test kernel.
    image: by default the image of the template `universal`.
    offer: the fw_cfg items and PCI functions of the guest's QEMU; by default a packaged
           recording, else one that is made now with the QEMU on this machine.
    dma:   whether fw_cfg has its DMA interface.
    seconds: of CPU time that the run may take; what takes more has not entered the kernel.
    """
    guest = guest or Guest()
    offer = offer or _offer(guest)
    kernel = None if guest.has_kernel else build_test_kernel()
    loaded = protocols.load(guest, offer, kernel)
    try:
        machine = Machine(_bytes(image), offer, loaded, dma=dma)
        outcome = machine.run(seconds=seconds)
    except UcError as error:
        if error.errno == UC_ERR_NOMEM:
            what = "too little memory for the emulated machine"
            raise FwbuildError(ExitCode.INPUT, what, where=MACHINE, hint=HINT) from None
        what, hint = f"no emulated machine has such a host: {error}", "--real has a real one"
        raise FwbuildError(ExitCode.INPUT, what, hint=hint) from None
    return Emulation(guest=guest, machine=machine, outcome=outcome, state=machine.state())


def _bytes(image: Image | bytes | None) -> bytes:
    image = build() if image is None else image
    return image if isinstance(image, bytes) else image.image


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
    _check_stop(emulation)
    return protocols.judge(emulation.state)


def _check_stop(emulation: Emulation) -> None:
    if stop := emulation.stop:
        what = f"the firmware stopped: {stop.what}"
        raise FwbuildError(ExitCode.STOPPED, what, hint=stop.hint)


def verify(
    guest: Guest | None = None, image: Image | bytes | None = None, *, real: bool = False
) -> Verdict:
    """Run an image up to the kernel's entry and judge the handoff, as the verb `verify` does.

    guest, image: as for emulate().
    real:  run it in QEMU. Any firmware image will do then, qboot and SeaBIOS too.

    Raises FwbuildError where the firmware stopped, and in QEMU where it never enters the kernel.
    """
    if real:
        with observe(guest, image) as state:
            return verdict(state)
    emulation = emulate(guest, image)
    _check_stop(emulation)
    return verdict(emulation.state)


@contextmanager
def observe(guest: Guest | None = None, image: Image | bytes | None = None) -> Iterator[State]:
    """Stop a real QEMU at the kernel's entry. The block gets the State there: its registers, and
    by `read(address, size)` its memory. QEMU ends with the block.

    guest, image: as for emulate(), but that any firmware image will do.

    Raises FwbuildError where QEMU fails, and where the firmware never enters the kernel.
    """
    with observed(guest or Guest(), _bytes(image)) as state:
        yield state


def run(
    guest: Guest | None = None,
    image: Image | bytes | None = None,
    *,
    until: str | None = None,
    timeout: float = 60,
) -> Boot:
    """Boot a guest in QEMU and keep what it prints.

    guest, image: as for emulate(), but that any firmware image will do.
    until:   a regular expression. QEMU is ended as soon as a line of the serial port has it.
    timeout: seconds after which QEMU is ended.

    Raises FwbuildError where QEMU fails, and where `until` did not come: with the exit code TIMEOUT
    if time ran out, else with that of the guest's end or UNEXPECTED. Without `until` any end of
    the guest is returned; `.ending.check()` raises FwbuildError for a bad one.
    """
    guest = guest or Guest()
    with tempfile.TemporaryDirectory(prefix="fwbuild-") as folder:
        bios = Path(folder) / "bios.bin"
        bios.write_bytes(_bytes(image))
        guest = with_test_kernel(guest, Path(folder))
        found = boot(guest, bios, until=until, seconds=timeout)
    if until and not found.match:
        raise did_not_come(until, found.serial, found.ending)
    return found


def inspect(path: str | Path) -> Report:
    """Tell what a kernel or firmware image is, how QEMU and the firmware take it, and what
    keeps it from booting, if anything does."""
    path = Path(path)
    return inspect_bytes(read_file(path), path)


__all__ = [
    "Boot",
    "Emulation",
    "ExitCode",
    "FwbuildError",
    "Guest",
    "Image",
    "Report",
    "State",
    "Template",
    "Verdict",
    "build",
    "emulate",
    "inspect",
    "judge",
    "observe",
    "run",
    "verify",
    "write",
]
