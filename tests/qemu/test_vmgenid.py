"""WRITE_POINTER: the host learns where the guest's VM generation ID is, and puts it there."""

import re
import uuid
from pathlib import Path

import pytest

from fwbuild.emulator import loader
from fwbuild.emulator.judge import judge
from fwbuild.emulator.machine import Machine
from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.qemu.record import record
from tests.support.agreement import at_entry

pytestmark = pytest.mark.qemu

GUID = "324e6eaf-d1d1-4bf6-bf41-b9bb6c91fb87"


@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_generation_id(machine: str, image: Image, tmp_path: Path, test_kernel: bytes) -> None:
    bios, kernel = tmp_path / "bios.bin", tmp_path / "kernel"
    bios.write_bytes(image.image)
    kernel.write_bytes(test_kernel)
    guest = Guest(machine, kernel=kernel, extra=("-device", f"vmgenid,guid={GUID}"))
    found = record(guest)
    loaded = loader.load(guest, found)
    assert loaded
    emulated = Machine(image.image, found, loaded)
    assert judge(emulated, emulated.run()) == []
    pointer = int.from_bytes(emulated.fw_cfg.file("etc/vmgenid_addr"), "little")
    with at_entry(guest, bios, loaded.entry) as stub:
        said = re.search(r"[0-9a-f-]{36}", stub.monitor("info vm-generation-id"))
        assert said
        assert said[0] == GUID
        assert stub.read(pointer, 16) == uuid.UUID(said[0]).bytes_le
