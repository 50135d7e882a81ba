"""The emulated machine behind qtest's commands, so that one script serves it and QEMU."""

from fwbuild.abi import fw_cfg
from fwbuild.emulator.machine import Machine

SIZES = {"b": 1, "w": 2, "l": 4}
DESCRIPTOR = 0x1000  # in RAM that no transfer of a script touches


class QtestModel:
    """Answers as QEMU's qtest does (softmmu/qtest.c): ports and memory as the CPU has them."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def command(self, text: str) -> str:
        """The reply without its OK."""
        name, *words = text.split()
        machine, address = self.machine, int(words[0], 0)
        if name == "read":
            return "0x" + machine.memory.dma_read(address, int(words[1], 0))[0].hex()
        if name == "write":
            machine.memory.dma_write(address, bytes.fromhex(words[2][2:]))
            return ""
        size = SIZES[name[-1]]
        if name[:-1] == "in":
            return f"0x{machine._on_in(machine.uc, address, size, None):04x}"
        machine._on_out(machine.uc, address, size, int(words[1], 0), None)
        return ""


def dma(control: int, length: int, address: int, at: int = DESCRIPTOR) -> list[str]:
    """The commands of one transfer, whose descriptor lies at `at` and is read back."""
    data = fw_cfg.DMA.build({"control": control, "length": length, "address": address})
    high, low = (
        int.from_bytes((at >> s & 0xFFFFFFFF).to_bytes(4, "big"), "little") for s in (32, 0)
    )
    return [
        f"write {at:#x} {len(data)} 0x{data.hex()}",
        *([f"outl {fw_cfg.PORT_DMA_HIGH:#x} {high:#x}"] if high else []),
        f"outl {fw_cfg.PORT_DMA_LOW:#x} {low:#x}",
        f"read {at:#x} {len(data)}",
    ]
