"""A guest of a real QEMU, and its output."""

import subprocess
import time
from pathlib import Path

from fwbuild.guest import Guest
from fwbuild.image.build import build_image
from fwbuild.qemu.command import command


def boot(guest: Guest, folder: Path, image: bytes | None = None) -> tuple[int, str, str]:
    """(QEMU's exit status, serial text, debug console text). `image`: another than universal's."""
    bios, console, serial = folder / "bios.bin", folder / "console", folder / "serial"
    bios.write_bytes(image or build_image().image)
    argv = [*command(guest, bios=bios, console=console), "-serial", f"file:{serial}"]
    process = subprocess.run(argv, timeout=120, capture_output=True, check=False)
    return process.returncode, serial.read_text(errors="replace"), console.read_text()


def serial_until(guest: Guest, folder: Path, text: str, seconds: float) -> str:
    """The serial port's text once `text` is in it, or after so long."""
    bios, serial = folder / "bios.bin", folder / "serial"
    bios.write_bytes(build_image().image)
    argv = [*command(guest, bios=bios), "-serial", f"file:{serial}"]
    with subprocess.Popen(argv) as process:
        end = time.monotonic() + seconds
        found = ""
        while text not in found and time.monotonic() < end and process.poll() is None:
            time.sleep(0.1)
            found = serial.read_text(errors="replace") if serial.exists() else ""
        process.kill()
    return found
