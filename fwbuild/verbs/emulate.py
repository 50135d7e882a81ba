"""Run the image in an emulated CPU up to the kernel's entry, and judge what it hands over."""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from fwbuild.abi import e820, pci
from fwbuild.api import Emulation, emulate, judge
from fwbuild.emulator import recording
from fwbuild.emulator.machine import Outcome
from fwbuild.emulator.recording import Recording
from fwbuild.emulator.state import End
from fwbuild.errors import ExitCode
from fwbuild.guest import Guest
from fwbuild.protocols import Handoff
from fwbuild.qemu.record import record
from fwbuild.verbs.guest_options import (
    add_guest_arguments,
    add_image_arguments,
    add_qemu_argument,
    guest_from,
    image_from,
)

HELP = "emulate the handoff and judge it"
# Without these ports nothing answers the firmware's look for a host bridge.
PROBE = (pci.CONFIG_ADDRESS, pci.CONFIG_DATA)
SHOWN = "eax ebx ecx edx esi edi ebp esp eip eflags cr0 cr4 cs ds es ss".split()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_image_arguments(parser)
    add_guest_arguments(parser)
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--recording",
        type=Path,
        metavar="FILE",
        help="what QEMU offers, as fwbuild record saved it; default: the packaged one",
    )
    source.add_argument(
        "--release",
        choices=recording.packaged_series(),
        help="the packaged recording of this QEMU: %(choices)s; default: the newest",
    )
    add_qemu_argument(source, "record this QEMU now; default: a packaged recording, else by")
    parser.add_argument(
        "--no-dma", action="store_true", help="leave the DMA interface out of fw_cfg"
    )
    parser.add_argument("--json", action="store_true", help="print JSON (keys: docs/json.md)")


def run(args: argparse.Namespace) -> int:
    guest = guest_from(args)
    emulation = emulate(guest, image_from(args), offer=_offer(guest, args), dma=not args.no_dma)
    problems = [] if emulation.stop else judge(emulation)
    if args.json:
        print(json.dumps(_plain(emulation, problems), indent=1))
    else:
        _show(emulation)
        _verdict(emulation, problems)
    if emulation.state.end == End.EXIT:
        return int(ExitCode.STOPPED)
    if problems:
        return int(ExitCode.JUDGEMENT)
    if not (guest.kernel or args.json):
        print(emulation.machine.run_kernel().console, end="")
    return int(ExitCode.OK)


def _offer(guest: Guest, args: argparse.Namespace) -> Recording | None:
    """QEMU's offer that the options name; None where they leave the choice."""
    if args.recording:
        return recording.load(args.recording)
    if args.qemu:
        return record(replace(guest, kernel=None, initrd=None))
    return recording.find(guest, args.release) if args.release else None


def _plain(emulation: Emulation, problems: list[str]) -> dict[str, Any]:
    outcome, handoff, stop = emulation.outcome, emulation.handoff, emulation.stop
    return {
        "qemu": emulation.machine.recording.qemu,
        "end": outcome.kind,
        "exit_value": outcome.exit_value,
        "device_accesses": len(outcome.accesses),
        "instructions": outcome.instructions,
        "registers": outcome.registers,
        "handoff": handoff.plain() if handoff else None,
        "console": outcome.console,
        "problems": problems,
        "stop": {"code": stop.code, "what": stop.what, "hint": stop.hint} if stop else None,
    }


def _show(emulation: Emulation) -> None:
    console, outcome = Console(highlight=False), emulation.outcome
    found = emulation.machine.recording
    if outcome.console:
        console.print(outcome.console, end="", markup=False)
    if handoff := emulation.handoff:
        _registers(console, outcome)
        _memmap(console, handoff)
    console.print(
        f"{len(outcome.accesses)} device accesses and {outcome.instructions} instructions "
        f"from reset, with what QEMU {found.qemu} offers"
    )
    for access in outcome.unclaimed:
        if not found.family.config_ports and access.port in PROBE:
            continue
        console.print(f"access to no device: {access.direction} {access.port:#x}")


def _verdict(emulation: Emulation, problems: list[str]) -> None:
    """Print the last lines: the stop, or how the handoff compares with the protocol."""
    console = Console(highlight=False, soft_wrap=True)
    protocol = emulation.protocol.title
    if stop := emulation.stop:
        console.print(f"The firmware stopped: {stop.what} (hint: {stop.hint})", markup=False)
        return
    for problem in problems:
        console.print(f"[red]departs from the {protocol}:[/red] {problem}")
    if not problems:
        console.print(f"The handoff is as the {protocol} asks.")


def _registers(console: Console, outcome: Outcome) -> None:
    table = Table(title="At the kernel's entry", show_header=False, title_justify="left")
    names = [*SHOWN, "tr"]
    values = outcome.registers | {"tr": outcome.tr}
    for i in range(0, len(names), 4):
        row = names[i : i + 4]
        table.add_row(*(f"{name.upper():6} {values[name]:08x}" for name in row))
    console.print(table)


def _memmap(console: Console, handoff: Handoff) -> None:
    for label, text in handoff.summary():
        console.print(f"{label:14} {text}", markup=False)
    table = Table(title="Memory map", title_justify="left")
    for heading in ("from", "to", "type"):
        table.add_column(heading, justify="right")
    for entry in handoff.memmap:
        known = entry.type in set(e820.Type)
        kind = e820.Type(entry.type).name if known else str(entry.type)
        table.add_row(f"{entry.addr:#x}", f"{entry.addr + entry.size - 1:#x}", kind)
    console.print(table)
