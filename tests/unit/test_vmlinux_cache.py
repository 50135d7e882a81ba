"""The cache of vmlinux files: whatever happens to it, a kernel comes out, and the right one."""

import multiprocessing
import os
from collections.abc import Callable
from functools import cache as cached
from pathlib import Path

import pytest

from fwbuild.kernel import vmlinux_cache
from fwbuild.kernel.vmlinux_cache import KEPT, VARIABLE, Kept, NoVmlinuxError, pvh_vmlinux
from tests.support.bzimages import bzimage, compress
from tests.support.small_kernel import vmlinux


@cached
def elf_file() -> bytes:
    return vmlinux(bytes(range(256)))  # its code is never run


@cached
def kernel() -> bytes:
    return bzimage(compress("gzip", elf_file()))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache/fwbuild/vmlinux"


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    path = tmp_path / "scratch"
    path.mkdir()
    return path


def test_taken_out_once(cache: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = pvh_vmlinux(kernel(), scratch)
    assert not first.found and first.path.parent == cache
    assert first.path.read_bytes() == elf_file()
    monkeypatch.setattr(vmlinux_cache, "unpack", None)
    assert pvh_vmlinux(kernel(), scratch) == Kept(first.path, found=True)
    assert list(cache.iterdir()) == [first.path] and not any(scratch.iterdir())


def other(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"Xen", b"xen", 1))


def dead_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


# what happens to a file of the cache, and whether another can take its place
DAMAGE: dict[str, tuple[Callable[[Path], object], bool]] = {
    "cut short": (lambda path: os.truncate(path, path.stat().st_size - 1), True),
    "empty": (lambda path: os.truncate(path, 0), True),
    "other bytes": (other, True),
    "gone": (Path.unlink, True),
    "a dead link": (dead_link, True),
    "a folder": (folder, False),
    "a pipe": (pipe, False),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage(name: str, cache: Path, scratch: Path) -> None:
    damage, mended = DAMAGE[name]
    path = pvh_vmlinux(kernel(), scratch).path
    damage(path)
    again = pvh_vmlinux(kernel(), scratch)
    assert again.path.read_bytes() == elf_file()
    assert again.path.parent == (cache if mended else scratch)
    assert pvh_vmlinux(kernel(), scratch).found == mended


@pytest.mark.parametrize("value", ["/proc/none", "/dev/null", "{tmp}/file", "relative", ""])
def test_a_cache_that_is_none(
    value: str, tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, value.format(tmp=tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "file"))  # what a value that is no path leads to
    kept = pvh_vmlinux(kernel(), scratch)
    assert kept.path.parent == scratch and kept.path.read_bytes() == elf_file()
    assert not (tmp_path / "relative").exists()


def test_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert vmlinux_cache.folder() == tmp_path / ".cache/fwbuild/vmlinux"


def noteless() -> bytes:
    return bzimage(compress("gzip", elf_file().replace(b"\x12\0\0\0Xen", b"\x13\0\0\0Xen")))


NONE: dict[str, tuple[Callable[[], bytes], str]] = {
    "no note": (noteless, "no PVH ELF note"),
    "no ELF": (lambda: bzimage(compress("gzip", b"hello" * 99)), "no ELF file"),
    "no known payload": (lambda: bzimage(b"what is it" * 9), "unknown compression"),
    "no payload": (lambda: bzimage(b"", version=0x207), "does not tell where the kernel is"),
}


@pytest.mark.parametrize("name", NONE)
def test_a_reason_is_kept_too(
    name: str, cache: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, words = NONE[name]
    damaged = make()
    with pytest.raises(NoVmlinuxError, match=words):
        pvh_vmlinux(damaged, scratch)
    monkeypatch.setattr(vmlinux_cache, "unpack", None)
    with pytest.raises(NoVmlinuxError, match=words):
        pvh_vmlinux(damaged, scratch)
    assert len(list(cache.iterdir())) == 1


def test_what_it_saves_is_remembered(cache: Path, scratch: Path) -> None:
    path = pvh_vmlinux(kernel(), scratch).path
    assert vmlinux_cache.remembered(path, "pc") == ""
    vmlinux_cache.remember(path, "pc", "it saves 1 \N{MICRO SIGN}s")
    vmlinux_cache.remember(path, "q35", "it saves 2 s")
    assert pvh_vmlinux(kernel(), scratch) == Kept(path, found=True)
    assert vmlinux_cache.remembered(path, "pc") == "it saves 1 \N{MICRO SIGN}s"
    assert vmlinux_cache.remembered(path, "q35") == "it saves 2 s"
    (words,) = set(cache.iterdir()) - {path}
    for damage in (b"\xff", b"", b"[]", b"[" * 100_000):
        words.write_bytes(damage)
        assert vmlinux_cache.remembered(path, "pc") == ""


def test_nothing_is_remembered_outside_the_cache(cache: Path, scratch: Path) -> None:
    path = scratch / "vmlinux"
    vmlinux_cache.remember(path, "pc", "it saves 1 s")
    assert not any(scratch.iterdir()) and not cache.exists()


def test_what_is_remembered_goes_with_its_file(cache: Path, scratch: Path) -> None:
    first = pvh_vmlinux(kernel(), scratch).path
    vmlinux_cache.remember(first, "pc", "it saves 1 s")
    os.utime(first, (1, 1))
    for number in range(KEPT):
        path = pvh_vmlinux(kernel() + bytes([number]), scratch).path
        vmlinux_cache.remember(path, "pc", "it saves 1 s")
    files = {path.name for path in cache.iterdir() if not path.name.endswith(".saves")}
    assert len(files) == KEPT and first.name not in files
    assert {path.name for path in cache.iterdir()} == files | {f"{name}.saves" for name in files}


def take(arguments: tuple[bytes, Path]) -> bytes:
    return pvh_vmlinux(*arguments).path.read_bytes()


def test_processes_at_once(cache: Path, scratch: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        found = pool.map(take, [(kernel(), scratch)] * 12, chunksize=1)
    assert set(found) == {elf_file()}
    assert len(list(cache.iterdir())) == 1


def test_few_are_kept(cache: Path, scratch: Path) -> None:
    cache.mkdir(parents=True)
    for age in range(KEPT + 5):
        for name in (f"{age:02}.kernel", f".{age:02}.part"):
            (cache / name).touch()
            os.utime(cache / name, (1e9 - age, 1e9 - age))
    used = pvh_vmlinux(kernel(), scratch).path
    assert len(list(cache.iterdir())) == KEPT and used.exists()
    assert (cache / "00.kernel").exists() and not (cache / f"{KEPT:02}.kernel").exists()


def test_use_keeps(cache: Path, scratch: Path) -> None:
    path = pvh_vmlinux(kernel(), scratch).path
    os.utime(path, (1, 1))
    assert pvh_vmlinux(kernel(), scratch).path.stat().st_mtime > 1e9
