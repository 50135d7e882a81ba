"""The accelerator of a guest that runs: KVM where a guest has run under it, else TCG."""

from dataclasses import replace
from functools import cache

from fwbuild.guest import Guest
from fwbuild.machines import ACCEL
from fwbuild.payloads.trial import build_trial
from fwbuild.qemu.program import program
from fwbuild.qemu.trial import kvm_problem
from fwbuild.verbs.printing import Working

AUTO = "auto"
OPTIONS = ("-accel", "--accel", "-enable-kvm", "--enable-kvm")  # QEMU's that name one


def with_accelerator(guest: Guest, wanted: str) -> tuple[Guest, str]:
    """The guest with its accelerator, and in words which and why. `wanted`: "kvm", "tcg" or
    AUTO."""
    if wanted != AUTO:
        return replace(guest, accel=wanted), f"{wanted.upper()}: by --accel"
    if named_by_qemu(guest):
        return replace(guest, accel=""), "the accelerator of QEMU's own options"
    with Working("trying KVM"):
        problem = _tried(program().path)
    if problem:
        return replace(guest, accel="tcg"), f"TCG, not KVM: {problem}"
    return replace(guest, accel="kvm"), "KVM: a guest has run under it"


def named_by_qemu(guest: Guest) -> bool:
    """Whether the guest's machine type or further options name an accelerator."""
    machines = [guest.machine, *guest.values("-M", "-machine")]
    properties = [word for machine in machines for word in machine.split(",")]
    return any(word in OPTIONS for word in guest.extra) or any(
        word.startswith(ACCEL) for word in properties
    )


@cache
def _tried(_qemu: str) -> str:
    """The problem of KVM with a QEMU, found once."""
    return kvm_problem(build_trial())
