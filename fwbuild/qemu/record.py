"""Records what a real QEMU offers through fw_cfg, without running any guest code."""

import re
import subprocess

from fwbuild.abi import fw_cfg
from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator.recording import File, Recording
from fwbuild.guest import Guest
from fwbuild.qemu.command import command, program
from fwbuild.qemu.qtest import Qtest
from fwbuild.qemu.session import stopped

# Numeric items that do not depend on the kernel, and their sizes in bytes.
KEYS = {Key.RAM_SIZE: 8, Key.NOGRAPHIC: 2, Key.NB_CPUS: 2, Key.BOOT_MENU: 2, Key.MAX_CPUS: 2}
KERNEL_KEYS = (
    Key.KERNEL_ADDR, Key.KERNEL_SIZE, Key.KERNEL_ENTRY, Key.SETUP_ADDR, Key.SETUP_SIZE,
    Key.CMDLINE_ADDR, Key.CMDLINE_SIZE, Key.INITRD_ADDR, Key.INITRD_SIZE,
)  # fmt: skip
OPTION_ROMS = ("genroms/", "vgaroms/")


def version() -> str:
    """QEMU's version, as in "7.2.22"."""
    text = subprocess.run([program(), "--version"], capture_output=True, text=True, check=True)
    match = re.search(r"version (\d+(\.\d+)+)", text.stdout)
    return match[1] if match else "unknown"


def record(guest: Guest) -> Recording:
    """The recording of a guest. The items that KERNEL_KEYS lists are in it where the guest has
    a kernel. KVM's map differs from TCG's by a range, so the accelerator is the guest's."""
    with stopped(command(guest), "-qtest") as connection:
        qtest = Qtest(connection)
        keys = {int(key): qtest.fw_cfg_read(key, size) for key, size in KEYS.items()}
        if guest.kernel:
            keys |= {int(key): qtest.fw_cfg_read(key, 4) for key in KERNEL_KEYS}
        return Recording(
            version(), guest.machine, guest.memory, guest.smp, guest.accel, keys, _files(qtest)
        )


def _files(qtest: Qtest) -> list[File]:
    header = fw_cfg.DIR_HEADER.sizeof()
    count = fw_cfg.DIR_HEADER.parse(qtest.fw_cfg_read(Key.FILE_DIR, header)).count
    size = fw_cfg.FILE.sizeof()
    directory = qtest.fw_cfg_read(Key.FILE_DIR, header + count * size)[header:]
    found = []
    for i in range(count):
        entry = fw_cfg.FILE.parse(directory[i * size : (i + 1) * size])
        skip = entry.name.startswith(OPTION_ROMS)
        data = b"" if skip else qtest.fw_cfg_read(entry.select, entry.size)
        found.append(File(entry.name, entry.select, entry.size, data))
    return found
