"""Fixtures that several tests share: the images, the test kernel."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fwbuild.assembler.link import Linker
from fwbuild.image.build import Image, build_image
from fwbuild.kernel import vmlinux_cache
from fwbuild.payloads.test_kernel import build_test_kernel
from fwbuild.qemu import program
from tests.support.coverage.recorder import recorder
from tests.support.sandbox import Sandbox


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts what it runs in the background with SIGINT ignored, and programs inherit that.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if plugin := recorder():
        config.pluginmanager.register(plugin)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """While tests are collected nothing is assembled: a mistake in the assembly would hide them
    all, and each worker would do it again. Tables hold what makes a kernel."""

    def refuse(*_: object) -> None:
        raise AssertionError("assembled at import: do it in a fixture or in the test")

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(Linker, "link", refuse)
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def sandbox() -> Iterator[Sandbox]:
    """Every emulated run of every test is held against the declared layout."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Sandbox(monkeypatch)


@pytest.fixture(scope="session", autouse=True)
def user_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the cache of the user who runs it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv(vmlinux_cache.VARIABLE, str(tmp_path_factory.mktemp("xdg")))
        yield


@pytest.fixture(scope="session")
def image() -> Image:
    return build_image("universal")


@pytest.fixture(scope="session")
def bios(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with `image`, for QEMU's -bios."""
    path = tmp_path_factory.mktemp("image") / "bios.bin"
    path.write_bytes(image.image)
    return path


@pytest.fixture(scope="session")
def test_kernel() -> bytes:
    return build_test_kernel()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test that needs QEMU is skipped where there is none, but fails in CI."""
    if item.get_closest_marker("qemu") and not program.find():
        need("qemu-system-x86_64 (package qemu-system-x86)")


def need(what: str) -> None:
    """Skip for want of something, or fail where CI should have brought it."""
    if os.environ.get("CI"):
        pytest.fail(f"CI lacks {what}")
    pytest.skip(f"needs {what}")
