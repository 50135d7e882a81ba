"""Renders the documents that are made from the code: `python -m fwbuild.image.docs`."""

from pathlib import Path

from construct import Struct

from fwbuild.abi import e820, low_memory, offsets, ports, x86
from fwbuild.assembler.effects import Effects
from fwbuild.documents import render
from fwbuild.errors import ExitCode
from fwbuild.firmware import identity, layout, stop_codes, work
from fwbuild.image.build import all_symbols, build_image

DOCS = Path(__file__).resolve().parents[2] / "docs"
FULLEST = "all-cpus"  # the template that leaves nothing out


def _fields(region: str, struct: Struct) -> list[tuple[str, int]]:
    """The fields of a structure at the start of a region, and their addresses."""
    return [(name, layout.region(region).base + at) for name, at in offsets(struct).items()]


def _users() -> list[tuple[str, list[str], list[str]]]:
    """Each variable and region of RAM, in the order of addresses: its symbol, the routines that
    write it and those that read it."""
    image = build_image(FULLEST)
    known = all_symbols(image.template)
    users = Effects(image.linked).users()
    # a structure comes before its fields, a region after all variables
    order = sorted(users, key=lambda name: (name.startswith("region."), known.get(name, 0), name))
    return [(name, *users[name]) for name in order]


def documents() -> dict[str, str]:
    """Each document's name and text."""
    record = [(name, identity.ADDRESS + at) for name, at in offsets(identity.RECORD).items()]
    return {
        "memory-map.md": render(
            "memory-map.md.j2",
            ram=layout.RAM,
            bios=layout.BIOS,
            multiboot=(layout.MULTIBOOT_LOW, layout.MULTIBOOT_HIGH),
            spoils=low_memory.SPOILS,
            places=low_memory.PLACES,
            rom=layout.ROM,
            reset_vector=x86.RESET_VECTOR,
            e820=e820,
            pvh=_fields("pvh", work.PVH_AREA),
            work=_fields("work", work.WORK),
            users=_users(),
            identity=record,
        ),
        "errors.md": render(
            "errors.md.j2",
            stops=stop_codes.STOPS,
            status=ports.debug_exit_status,
            exits=list(ExitCode),
        ),
    }


if __name__ == "__main__":
    for name, text in documents().items():
        (DOCS / name).write_text(text, encoding="utf-8")
