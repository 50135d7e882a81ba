"""Whether KVM can be tested here."""

import subprocess
from functools import cache

import pytest

from fwbuild.guest import Guest
from fwbuild.qemu.command import command


@cache
def kvm_works() -> bool:
    """Whether QEMU can use /dev/kvm here; the firmware alone runs under an emulating one too."""
    argv = command(Guest(accel="kvm", extra=("-S",)))
    try:
        process = subprocess.run(argv, timeout=3, capture_output=True, check=False)
    except subprocess.TimeoutExpired:
        return True
    return process.returncode == 0


def need_accel(name: str) -> None:
    """Skip where an accelerator does not work: "kvm" without a usable /dev/kvm."""
    if name == "kvm" and not kvm_works():
        pytest.skip("no usable /dev/kvm")
