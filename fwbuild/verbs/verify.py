"""Run an image up to the kernel's entry, emulated or in QEMU, and judge what it hands over."""

import argparse
import json
import tempfile
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

from fwbuild.abi import pci
from fwbuild.api import Emulation, emulate
from fwbuild.bake.read import check_pieces
from fwbuild.emulator import recording
from fwbuild.emulator.recording import Recording
from fwbuild.emulator.state import End
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.guest import Guest
from fwbuild.observed import observed
from fwbuild.protocols.verdict import Verdict, verdict
from fwbuild.qemu.record import record
from fwbuild.verbs.guest_options import (
    add_baked_argument,
    add_guest_arguments,
    add_image_arguments,
    add_qemu_argument,
    image_from,
)
from fwbuild.verbs.paths import file_name
from fwbuild.verbs.printing import Working, output
from fwbuild.verbs.run_kernel import chosen_guest
from fwbuild.verbs.verify_view import show, show_departures

HELP = "run up to the kernel's entry and judge the handoff"
# CPU time for a run: a host that is made up may take more, or copies without DMA, byte by byte.
SECONDS = 12
# Without these ports nothing answers the firmware's look for a host bridge.
PROBE = (pci.CONFIG_ADDRESS, pci.CONFIG_DATA)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_image_arguments(parser)
    add_baked_argument(parser)
    add_guest_arguments(parser)
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--recording",
        type=file_name,
        metavar="FILE",
        help="what QEMU offers, as fwbuild record saved it; default: the packaged one",
    )
    source.add_argument(
        "--release",
        choices=recording.packaged_series(),
        help="the packaged recording of this QEMU: %(choices)s; default: the newest",
    )
    add_qemu_argument(parser, "record this QEMU now; default: a packaged recording, else by")
    source.add_argument(
        "--real",
        action="store_true",
        help="run a real QEMU and stop it at the entry; any firmware image will do",
    )
    parser.add_argument(
        "--no-dma", action="store_true", help="leave the DMA interface out of fw_cfg"
    )
    parser.add_argument("--json", action="store_true", help="print JSON (keys: docs/json.md)")


def run(args: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="fwbuild-") as folder:
        guest, _ = chosen_guest(args, Path(folder), pvh=False)
        if guest.baked:
            check_pieces(guest.baked)
        return _real(guest, args) if args.real else _emulated(guest, args)


def _real(guest: Guest, args: argparse.Namespace) -> int:
    """Judge a real QEMU that has stopped at the entry."""
    if args.no_dma:
        raise FwbuildError(
            ExitCode.USAGE,
            "--no-dma is for the emulator",
            hint="without --real, or add -global fw_cfg.dma_enabled=off as an option of QEMU",
        )
    image = image_from(args)
    with Working("booting to the kernel's entry in QEMU"), observed(guest, image) as state:
        found = verdict(state)
        qemu = state.host.qemu
    if args.json:
        print(json.dumps({"qemu": qemu, "end": state.end, **found.plain()}, indent=1))
    else:
        console = output(markup=True)
        show(console, found)
        console.print(f"in QEMU {qemu}")
        show_departures(console, found)
    return int(ExitCode.JUDGEMENT if found.departures else ExitCode.OK)


def _emulated(guest: Guest, args: argparse.Namespace) -> int:
    image, offer = image_from(args), _offer(guest, args)
    seconds = inf if args.no_dma else SECONDS
    with Working("running to the kernel's entry in the emulator"):
        emulation = emulate(guest, image, offer=offer, dma=not args.no_dma, seconds=seconds)
        found = verdict(emulation.state)
    if args.json:
        print(json.dumps(_plain(emulation, found), indent=1))
    else:
        _show(emulation, found)
    if emulation.state.end == End.EXIT:
        return int(ExitCode.STOPPED)
    if found.departures:
        return int(ExitCode.JUDGEMENT)
    if not (guest.has_kernel or args.json):
        print(emulation.machine.run_kernel().console, end="")
    return int(ExitCode.OK)


def _offer(guest: Guest, args: argparse.Namespace) -> Recording | None:
    """QEMU's offer that the options name; None where they leave the choice."""
    if args.qemu and (args.recording or args.release):
        raise FwbuildError(
            ExitCode.USAGE,
            "--qemu and a recording are two sources of one thing",
            hint="leave out --qemu, or both --recording and --release",
        )
    if args.recording:
        return recording.load(args.recording)
    if args.qemu:
        return record(replace(guest, kernel=None, initrd=None))
    return recording.find(guest, args.release) if args.release else None


def _plain(emulation: Emulation, found: Verdict) -> dict[str, Any]:
    outcome, stop = emulation.outcome, emulation.stop
    return {
        "qemu": emulation.machine.recording.qemu,
        "end": outcome.kind,
        "exit_value": outcome.exit_value,
        "device_accesses": len(outcome.accesses),
        "instructions": outcome.instructions,
        **found.plain(),
        "console": outcome.console,
        "stop": {"code": stop.code, "what": stop.what, "hint": stop.hint} if stop else None,
    }


def _show(emulation: Emulation, found: Verdict) -> None:
    console, outcome = output(markup=True), emulation.outcome
    host = emulation.machine.recording
    if outcome.console:
        console.print(outcome.console, end="", markup=False)
    show(console, found)
    console.print(
        f"{len(outcome.accesses)} device accesses and {outcome.instructions} instructions "
        f"from reset, with what QEMU {host.qemu} offers"
    )
    for access in outcome.unclaimed:
        if not host.family.config_ports and access.port in PROBE:
            continue
        console.print(f"access to no device: {access.direction} {access.port:#x}")
    if stop := emulation.stop:
        console.print(f"The firmware stopped: {stop.what} (hint: {stop.hint})", markup=False)
    else:
        show_departures(console, found)
