"""A stop in a guest that nobody watches: without consoles and isa-debug-exit the host is told."""

from pathlib import Path

import pytest

from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.machines import MACHINES
from fwbuild.qemu.command import command
from tests.support import qmp

pytestmark = pytest.mark.qemu


@pytest.mark.parametrize("machine", MACHINES)
def test_a_stop_is_a_panic(machine: str, image: Image, tmp_path: Path) -> None:
    """No kernel: the firmware stops, and QMP says GUEST_PANICKED where there is pvpanic."""
    bios = tmp_path / "bios.bin"
    bios.write_bytes(image.image)
    argv = [a.replace("isa-debug-exit", "pvpanic") for a in command(Guest(machine), bios=bios)]
    assert "pvpanic" in argv
    with qmp.started(argv, 60) as monitor:
        monitor.execute("cont")
        assert monitor.wait("GUEST_PANICKED", "SHUTDOWN", "RESET")["event"] == "GUEST_PANICKED"
