"""Renders the documents that are made from the code: `python -m fwbuild.image.docs`."""

from pathlib import Path

from fwbuild.abi import e820, offsets, ports, x86
from fwbuild.documents import render
from fwbuild.errors import ExitCode
from fwbuild.firmware import identity, layout, stop_codes, work

DOCS = Path(__file__).resolve().parents[2] / "docs"


def documents() -> dict[str, str]:
    """Each document's name and text."""
    base = layout.region("work").base
    record = [(name, identity.ADDRESS + at) for name, at in offsets(identity.RECORD).items()]
    fields = [(name, base + at) for name, at in offsets(work.WORK).items()]
    return {
        "memory-map.md": render(
            "memory-map.md.j2",
            ram=layout.RAM,
            bios=layout.BIOS,
            ram_end=layout.RAM_END,
            rom=layout.ROM,
            reset_vector=x86.RESET_VECTOR,
            e820=e820,
            work=fields,
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
