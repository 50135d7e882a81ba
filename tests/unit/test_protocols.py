"""A boot protocol is one thing: who may know one by name, and who tells them apart."""

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import fwbuild
from fwbuild.files import data_dir
from fwbuild.firmware.options import BootProtocol
from fwbuild.image import template
from fwbuild.payloads.test_kernel import (
    build_test_bzimage,
    build_test_bzimage16,
    build_test_kernel,
    build_test_multiboot,
)
from fwbuild.protocols import BY_NAME, LINUX, LINUX16, MULTIBOOT, PVH, Protocol, identify

ROOT = Path(fwbuild.__file__).parent


def with_multiboot_header(data: bytes, at: int) -> bytes:
    """The file with a Multiboot header at an offset."""
    header = b"".join(n.to_bytes(4, "little") for n in (0x1BADB002, 0, -0x1BADB002 % (1 << 32)))
    return data[:at] + header + data[at + len(header) :]


# file: how QEMU takes it, hw/i386/x86.c x86_load_linux and hw/i386/multiboot.c load_multiboot
FILES: dict[str, tuple[Callable[[], bytes], Protocol | None]] = {
    "bzImage": (build_test_bzimage, LINUX),
    "bzImage of 2.12": (lambda: build_test_bzimage(version=0x20C), LINUX),
    "bzImage of 2.11": (lambda: build_test_bzimage(version=0x20B), LINUX16),
    "old bzImage": (build_test_bzimage16, LINUX16),
    "bzImage and Multiboot": (lambda: with_multiboot_header(build_test_bzimage(), 0x1000), LINUX),
    "Multiboot": (build_test_multiboot, MULTIBOOT),
    "PVH and Multiboot": (lambda: with_multiboot_header(build_test_kernel(), 0x800), MULTIBOOT),
    "PVH": (build_test_kernel, PVH),
    "text": (lambda: b"hello", None),
    "nothing": (lambda: b"", None),
}


@pytest.mark.parametrize("name", FILES)
def test_files_are_told_apart_as_qemu_does(name: str) -> None:
    make, protocol = FILES[name]
    assert identify(make()) is protocol


@pytest.mark.parametrize("name", BootProtocol)
def test_a_protocol_is_complete(name: BootProtocol) -> None:
    """One object and one module in Python, its assembly, the way there, a template."""
    protocol = BY_NAME[name]
    assert type(protocol).__module__ == f"fwbuild.protocols.{name}"
    folder = data_dir("asm") / "protocols"
    assert f"{name}_enter:" in (folder / f"{name}.s").read_text()
    asked = re.compile(rf"\.if option\.protocols\.{name}$", re.MULTILINE)
    assert any(asked.search(path.read_text()) for path in folder.parent.rglob("*.s"))
    assert any(name in template.Template.load(t).words("protocols") for t in template.names())


# Who names a protocol in code outside of its own module, and what for.
KNOWN = {
    "abi/low_memory.py": "what real kernels of it overwrite",
    "bake/plan.py": "a bzImage is baked as the vmlinux inside",
    "bench/kernel.py": "a Multiboot kernel has no user program to measure",
    "emulator/machine.py": "PVH is expected of no kernel",
    "firmware/layout.py": "regions that are handed over",
    "firmware/preloaded.py": "by which protocol a baked kernel is entered",
    "firmware/options.py": "the words of templates",
    "image/template.py": "linux16 needs linux, and preloaded is alone",
    "observed.py": "another firmware may enter a bzImage by its setup code",
    "inspection/efi.py": "the kernel inside a unified kernel image",
    "payloads/test_kernel.py": "its test kernel",
    "protocols/__init__.py": "QEMU's order",
    "protocols/kernel_file.py": "the order of the firmware for a file that it loads",
    "verbs/run_kernel.py": "a bzImage is run as the vmlinux inside",
    "verbs/bake.py": "the template has to be of baked guests",
    "protocols/pvh.py": "a fact of its report",
    "protocols/report.py": "kinds of files",
}


def names_in(path: Path) -> set[BootProtocol]:
    """The protocols that a module's code names, by string, by enum or by object."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and node.value in set(BootProtocol):
            found.add(BootProtocol(node.value))
        elif isinstance(node, ast.Attribute) and node.attr in BootProtocol.__members__:
            found.add(BootProtocol[node.attr])
        elif isinstance(node, ast.Name) and node.id in BootProtocol.__members__:
            found.add(BootProtocol[node.id])
    return found


def test_who_knows_a_protocol_by_name() -> None:
    """docs/changing.md says which files a new protocol touches: no other file names one."""
    found = set()
    for path in ROOT.rglob("*.py"):
        if names_in(path) - {path.stem}:
            found.add(str(path.relative_to(ROOT)))
    assert found == KNOWN.keys()
