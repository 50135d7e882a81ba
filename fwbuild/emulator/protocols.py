"""The boot protocols as the emulated machine knows them: who reads and judges the handoff."""

from collections.abc import Callable
from dataclasses import dataclass

from fwbuild.emulator.handoff import Handoff, read_handoff
from fwbuild.emulator.handoff_linux import LinuxHandoff, read_linux_handoff
from fwbuild.emulator.handoff_linux16 import SetupHandoff, read_setup_handoff
from fwbuild.emulator.handoff_multiboot import MultibootHandoff, read_multiboot_handoff
from fwbuild.emulator.judge import judge
from fwbuild.emulator.judge_linux import judge_linux
from fwbuild.emulator.judge_linux16 import judge_linux16
from fwbuild.emulator.judge_multiboot import judge_multiboot
from fwbuild.emulator.machine import Machine, Outcome

AnyHandoff = Handoff | LinuxHandoff | SetupHandoff | MultibootHandoff


@dataclass(frozen=True)
class Protocol:
    """What the specification is called, the register that points at the handoff, and its
    reader and judge."""

    title: str
    pointer: str
    read: Callable[[Callable[[int, int], bytes], int], AnyHandoff]
    judge: Callable[[Machine, Outcome], list[str]]


PROTOCOLS = {
    "pvh": Protocol("PVH ABI", "ebx", read_handoff, judge),
    "linux": Protocol("Linux boot protocol", "esi", read_linux_handoff, judge_linux),
    "linux16": Protocol("16-bit boot protocol", "ds", read_setup_handoff, judge_linux16),
    "multiboot": Protocol(
        "Multiboot specification", "ebx", read_multiboot_handoff, judge_multiboot
    ),
}


def protocol_of(machine: Machine) -> Protocol:
    """The protocol of the kernel that the machine was given; PVH's where it has none."""
    return PROTOCOLS[machine.loaded.protocol if machine.loaded else "pvh"]


def judge_handoff(machine: Machine) -> list[str]:
    """Each departure of the machine's last run from its kernel's protocol."""
    return protocol_of(machine).judge(machine, machine.outcome)


def handoff_of(machine: Machine) -> AnyHandoff:
    """What the kernel was handed; raises MemoryError where that points nowhere."""
    protocol = protocol_of(machine)
    return protocol.read(machine.read, machine.outcome.registers[protocol.pointer])
