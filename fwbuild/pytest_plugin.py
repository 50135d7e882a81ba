"""Pytest's plugin: fixtures for people who test their own firmware or kernel (docs/pytest.md).

Pytest loads it wherever fwbuild is installed, so nothing heavy is imported before a fixture is
used. fwbuild itself needs no pytest.
"""

from argparse import ArgumentTypeError, Namespace
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import fwbuild

if TYPE_CHECKING:
    from fwbuild.api import Boot, Emulation, Guest, State, Verdict

MARKER = "fw"
OPTIONS = {  # each with its metavariable and help
    "machine": ("TYPE", "QEMU's machine type; repeatable: each test runs with each"),
    "bios": ("FILE", "the firmware image that is tested; default: one that is built now"),
    "template": ("NAME", "the template of the image that is built; default: universal"),
    "kernel": ("FILE", "the kernel; default: a test kernel"),
    "initrd": ("FILE", "an initial RAM disk; default: none"),
    "append": ("CMDLINE", "the kernel's command line; default: empty"),
    "memory": ("SIZE", "RAM in MiB, or with a suffix K, M, G or T; default: 512M"),
    "qemu": ("PATH", "the QEMU to use; default: by FWBUILD_QEMU in the environment, or PATH"),
}
FILES = ("kernel", "initrd")  # fields of a Guest


def failure(reason: str) -> BaseException:
    """A test's failure that is a line, without a traceback."""
    return pytest.fail.Exception(reason, pytrace=False)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fwbuild", "firmware and kernels (fwbuild)")
    for name, (metavar, text) in OPTIONS.items():
        action = "append" if name == "machine" else "store"
        group.addoption(f"--fw-{name}", action=action, metavar=metavar, help=text)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", f"{MARKER}(**fields): fields of this test's fwbuild.Guest, as append='quiet'"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test runs once with each machine type that its marker or the command line names."""
    if "fw_machine_type" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker(MARKER)
        types = marker.kwargs.get("machine") if marker else None
        types = types or metafunc.config.getoption("fw_machine") or fwbuild.Guest().machine
        metafunc.parametrize("fw_machine_type", [types] if isinstance(types, str) else types)


@pytest.fixture(scope="session")
def fw_image(pytestconfig: pytest.Config) -> bytes:
    """The firmware image that is tested: --fw-bios, or one of --fw-template."""
    from fwbuild.image.template import DEFAULT  # noqa: PLC0415 (heavy)
    from fwbuild.verbs.guest_options import image_from  # noqa: PLC0415 (heavy)

    bios = pytestconfig.getoption("fw_bios")
    template = pytestconfig.getoption("fw_template") or DEFAULT
    try:
        return image_from(Namespace(bios=bios and Path(bios), template=template))
    except fwbuild.FwbuildError as error:
        raise failure(str(error)) from None


@pytest.fixture
def fw_guest(request: pytest.FixtureRequest, fw_machine_type: str) -> "Guest":
    """The guest, by the options --fw-... and the marker `fw`."""
    from fwbuild.verbs.guest_options import check_files, memory_size  # noqa: PLC0415 (heavy)

    given = {n: request.config.getoption(f"fw_{n}") for n in (*FILES, "append", "memory")}
    fields = {name: value for name, value in given.items() if value is not None}
    marker = request.node.get_closest_marker(MARKER)
    try:
        if "memory" in fields:
            fields["memory"] = memory_size(fields["memory"])
        fields |= marker.kwargs if marker else {}
        fields |= {name: Path(fields[name]) for name in FILES if name in fields}
        guest = fwbuild.Guest(**fields | {"machine": fw_machine_type})
        check_files(guest.kernel, guest.initrd)
    except (ArgumentTypeError, TypeError, fwbuild.FwbuildError) as error:
        raise failure(str(error)) from None
    return guest


@pytest.fixture
def _fw_program(pytestconfig: pytest.Config) -> Iterator[bool]:
    """Whether there is a QEMU: the one that --fw-qemu chooses for the test."""
    from fwbuild.qemu.program import chosen, find  # noqa: PLC0415

    with chosen(pytestconfig.getoption("fw_qemu")):
        yield find() is not None


@pytest.fixture
def fw_machine(fw_guest: "Guest", fw_image: bytes, _fw_program: bool) -> "Emulation":
    """An emulated machine at the kernel's entry. A test fails where it does not get there."""
    try:
        found = fwbuild.emulate(fw_guest, fw_image)
    except fwbuild.FwbuildError as error:
        raise failure(str(error)) from None
    if stop := found.stop:
        raise failure(f"the firmware stopped: {stop.what} (hint: {stop.hint})")
    if not found.entered:
        end = f"{found.state.end} {found.state.detail}".strip()
        raise failure(f"the kernel was not entered: {end}")
    return found


@dataclass(frozen=True)
class Qemu:
    """A guest and an image for a real QEMU, which starts anew at each call."""

    guest: "Guest"
    image: bytes

    def with_fields(self, **fields: object) -> "Qemu":
        """The same with other fields of the guest."""
        return Qemu(replace(self.guest, **fields), self.image)  # type: ignore[arg-type]

    def at_entry(self) -> "AbstractContextManager[State]":
        """QEMU stopped at the kernel's entry for a block: fwbuild.observe()."""
        return fwbuild.observe(self.guest, self.image)

    def verify(self) -> "Verdict":
        """The judge's verdict on the handoff: fwbuild.verify() with `real`."""
        return fwbuild.verify(self.guest, self.image, real=True)

    def run(self, until: str | None = None, timeout: float = 60) -> "Boot":
        """A boot, and what it printed: fwbuild.run()."""
        return fwbuild.run(self.guest, self.image, until=until, timeout=timeout)


@pytest.fixture
def fw_qemu(fw_guest: "Guest", fw_image: bytes, _fw_program: bool) -> Qemu:
    """A real QEMU for the guest and the image. The test is skipped where there is none, and fails
    where one is named that is not there."""
    from fwbuild.qemu.program import program  # noqa: PLC0415

    if not _fw_program:
        try:
            program()
        except fwbuild.FwbuildError as error:
            if error.where:  # what was named
                raise failure(str(error)) from None
        pytest.skip("needs qemu-system-x86_64")
    return Qemu(fw_guest, fw_image)
