"""The parts of QEMU's loaders that several of them have."""

from fwbuild.abi import e820
from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator.recording import Recording
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import read_file
from fwbuild.guest import Guest

INITRD_ALIGN = 4096
MORE_MEMORY = "give the guest more memory (-m)"


def number_items(values: dict[Key, int]) -> dict[int, bytes]:
    """Items of fw_cfg that hold a 32-bit number."""
    return {key: value.to_bytes(4, "little") for key, value in values.items()}


def initrd_items(
    guest: Guest, recording: Recording, limit: int = e820.FOUR_GIB
) -> dict[int, bytes]:
    """The items of the guest's initrd, placed as high in low RAM as QEMU does, its last byte at
    `limit` at most."""
    if not guest.initrd:
        return {}
    initrd = read_file(guest.initrd)
    low_end = max(a + s for a, s in recording.ram() if a < e820.FOUR_GIB)
    ceiling = min(limit, low_end - guest.family.acpi_data_size - 1)
    if len(initrd) >= ceiling:
        what = "initrd is larger than low memory"
        raise FwbuildError(ExitCode.INPUT, what, where=str(guest.initrd), hint=MORE_MEMORY)
    address = (ceiling - len(initrd)) & -INITRD_ALIGN
    items = number_items({Key.INITRD_ADDR: address, Key.INITRD_SIZE: len(initrd)})
    return items | {Key.INITRD_DATA: initrd}
