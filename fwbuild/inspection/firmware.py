"""Reports on firmware images: fwbuild's own, others, and option ROMs."""

import hashlib
import json
from pathlib import Path
from typing import Any

from fwbuild.errors import FwbuildError
from fwbuild.files import is_file, read_file
from fwbuild.firmware.layout import IMAGE_SIZE, ROM
from fwbuild.image.identity import read_identity
from fwbuild.protocols.report import Report

RESET_OFFSET = 16  # from the end
JUMPS = (0xE9, 0xEA, 0xEB)  # near, far, short
OPTION_ROM = b"\x55\xaa"
OPTION_ROM_UNIT = 512
TEXT_MAX = 16 << 20  # bytes of the JSON beside an image
SECTION_KEYS = ("name", "address", "size", "kind")


def report(data: bytes, path: Path) -> Report | None:
    """The report on a firmware image, None for another file. What lies beside `path` tells
    more of an image of fwbuild's."""
    if len(data) % IMAGE_SIZE == 0 and data[-RESET_OFFSET] in JUMPS:
        return _own(data, path) or Report(
            "firmware", "firmware image, not built by fwbuild", qemu="takes it as -bios"
        )
    rom_size = OPTION_ROM_UNIT * int.from_bytes(data[2:3], "little")
    if data.startswith(OPTION_ROM) and 0 < rom_size <= len(data):
        return Report(
            "option-rom",
            "option ROM",
            {"rom_size": rom_size},
            qemu="takes it as -option-rom; its firmware has to run it",
        )
    return None


def _own(data: bytes, path: Path) -> Report | None:
    identity = read_identity(data)
    if not identity:
        return None
    found = Report(
        "image",
        f"firmware image of fwbuild {identity.version}, template {identity.template}",
        {
            "fwbuild": identity.version,
            "template": identity.template,
            "start": identity.start,
            "used": ROM.end - identity.start,
            "sha256": hashlib.sha256(data).hexdigest(),
        },
        "takes it as -bios",
    )
    beside = path.with_suffix(".json")
    if beside != path and is_file(beside):
        try:
            found.facts["sections"] = _sections(beside, found.facts["sha256"])
        except (FwbuildError, ValueError, KeyError, TypeError, RecursionError):
            found.notes.append(f"{beside} does not describe this image")
    return found


def _sections(path: Path, sha256: str) -> list[dict[str, Any]]:
    """The JSON that the build wrote beside an image. Raises an error if it is of another one."""
    plain = json.loads(read_file(path, TEXT_MAX))
    if plain["sha256"] != sha256:
        raise ValueError("another image")
    return [{key: section[key] for key in SECTION_KEYS} for section in plain["rom"]]
