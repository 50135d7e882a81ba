"""The work of QEMU's loader for one kernel: bytes in RAM, and items of fw_cfg."""

from dataclasses import dataclass, field

from fwbuild.firmware.options import BootProtocol


@dataclass
class Loaded:
    """`memory` is (address, bytes) put into RAM, `keys` the fw_cfg items, `entry` where the
    kernel is entered by `protocol`."""

    protocol: BootProtocol
    entry: int
    memory: list[tuple[int, bytes]] = field(default_factory=list)
    keys: dict[int, bytes] = field(default_factory=dict)
