"""Records what a real QEMU offers through fw_cfg and PCI, without running any guest code."""

from collections.abc import Iterable

from fwbuild.abi import fw_cfg, legacy, pci
from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator.recording import File, Recording
from fwbuild.firmware import file_names
from fwbuild.guest import Guest
from fwbuild.machines import MachineFamily
from fwbuild.qemu import probe
from fwbuild.qemu.command import command
from fwbuild.qemu.program import program
from fwbuild.qemu.qtest import Qtest
from fwbuild.qemu.session import stopped

# Numeric items that do not depend on the kernel, and their sizes in bytes.
KEYS = {Key.RAM_SIZE: 8, Key.NOGRAPHIC: 2, Key.NB_CPUS: 2, Key.BOOT_MENU: 2, Key.MAX_CPUS: 2}
KERNEL_KEYS = (
    Key.KERNEL_ADDR, Key.KERNEL_SIZE, Key.KERNEL_ENTRY, Key.SETUP_ADDR, Key.SETUP_SIZE,
    Key.CMDLINE_ADDR, Key.CMDLINE_SIZE, Key.INITRD_ADDR, Key.INITRD_SIZE,
)  # fmt: skip
ABSENT = 0xFF  # a port that nothing answers at
LARGE = 1 << 36  # bytes
OPTION_ROMS = ("genroms/", "vgaroms/")


def record(guest: Guest, headers: Iterable[tuple[int, int, bytes]] = ()) -> Recording:
    """The recording of a guest. The items that KERNEL_KEYS lists are in it where the guest has
    a kernel. KVM's map differs from TCG's by a range, so the accelerator is the guest's.

    QEMU makes the windows that ACPI describes from what BARs and bridges hold when a file is
    first read. `headers` says what that is: (bus, devfn, 64 bytes of configuration), a bridge
    before its devices; without it they are as at reset. On pc and q35 only."""
    argv = [*command(guest), *_large(guest)]
    with stopped(argv, "-qtest") as connection:
        qtest = Qtest(connection)
        keys = {int(key): qtest.fw_cfg_read(key, size) for key, size in KEYS.items()}
        if guest.kernel:
            keys |= {int(key): qtest.fw_cfg_read(key, 4) for key in KERNEL_KEYS}
        program_chipset(guest.family, qtest)
        ports = probe.ConfigPorts(qtest)
        for bus, devfn, header in headers:
            probe.put_header(ports, bus, devfn, header)
        files = _files(qtest)
    with stopped(argv, "-qtest") as connection:  # one that probing may leave in any state
        qtest = Qtest(connection)
        cmos = _cmos(qtest)
        roots = any(file.name == file_names.EXTRA_ROOTS for file in files)
        functions = probe.functions(guest.family, qtest, roots)
    return Recording(
        qemu=program().version,
        machine=guest.machine,
        memory=guest.memory,
        smp=guest.smp,
        accel=guest.accel,
        keys=keys,
        files=files,
        extra=guest.extra,
        pci=functions,
        cmos=cmos,
    )


def _large(guest: Guest) -> list[str]:
    """Arguments that let QEMU have more memory than the host and a TCG CPU's address bits allow.
    Nothing runs in it, so nothing is used of it."""
    if guest.memory <= LARGE:
        return []
    backend = f"memory-backend-ram,id=ram,size={guest.memory},reserve=off"
    return ["-object", backend, "-machine", "memory-backend=ram", "-cpu", "max,phys-bits=46"]


def program_chipset(family: MachineFamily, qtest: Qtest) -> None:
    """Play what the firmware programs before it reads the ACPI files: QEMU builds them from it."""
    for address, value in family.config_writes:
        qtest.port_out(pci.CONFIG_ADDRESS, 4, address)
        qtest.port_out(pci.CONFIG_DATA, 4, value)
    for address, value in family.ecam_writes:
        qtest.write(address, 4, value)


def _cmos(qtest: Qtest) -> bytes:
    """The clock's memory without the time, empty where there is no clock."""
    found = bytearray()
    for index in range(legacy.CMOS_SIZE):
        qtest.port_out(legacy.CMOS_INDEX, 1, index)
        found.append(qtest.port_in(legacy.CMOS_DATA, 1))
    for index in legacy.CMOS_CLOCK:
        found[index] = 0
    return bytes(found) if found[legacy.CMOS_VALID] != ABSENT else b""


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
