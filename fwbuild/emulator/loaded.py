"""The work of QEMU for one kernel: bytes in RAM, and items and files of fw_cfg."""

from dataclasses import dataclass, field

from fwbuild.firmware.options import BootProtocol


@dataclass
class Loaded:
    """`memory` is (address, bytes) put into RAM, `keys` the fw_cfg items, `entry` where the
    kernel is entered by `protocol`. Of a kernel that the firmware loads, `files` are the fw_cfg
    files, and `placed` the (address, bytes) that the firmware has to put into RAM."""

    protocol: BootProtocol
    entry: int
    memory: list[tuple[int, bytes]] = field(default_factory=list)
    keys: dict[int, bytes] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    placed: list[tuple[int, bytes]] = field(default_factory=list)

    @property
    def segments(self) -> list[tuple[int, bytes]]:
        """The (address, bytes) that are the kernel at its entry, whoever loaded them."""
        return self.memory + self.placed
