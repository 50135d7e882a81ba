"""Hints before a boot: given where they are true, and nowhere else."""

import pytest

from fwbuild.guest import Guest
from fwbuild.verbs.run_hints import hints
from tests.support.bzimages import bzimage
from tests.support.small_kernel import vmlinux

NO_DRIVER = vmlinux(b"Linux version 6.1 (x)\0")
LINUX = vmlinux(b"Linux version 6.1 (x)\0serial8250\0")
SERIAL = "console=ttyS0"
ICOUNT = ("-icount", "shift=auto")

# a guest, its kernel: words of each hint
CASES: dict[str, tuple[Guest, bytes, list[str]]] = {
    "all well": (Guest("pc", append=SERIAL), LINUX, []),
    "no console": (Guest("pc"), LINUX, ["--append console=ttyS0"]),
    "no console, bzImage": (Guest("pc", append="quiet"), bzimage(b""), ["console=ttyS0"]),
    "another console": (Guest("q35", append="console=hvc0"), LINUX, []),
    "another console's driver": (Guest("q35", append="console=hvc0"), NO_DRIVER, []),
    "no driver": (Guest("pc", append=SERIAL), NO_DRIVER, ["CONFIG_SERIAL_8250_CONSOLE"]),
    "no driver in sight": (Guest("pc", append=SERIAL), bzimage(b""), []),
    "no serial port": (Guest("microvm,isa-serial=off", accel="kvm", append=SERIAL), LINUX,
                       ["isa-serial=off"]),
    "no Linux": (Guest("microvm,pit=off"), vmlinux(b"hello"), []),
    "text": (Guest("microvm,pit=off"), b"Linux version 6.1", []),
    "no timer": (Guest("microvm,pit=off,pic=off", append=SERIAL), LINUX,
                 ["pit=off,pic=off under TCG"]),
    "no timer, KVM": (Guest("microvm,pit=off,pic=off", accel="kvm", append=SERIAL), LINUX, []),
    "no clock": (Guest(append=SERIAL), LINUX, ["-- -icount shift=auto"]),
    "a clock": (Guest(append=SERIAL, extra=ICOUNT), LINUX, []),
    "a clock that is told": (Guest(append=f"{SERIAL} tsc_early_khz=1"), LINUX, []),
    "two": (Guest(), LINUX, ["console=ttyS0", "-icount"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_hints(name: str) -> None:
    guest, kernel, words = CASES[name]
    found = list(hints(guest, kernel))
    assert len(found) == len(words)
    assert all(word in hint for word, hint in zip(words, found, strict=True))
