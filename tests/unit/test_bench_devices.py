"""Accesses by device from QEMU's trace, and the advice about them."""

from dataclasses import replace

import pytest

from fwbuild.bench.advice import ADVICE, WORTH, Advice, advice
from fwbuild.bench.devices import BY_REGION, DEVICES, by_device, device_of
from fwbuild.guest import Guest

LINE = b"memory_region_ops_%b cpu %d mr 0x55d0c0 addr 0x3f8 value 0x41 size 1 name '%b'\n"  # QEMU's


def test_by_device() -> None:
    log = [
        LINE % (b"read", 0, b"pit"),
        LINE % (b"write", 0, b"pcspk"),
        LINE % (b"write", 1, b"serial"),
        LINE % (b"write", 0, b"serial"),
        LINE % (b"write", 0, b"serial"),
        LINE % (b"write", 0, b"virtio-pci-notify-virtio-blk"),
        LINE % (b"write", 0, b"of nobody's"),
        LINE % (b"write", -1, b"serial"),  # a device's own
        b"memory_region_subpage_read cpu 0 mr 0x55d0c0 offset 0x1 value 0x0 size 1 name 'serial'\n",
        b"something else\n",
    ]
    found = by_device(log)
    assert found == {"serial port": 3, "PIT": 2, "virtio-blk": 1, "of nobody's": 1}
    assert list(found)[:2] == ["serial port", "PIT"]


def test_a_region_is_of_one_device() -> None:
    assert len(BY_REGION) == sum(len(device.regions) for device in DEVICES)
    assert device_of("fwcfg.dma") == "fw_cfg"


@pytest.mark.parametrize("row", ADVICE, ids=lambda row: row.append or row.machine)
def test_advice(row: Advice) -> None:
    assert 0 <= row.after < row.before / 2
    guest = Guest(row.families[0].name, append="console=ttyS0")
    many = {row.device.name: WORTH}
    (text,) = advice(guest, many)
    assert text.startswith(f"{row.device.name}, {WORTH} accesses: ")
    assert (row.append or f"-M {guest.machine},{row.machine}") in text
    assert advice(guest, {row.device.name: WORTH - 1}) == []
    assert bool(advice(guest, many, linux=False)) is not bool(row.append)
    taken = replace(
        guest,
        append=f"{guest.append} {row.append}",
        machine=",".join(filter(None, (guest.machine, row.machine))),
    )
    assert advice(taken, many) == []
