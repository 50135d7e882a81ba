"""List the firmware's stop codes and fwbuild's exit codes."""

import argparse
import json
from dataclasses import asdict

from fwbuild.abi import ports
from fwbuild.errors import ExitCode
from fwbuild.firmware import stop_codes

HELP = "list stop codes and exit codes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON (keys: docs/json.md)")


def run(args: argparse.Namespace) -> int:
    stops = [
        asdict(stop) | {"status": ports.debug_exit_status(stop.code)} for stop in stop_codes.STOPS
    ]
    exits = [{"code": int(c), "name": c.name, "meaning": c.meaning} for c in ExitCode]
    if args.json:
        print(json.dumps({"stops": stops, "exits": exits}, indent=1))
        return int(ExitCode.OK)
    print("Stop codes of the firmware (hexadecimal), and QEMU's status with isa-debug-exit")
    for stop in stops:
        print(f"  {stop['code']:02x}  {stop['status']:3}  {stop['what']} ({stop['detail']})")
        print(f"           {stop['hint']}")
    print("Exit codes of fwbuild")
    for code in exits:
        print(f"  {code['code']:3}  {code['name']:11} {code['meaning']}")
    return int(ExitCode.OK)
