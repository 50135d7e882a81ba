"""A guest that suspends to RAM, and what the firmware has to do when it wakes.

QEMU wakes a guest by a reset: devices and CPUs are as at power-on, RAM is as it was, but for what
QEMU's loader puts there again. Byte 0x0f of the clock's memory tells the firmware.

Source: QEMU, softmmu/runstate.c qemu_system_wakeup(), hw/rtc/mc146818rtc.c rtc_notify_suspend();
ACPI 6.5, 5.2.10 (FACS) and 16.3 (waking).
"""

from collections.abc import Iterator
from dataclasses import replace

from fwbuild.abi import acpi, chipset, e820, legacy, offsets, x86
from fwbuild.abi.x86 import PAGE
from fwbuild.emulator.legacy import Cmos
from fwbuild.emulator.machine import Machine, Outcome
from fwbuild.emulator.pci.chipset import Ich9Lpc, Piix4Pm
from fwbuild.firmware import layout

# The registers of each chipset function on bus 0 that a guest relies on and does not restore.
RESTORED = {
    (chipset.Device.I440FX, chipset.Devfn.HOST_BRIDGE): (chipset.Pam.I440FX,),
    (chipset.Device.PIIX4_PM, chipset.Devfn.PIIX4_PM): (
        *range(chipset.PMBASE, chipset.PMBASE + 4),
        chipset.PMREGMISC,
    ),
    (chipset.Device.PIIX3_ISA, chipset.Devfn.PIIX3_ISA): range(
        chipset.PIIX3_PIRQ, chipset.PIIX3_PIRQ + chipset.PIRQ_COUNT
    ),
    (chipset.Device.Q35, chipset.Devfn.HOST_BRIDGE): (
        *range(chipset.PCIEXBAR, chipset.PCIEXBAR + 8),
        chipset.Pam.Q35,
    ),
    (chipset.Device.ICH9_LPC, chipset.Devfn.ICH9_LPC): (
        *range(chipset.PMBASE, chipset.PMBASE + 4),
        chipset.ACPI_CTRL,
        *range(chipset.ICH9_PIRQ_A, chipset.ICH9_PIRQ_A + chipset.PIRQ_COUNT),
        *range(chipset.ICH9_PIRQ_E, chipset.ICH9_PIRQ_E + chipset.PIRQ_COUNT),
    ),
}


def facs(machine: Machine, rsdp: int) -> int:
    """The address of the FACS, by the RSDP and the RSDT. Raises LookupError without one."""
    rsdt = acpi.RSDP.parse(machine.read(rsdp, acpi.RSDP.sizeof())).rsdt_address
    header = acpi.TABLE_HEADER.parse(machine.read(rsdt, acpi.TABLE_HEADER.sizeof()))
    entries = machine.read(rsdt, header.length)[acpi.TABLE_HEADER.sizeof() :]
    for at in range(0, len(entries), 4):
        table = int.from_bytes(entries[at : at + 4], "little")
        if machine.read(table, 4) == acpi.FADT_SIGNATURE.to_bytes(4, "little"):
            fadt = acpi.FADT.parse(machine.read(table, acpi.FADT.sizeof()))
            return int(fadt.firmware_ctrl)
    raise LookupError("no FADT")


def suspend(machine: Machine, rsdp: int, vector: int) -> Machine:
    """The machine at the reset that wakes a guest, which had set its waking vector and suspended.
    The new machine's entry is the vector: a run that comes there ends as a handoff."""
    at = facs(machine, rsdp) + offsets(acpi.FACS)["firmware_waking_vector"]
    machine.memory.dma_write(at, vector.to_bytes(4, "little"))
    return reset(machine, vector, legacy.CMOS_SHUTDOWN_S3)


def reset(machine: Machine, entry: int, shutdown: int = 0) -> Machine:
    """The machine after a reset, with what the byte 0x0f of the clock's memory then is."""
    assert machine.loaded
    loaded = replace(machine.loaded, entry=entry)
    after = Machine(machine.image, machine.recording, loaded)
    after.memory.inherit(machine.memory)
    for placed in loaded.memory:  # QEMU loads a vmlinux again
        placed.put(after.read, after.uc.mem_write)
    cmos = after.devices.get(legacy.CMOS_DATA)
    if isinstance(cmos, Cmos):
        cmos.content[legacy.CMOS_SHUTDOWN] = shutdown
    return after


def judge_wake(before: Machine, after: Machine, outcome: Outcome, vector: int) -> list[str]:
    """Each departure from what ACPI asks of a wake, and from what the machine was before it."""
    if outcome.kind != "handoff":
        return [f"the guest was not woken: {outcome.kind} {outcome.detail}".strip()]
    return [
        *_registers(outcome, vector),
        *_memory(before, after),
        *_chipset(before, after),
    ]


def _registers(outcome: Outcome, vector: int) -> Iterator[str]:
    registers = outcome.registers
    if registers["cr0"] & (x86.Cr0.PE | x86.Cr0.PG):
        yield f"CR0 is {registers['cr0']:#x}: no real mode"
    if registers["eflags"] & x86.Eflags.IF:
        yield "EFLAGS.IF is set"
    wanted = (vector >> 4, vector & 15)
    if (registers["cs"], registers["eip"]) != wanted:
        yield f"CS:IP is {registers['cs']:x}:{registers['eip']:x}"


def _memory(before: Machine, after: Machine) -> Iterator[str]:
    """Nothing but the firmware's own memory was written: pages are noted, bytes compared."""
    for page in sorted(after.writes):
        base = page * PAGE
        if e820.SYSTEM_ROM <= base < e820.EXTENDED:
            continue
        old, new = before.read(base, PAGE), after.read(base, PAGE)
        own = range(layout.EBDA.base - base, layout.EBDA.end - base)
        if not (own.start < PAGE and own.stop > 0):
            yield f"the page at {base:#x} was written"
        elif any(old[i] != new[i] for i in range(PAGE) if i not in own):
            yield f"the guest's part of the page at {base:#x} was written"


def _chipset(before: Machine, after: Machine) -> Iterator[str]:
    for (device, devfn), registers in RESTORED.items():
        old, new = (m.board.pci.roots[0].functions.get(devfn) for m in (before, after))
        if old is None or new is None or old.field("device") != device:
            continue
        changed = [r for r in registers if old.config[r] != new.config[r]]
        if changed:
            yield f"function {devfn:#x}: registers {changed} are not as before"
        if isinstance(new, Piix4Pm | Ich9Lpc) and not (
            new.pm.control & chipset.PM_CONTROL_SCI_ENABLE
        ):
            yield "PM1 control: not in ACPI mode"
    cmos = after.devices.get(legacy.CMOS_DATA)
    if isinstance(cmos, Cmos) and cmos.content[legacy.CMOS_SHUTDOWN]:
        yield "the next reset would be taken for a wake"
