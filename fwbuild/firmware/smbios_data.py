"""The SMBIOS structure that the firmware adds: BIOS Information (type 0).

Source: DMTF DSP0134 (SMBIOS 3.7), 7.1.
"""

from fwbuild.abi import smbios
from fwbuild.version import __version__


def type0() -> bytes:
    """BIOS Information (type 0) as this firmware tells it, strings and all."""
    major, minor = (int(part) for part in __version__.split(".")[:2])
    formatted = smbios.BIOS_INFORMATION.build(
        {
            "header": {
                "type": smbios.TYPE_BIOS,
                "length": smbios.BIOS_INFORMATION.sizeof(),
                "handle": smbios.HANDLE_BIOS,
            },
            "vendor": 1,
            "version": 2,
            "starting_segment": 0xF000,
            "release_date": 0,
            "rom_size": 0,
            "characteristics": smbios.CHARACTERISTICS_UNSUPPORTED,
            "characteristics_ext1": 0,
            "characteristics_ext2": smbios.EXT2_VIRTUAL_MACHINE,
            "major": major,
            "minor": minor,
            "ec_major": smbios.NO_EMBEDDED_CONTROLLER,
            "ec_minor": smbios.NO_EMBEDDED_CONTROLLER,
        }
    )
    strings = b"fwbuild\0" + __version__.encode("ascii") + b"\0\0"
    return bytes(formatted + strings)


TYPE0_SIZE = len(type0())
