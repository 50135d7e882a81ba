"""Which module imports which: no circles, and packages stand on floors."""

import ast
import re
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import fwbuild

ROOT = Path(fwbuild.__file__).parent


def modules() -> dict[str, Path]:
    """Every module of the package by its name."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(p for p in parts if p != "__init__")] = path
    return found


MODULES = modules()


def imports(name: str) -> set[str]:
    """The package's modules that one imports at its top, for types alone included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {module for module in inner if module in MODULES}
            # `from package import module` needs no more of the package than that it is there
            if not inner <= MODULES.keys():
                found.add(node.module)
    return found & MODULES.keys() - {name}


GRAPH = {name: imports(name) for name in MODULES}


def test_no_circle() -> None:
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


ROOF = {"", "cli", "process", "pytest_plugin", "share", "start", "verbs", "__main__"}

# Each package, and those below it that it stands on. Those of ROOF may use any.
FLOORS = {
    "errors": (),
    "sizes": (),
    "version": (),
    "ending_signals": (),
    "interrupt": ("ending_signals",),
    "inputs": ("errors",),
    "shortage": ("errors",),
    "files": ("errors", "inputs", "interrupt"),
    "json_text": (),
    "documents": ("files",),
    "assembler": ("errors",),
    "abi": (),
    "machines": ("abi", "errors"),
    "guest": ("files", "machines", "sizes"),
    "kernel": ("abi", "errors", "files", "firmware", "sizes"),
    "firmware": ("abi", "assembler", "machines", "sizes", "version"),
    "image": ("abi", "assembler", "documents", "errors", "files", "firmware", "sizes", "version"),
    "inspection": (
        "abi", "errors", "files", "firmware", "image", "json_text", "kernel", "protocols"),
    "explain": ("abi", "assembler", "errors", "firmware", "image"),
    "emulator": (
        "abi", "errors", "files", "firmware", "guest", "image", "json_text", "kernel", "machines",
        "shortage", "sizes"),
    "protocols": (
        "abi", "emulator", "errors", "files", "firmware", "guest", "image", "kernel", "sizes"),
    "payloads": ("abi", "assembler", "firmware", "guest", "image", "sizes"),
    "qemu": (
        "abi", "emulator", "errors", "files", "firmware", "guest", "interrupt", "machines",
        "sizes"),
    "observed": (
        "emulator", "firmware", "guest", "image", "payloads", "protocols", "qemu"),
    "api": (
        "emulator", "errors", "files", "firmware", "guest", "image", "inspection", "observed",
        "payloads", "protocols", "qemu", "shortage"),
    "gdb": ("abi", "errors", "qemu"),
    "docs": ("abi", "api", "assembler", "documents", "errors", "firmware", "image", "qemu"),
    "bake": (
        "abi", "documents", "errors", "files", "firmware", "guest", "image", "json_text", "kernel",
        "protocols", "qemu", "sizes", "version"),
    "bench": (
        "abi", "bake", "docs", "documents", "emulator", "errors", "files", "firmware",
        "guest", "image", "kernel", "machines", "protocols", "qemu", "sizes"),
}  # fmt: skip


def package(name: str) -> str:
    """The package or top module that a module belongs to."""
    return name.split(".")[1] if "." in name else ""


@pytest.mark.parametrize("floor", FLOORS)
def test_a_package_uses_what_is_below_it(floor: str) -> None:
    used = {package(i) for name in MODULES if package(name) == floor for i in GRAPH[name]}
    assert used - {floor, ""} == set(FLOORS[floor])


def test_every_package_has_a_floor() -> None:
    top = {package(name) for name in MODULES} - ROOF
    assert top == FLOORS.keys()


def drawn() -> list[set[str]]:
    """The rows of the drawing in docs/architecture.md, from the top; one that has no line above
    it goes with the row before."""
    text = (ROOT.parent / "docs/architecture.md").read_text(encoding="utf-8")
    lines = text.partition("## The floors")[2].partition("## ")[0].splitlines()
    rows: list[set[str]] = [set()]
    for line in lines:
        if line.strip() == "│":
            rows.append(set())
        elif line.startswith("    "):
            rows[-1] |= set(re.findall(r"[a-z_]+", line.partition("──")[0]))
    return rows


def test_the_drawing_has_the_floors() -> None:
    rows = drawn()
    packages = {path.name for path in ROOT.iterdir() if path.is_dir()}
    assert set().union(*rows) >= packages - {"__pycache__", "data"}
    for floor, row in enumerate(rows):
        below = set().union(*rows[floor + 1 :], SMALL)
        for name in row & FLOORS.keys():
            assert set(FLOORS[name]) <= below, f"{name} is drawn beside or below what it uses"


SMALL = {
    "errors",
    "ending_signals",
    "interrupt",
    "inputs",
    "shortage",
    "files",
    "json_text",
    "sizes",
    "documents",
    "version",
    "guest",
}  # which are not drawn


def test_a_test_module_imports_no_test_module() -> None:
    """What two of them use is in tests/support."""
    tests = ROOT.parent / "tests"
    imported = {}
    for path in tests.rglob("*.py"):
        found = re.findall(r"(?m)^ *(?:from|import) +(tests\.(?:unit|qemu)\b.*)", path.read_text())
        if found:
            imported[str(path.relative_to(tests))] = found
    assert imported == {}


# The packages whose modules have another name.
PACKAGES = {
    "keystone": "keystone-engine",
    "elftools": "pyelftools",
    "vmlinux_to_elf": "vmlinux-to-elf",
}


def test_what_is_imported_is_installed() -> None:
    """Each package that a module of ours needs is one that installing fwbuild brings, or an extra
    of its own; the developers' packages are not there for a user, nor what the wheel leaves out."""
    settings = tomllib.loads((ROOT.parent / "pyproject.toml").read_text(encoding="utf-8"))
    project, wheel = settings["project"], settings["tool"]["hatch"]["build"]["targets"]["wheel"]
    left_out = [ROOT.parent / name for name in wheel["exclude"]]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["bench"], *extras["pytest"]]
    installed = {re.match(r"[\w-]+", text)[0] for text in wanted}  # type: ignore[index]
    needed = {
        PACKAGES.get(name, name): path.relative_to(ROOT)
        for path in MODULES.values()
        if path not in left_out
        for name in others(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert {name: str(path) for name, path in needed.items() if name not in installed} == {}


def others(tree: ast.Module) -> set[str]:
    """The packages of other projects that a module imports, be it in a function."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"fwbuild", "_typeshed"}
