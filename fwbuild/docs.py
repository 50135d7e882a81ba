"""Renders the documents that are made from the code: `python -m fwbuild.docs`."""

import ast
import inspect
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from construct import Struct

from fwbuild import api
from fwbuild.abi import Field, e820, fields, low_memory, ports, x86
from fwbuild.assembler.effects import Effects
from fwbuild.documents import render
from fwbuild.errors import ExitCode
from fwbuild.firmware import identity, layout, stop_codes
from fwbuild.firmware.declared import declared
from fwbuild.firmware.options import OPTIONS, Value
from fwbuild.image import template
from fwbuild.image.build import all_symbols, build_image
from fwbuild.image.template import Template
from fwbuild.qemu.ending import How

DOCS = Path(__file__).resolve().parents[1] / "docs"
FULLEST = "all-cpus"  # the template that leaves nothing out


REAL = "## In a real QEMU"  # the part of python.md whose examples need one

# The structures of layout.STRUCTURES that memory-map.md describes, each with a title.
DESCRIBED = {
    "pvh_area": "A PVH kernel's `hvm_start_info` and what belongs to it",
    "work": "The firmware's variables",
    "plan": "PCI's variables",
    "bios_data": "The data of the BIOS calls",
    "multiboot_area": "A Multiboot kernel's information",
}


def _fields(struct: Struct, base: int) -> list[Field]:
    """The fields of a structure, with addresses instead of offsets."""
    return [replace(field, at=base + field.at) for field in fields(struct)]


def _structures() -> list[tuple[str, str, list[Field]]]:
    """Each of DESCRIBED: its title, the file that declares it, its fields."""
    return [
        (
            title,
            declared(f"ram.{name}").partition(":")[0],
            _fields(layout.STRUCTURES[name][1], layout.STRUCTURES[name][0]),
        )
        for name, title in DESCRIBED.items()
    ]


def shown(value: Value | None) -> str:
    """An option's value as a reader of a table expects it."""
    match value:
        case None:
            return "required"
        case bool():
            return "true" if value else "false"
        case tuple():
            return ", ".join(value)
    return str(value)


def _users() -> list[tuple[str, list[str], list[str]]]:
    """Each variable and region of RAM, in the order of addresses: its symbol, the routines that
    write it and those that read it."""
    image = build_image(FULLEST)
    known = all_symbols(image.template)
    users = Effects(image.linked).users()
    # a structure comes before its fields, a region after all variables
    order = sorted(users, key=lambda name: (name.startswith("region."), known.get(name, 0), name))
    return [(name, *users[name]) for name in order]


ROW = re.compile(r"(?m)^(\w+(?:, \w+)*): +(.*(?:\n {2,}.*)*)")  # of a docstring's list


def about(name: str) -> str:
    """A public name's signature, if it is a function of api, and its docstring as Markdown."""
    paragraphs = inspect.cleandoc(getattr(api, name).__doc__).split("\n\n")
    text = [ROW.sub(_item, p) if ROW.match(p) else p for p in paragraphs]
    return "\n\n".join(filter(None, (_signature(name), *text)))


def _item(row: re.Match[str]) -> str:
    """A row of a docstring's list as one of Markdown's."""
    names = ", ".join(f"`{name}`" for name in row[1].split(", "))
    return f"- {names}: {' '.join(row[2].split())}"


def _signature(name: str) -> str:
    for node in ast.parse(inspect.getsource(api)).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            gives = f" -> {ast.unparse(node.returns)}" if node.returns else ""
            return f"`{name}({ast.unparse(node.args)}){gives}`"
    return ""


def memory_map() -> str:
    """The text of memory-map.md."""
    return render(
        "memory-map.md.j2",
        ram=layout.RAM,
        bios=layout.BIOS,
        ebda=layout.EBDA,
        multiboot=(layout.MULTIBOOT_LOW, layout.MULTIBOOT_HIGH),
        spoils=low_memory.SPOILS,
        places=low_memory.PLACES,
        rom=layout.ROM,
        reset_vector=x86.RESET_VECTOR,
        e820=e820,
        structures=_structures(),
        users=_users(),
        identity=_fields(identity.RECORD, identity.ADDRESS),
    )


def errors() -> str:
    """The text of errors.md."""
    return render(
        "errors.md.j2",
        stops=stop_codes.STOPS,
        status=ports.debug_exit_status,
        exits=list(ExitCode),
        ends=list(How),
    )


def templates() -> str:
    """The text of templates.md."""
    return render(
        "templates.md.j2",
        options=OPTIONS,
        templates=[Template.load(name) for name in template.names()],
        shown=shown,
    )


def python() -> str:
    """The text of python.md."""
    return render("python.md.j2", about=about, REAL=REAL)


# Each document's name, and what writes its text.
DOCUMENTS: dict[str, Callable[[], str]] = {
    "memory-map.md": memory_map,
    "errors.md": errors,
    "templates.md": templates,
    "python.md": python,
}


if __name__ == "__main__":
    for name, text in DOCUMENTS.items():
        (DOCS / name).write_text(text(), encoding="utf-8")
