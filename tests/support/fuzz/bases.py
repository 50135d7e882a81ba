"""The honest hosts that lies start from: an image, a recording of a QEMU, a kernel.

A base is named TEMPLATE/RELEASE/RECORDING/KERNEL, as "universal/7.2/pc-512M/linux".
"""

import ctypes
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from fwbuild import protocols
from fwbuild.emulator import recording
from fwbuild.emulator.loaded import Loaded
from fwbuild.emulator.machine import Machine
from fwbuild.emulator.recording import Recording
from fwbuild.guest import Guest
from fwbuild.image.build import Image, build_image
from fwbuild.image.template import names
from fwbuild.payloads import test_kernel
from tests.support.fuzz.machine import LeanMachine
from tests.support.fuzz.native import EDGES

INITRD = bytes(range(256)) * 20
KERNELS: dict[str, Callable[[], bytes]] = {
    "pvh": test_kernel.build_test_kernel,
    "linux": test_kernel.build_test_bzimage,
    "linux16": test_kernel.build_test_bzimage16,
    "multiboot": test_kernel.build_test_multiboot,
    "file": test_kernel.build_test_kernel,
}
LARGEST = 4 << 30  # bytes of RAM: with more of it to take in there is nothing new


@cache
def image(template: str) -> Image:
    return build_image(template)


@cache
def edges(template: str) -> Any:
    """The edges that were taken in an image, by whichever machine."""
    return (ctypes.c_uint8 * EDGES)()


@cache
def _recording(release: str, name: str) -> Recording:
    return recording.load(recording.PACKAGED / release / f"{name}.json")


def _load(found: Recording, kernel: str) -> Loaded:
    guest = Guest(
        found.machine,
        found.memory,
        found.smp,
        initrd=_initrd(),
        append="a=b c",
        accel=found.accel,
        extra=found.extra,
        firmware_loads=kernel == "file",
    )
    loaded = protocols.load(guest, found, KERNELS[kernel]())
    assert loaded
    return loaded


@cache
def _initrd() -> Path:
    """A file for the loader to read."""
    path = Path(tempfile.mkdtemp()) / "initrd"
    path.write_bytes(INITRD)
    return path


@cache
def bases() -> list[str]:
    """All that there are."""
    found = []
    for template in names():
        kernels = [k for k in KERNELS if template != "linux" or k in ("pvh", "linux")]
        for path in recording.packaged():
            if _recording(path.parent.name, path.stem).memory <= LARGEST:
                where = f"{template}/{path.parent.name}/{path.stem}"
                found += [f"{where}/{kernel}" for kernel in kernels]
    return found


def _parts(base: str) -> tuple[Image, Recording, Loaded]:
    template, release, name, kernel = base.split("/")
    found = _recording(release, name)
    return image(template), found, _load(found, kernel)


def lean(base: str) -> LeanMachine:
    """A machine for many runs."""
    built, found, loaded = _parts(base)
    return LeanMachine(built.image, found, loaded, edges(base.split("/", maxsplit=1)[0]))


def stock(base: str) -> Machine:
    """The emulator as it is."""
    built, found, loaded = _parts(base)
    return Machine(built.image, found, loaded)
