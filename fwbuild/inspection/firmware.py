"""Reports on firmware images: fwbuild's own, others, and option ROMs."""

import hashlib
import os.path
from pathlib import Path
from typing import Any

from fwbuild.errors import FwbuildError
from fwbuild.files import read_beside
from fwbuild.firmware.layout import IMAGE_SIZE, ROM
from fwbuild.image.identity import read_identity
from fwbuild.json_text import is_number, parse
from fwbuild.protocols.report import Report

RESET_OFFSET = 16  # from the end
JUMPS = (0xE9, 0xEA, 0xEB)  # near, far, short
OPTION_ROM = b"\x55\xaa"
OPTION_ROM_UNIT = 512
SECTION_TEXTS, SECTION_KEYS = ("name", "kind"), ("name", "address", "size", "kind")
DESCRIPTION_MAX = 256 << 10  # bytes of the JSON beside an image; fwbuild's take some 50 KiB


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
    if beside != path and os.path.lexists(beside):
        try:
            text = read_beside(beside, DESCRIPTION_MAX)
            found.facts["sections"] = _sections(text, found.facts["sha256"])
        except (FwbuildError, ValueError) as error:
            why = error.what if isinstance(error, FwbuildError) else error
            found.notes.append(f"{beside} does not describe this image: {why}")
    return found


def _sections(text: bytes, sha256: str) -> list[dict[str, Any]]:
    """The sections in the JSON that the build wrote beside an image. Raises ValueError, which says
    why it tells none of this one."""
    plain = parse(text)
    if not isinstance(plain, dict) or not {"sha256", "rom"} <= plain.keys():
        raise ValueError("`fwbuild build` did not write it")
    if plain["sha256"] != sha256:
        raise ValueError("it is of another image")
    rows = plain["rom"]
    if not isinstance(rows, list) or not all(map(_is_section, rows)):
        raise ValueError("a section in it is none")
    return [{key: row[key] for key in SECTION_KEYS} for row in rows]


def _is_section(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and all(isinstance(row.get(key), str) for key in SECTION_TEXTS)
        and is_number(row.get("address"), ROM.base, ROM.end)
        and is_number(row.get("size"), 0, IMAGE_SIZE)
    )
