"""A stop in a guest that nobody watches: without consoles and isa-debug-exit the host is told."""

from pathlib import Path

import pytest

from fwbuild.guest import Guest
from fwbuild.image.build import Image, build_image
from fwbuild.machines import MACHINES
from fwbuild.qemu.command import command
from tests.support import qmp

pytestmark = pytest.mark.qemu

PCI = ["pc", "q35"]
SECONDS = 60
CASES = [
    *((machine, device) for machine in MACHINES for device in ("pvpanic", "pvpanic,ioport=0x6a0")),
    ("microvm,isa-serial=off", "pvpanic"),
    *((machine, "pvpanic-pci") for machine in PCI),
    *((machine, "pvpanic-pci,addr=1e.3") for machine in PCI),
]


def unwatched(machine: str, image: bytes, folder: Path, *devices: str) -> list[str]:
    """A guest without kernel, consoles and isa-debug-exit, but with these devices."""
    bios = folder / "bios.bin"
    bios.write_bytes(image)
    argv = command(Guest(machine), bios=bios)
    at = argv.index("isa-debug-exit")
    return argv[: at - 1] + argv[at + 1 :] + [w for d in devices for w in ("-device", d)]


@pytest.mark.parametrize("template", ["universal", "linux"])
@pytest.mark.parametrize("machine, device", CASES)
def test_a_stop_is_a_panic(machine: str, device: str, template: str, tmp_path: Path) -> None:
    """No kernel: the firmware stops, and QMP says GUEST_PANICKED where there is pvpanic."""
    argv = unwatched(machine, build_image(template).image, tmp_path, device)
    with qmp.started(argv, SECONDS) as monitor:
        monitor.execute("cont")
        assert monitor.wait("GUEST_PANICKED", "SHUTDOWN", "RESET")["event"] == "GUEST_PANICKED"


@pytest.mark.parametrize("action", ["shutdown", "pause"])
def test_what_the_host_makes_of_it(action: str, image: Image, tmp_path: Path) -> None:
    """`-action panic=...` acts."""
    argv = unwatched("microvm", image.image, tmp_path, "pvpanic")
    with qmp.started([*argv, "-action", f"panic={action}"], SECONDS) as monitor:
        monitor.execute("cont")
        told = monitor.wait("GUEST_PANICKED")
        assert told["data"]["action"] == {"shutdown": "poweroff"}.get(action, action)
        if action == "shutdown":
            assert monitor.wait("SHUTDOWN")["data"]["reason"] == "guest-panic"


@pytest.mark.parametrize("machine", MACHINES)
def test_a_stop_is_a_reset(machine: str, tmp_path: Path) -> None:
    """Where the template says so: QEMU ends under -no-reboot."""
    argv = unwatched(machine, build_image("universal", stop="reset").image, tmp_path)
    with qmp.started(argv, SECONDS) as monitor:
        monitor.execute("cont")
        assert monitor.wait("SHUTDOWN")["data"]["reason"] == "guest-reset"
