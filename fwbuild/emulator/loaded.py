"""The work of QEMU for one kernel: bytes in RAM, and items and files of fw_cfg."""

from dataclasses import dataclass, field

from fwbuild.firmware.options import BootProtocol
from fwbuild.kernel.placed import Placed


@dataclass
class Loaded:
    """`memory` is what is put into RAM at each reset, `keys` the fw_cfg items, `entry` where the
    kernel is entered by `protocol`. Of a kernel that the firmware loads, `files` are the fw_cfg
    files, and `placed` what the firmware has to put into RAM. Of a baked guest `mapped` is the
    kernel in its RAM file, which is there once, and `laid` what that file has besides it."""

    protocol: BootProtocol
    entry: int
    memory: list[Placed] = field(default_factory=list)
    keys: dict[int, bytes] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    placed: list[Placed] = field(default_factory=list)
    mapped: list[Placed] = field(default_factory=list)
    laid: list[Placed] = field(default_factory=list)

    @property
    def segments(self) -> list[Placed]:
        """The kernel at its entry, whoever loaded it."""
        return self.memory + self.placed + self.mapped
