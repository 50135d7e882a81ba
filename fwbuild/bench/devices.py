"""The device accesses of a whole boot, by device: what QEMU's trace tells of one boot.

Each access ends the CPU's run for a while: it is an exit to QEMU under KVM. There the kernel
serves the interrupt controllers and the PIT itself, and QEMU's trace has nothing of them.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from fwbuild.bench.runner import wait_for_end
from fwbuild.bench.serial_port import with_serial_port
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.guest import Guest
from fwbuild.qemu.command import command
from fwbuild.qemu.count import TRACE_ACCESSES
from fwbuild.qemu.session import started

REGION = re.compile(rb"memory_region_ops_\w+ cpu \d.* name '(.*)'$")
BUS = re.compile(
    r"^virtio-(?:pci-)?(?:common|isr|device|notify|notify-pio|config)-(?=virtio|vhost)"
)


@dataclass(frozen=True)
class Device:
    """A device by the name that a user knows, and the names that QEMU has for its registers.
    `in_kernel`: KVM serves it inside the kernel."""

    name: str
    regions: tuple[str, ...]
    in_kernel: bool = False


SERIAL = Device("serial port", ("serial",))
PIT = Device("PIT", ("pit", "pcspk"), in_kernel=True)  # port 0x61 is its third channel's gate
HPET = Device("HPET", ("hpet",))
PCI = Device("PCI configuration", ("pci-conf-idx", "pci-conf-data", "pcie-mmcfg-mmio"))
KEYBOARD = Device("keyboard controller", ("i8042-cmd", "i8042-data", "i8042-mmio"))
DEVICES = (
    SERIAL,
    PIT,
    HPET,
    PCI,
    KEYBOARD,
    Device("local APIC", ("apic", "apic-msi", "kvm-apic-msi"), in_kernel=True),
    Device("I/O APIC", ("ioapic", "kvm-ioapic"), in_kernel=True),
    Device("PIC", ("pic", "elcr", "kvm-pic", "kvm-elcr"), in_kernel=True),
    Device("RTC", ("rtc", "rtc-index")),
    Device("PM timer", ("acpi-tmr",)),
    Device(
        "ACPI",
        (
            "acpi-evt", "acpi-cnt", "acpi-gpe0", "acpi-pci-hotplug", "acpi-cpu-hotplug",
            "acpi-mem-hotplug", "apm-io",
        ),
    ),
    Device("fw_cfg", ("fwcfg", "fwcfg.ctl", "fwcfg.data", "fwcfg.dma")),
    Device("ports without a device", ("io",)),
)  # fmt: skip
BY_REGION = {region: device for device in DEVICES for region in device.regions}
BY_NAME = {device.name: device for device in DEVICES}


def accesses(guest: Guest, bios: Path, seconds: float, until: str | None) -> dict[str, int]:
    """Boot once, to the guest's own end or to the line: the accesses of each device by its name,
    most first. Some may have come after the line. Raises FwbuildError for a boot that did not get
    there."""
    end, begin = os.pipe()
    with (
        open(end, "rb") as log,  # noqa: PTH123 (a descriptor)
        open(begin, "wb") as theirs,  # noqa: PTH123
        ThreadPoolExecutor(1) as pool,
        with_serial_port(until) as serial,
    ):
        argv = [*serial.added(command(guest, bios=bios)), *TRACE_ACCESSES]
        argv += ["-D", f"/dev/fd/{theirs.fileno()}"]
        found = pool.submit(by_device, log)
        with started(argv, [theirs, *serial.inherited]) as session:
            failure, _ = wait_for_end(session, serial, seconds)
        if failure:
            hint = "the trace slows QEMU down: a longer --timeout may help"
            raise FwbuildError(ExitCode.QEMU, failure, where="device accesses", hint=hint)
        return found.result()


def by_device(log: Iterable[bytes]) -> dict[str, int]:
    """The accesses in lines of QEMU's log, by device."""
    regions = Counter(match[1] for line in log if (match := REGION.match(line)))
    found: Counter[str] = Counter()
    for region, number in regions.items():
        found[device_of(region.decode(errors="replace"))] += number
    return dict(found.most_common())


def device_of(region: str) -> str:
    """The name of the device that a region of QEMU's belongs to; else the region's own."""
    known = BY_REGION.get(region)
    return known.name if known else BUS.sub("", region)
