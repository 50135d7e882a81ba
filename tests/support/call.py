"""Calls one 32-bit routine of an image in unicorn, its registers poisoned."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

from unicorn import (
    UC_ARCH_X86,
    UC_HOOK_CODE,
    UC_HOOK_INSN,
    UC_HOOK_MEM_WRITE,
    UC_MODE_32,
    Uc,
)
from unicorn import x86_const as ux

from fwbuild.abi import fw_cfg, offsets, x86
from fwbuild.firmware import layout
from fwbuild.firmware.layout import ROM
from fwbuild.image.build import Image

RAM_SIZE = 64 << 20
RETURN = 0x3000000  # no code there: the run ends when it is reached
LIMIT = 2_000_000  # instructions
CODE_REGISTERS = "eax ebx ecx edx esi edi ebp esp eflags ds es fs gs ss cr0 cr3 cr4".split()
JUMPS = (0xE9, 0xEB)  # jmp, near and short
DMA_CONTROL = offsets(fw_cfg.DMA)["control"]
STATUS = 0xCD5  # the flags that instructions compute, and DF


@dataclass
class Called:
    """The effects of a call. `writes` are (address, bytes) pairs, those of DMA as well; `fell` are
    the routines that were entered from the end of the one before them."""

    returned: bool
    changed: set[str]
    writes: list[tuple[int, int]] = field(default_factory=list)
    fell: list[str] = field(default_factory=list)


def read(uc: Uc, name: str) -> int:
    value = int(uc.reg_read(getattr(ux, f"UC_X86_REG_{name.upper()}")))
    return value & STATUS if name == "eflags" else value


def call(
    image: Image, routine: str, registers: Mapping[str, int], memory: Mapping[int, int]
) -> Called:
    """Call `routine`; `memory` holds 32-bit words by address."""
    uc = Uc(UC_ARCH_X86, UC_MODE_32)
    uc.mem_map(0, RAM_SIZE)
    uc.mem_map(ROM.base, ROM.size)
    uc.mem_map(x86.APIC_BASE, x86.APIC_SIZE)
    uc.mem_write(ROM.base, image.image)
    for address, value in memory.items():
        uc.mem_write(address, value.to_bytes(4, "little"))
    for number, name in enumerate(CODE_REGISTERS[:7]):
        poison = 0xA5A50000 + number * 0x1111
        uc.reg_write(getattr(ux, f"UC_X86_REG_{name.upper()}"), registers.get(name, poison))
    stack = layout.region("stack").end - 4
    uc.mem_write(stack, RETURN.to_bytes(4, "little"))
    uc.reg_write(ux.UC_X86_REG_ESP, stack)
    before = {name: read(uc, name) for name in CODE_REGISTERS}
    signature = itertools.cycle(b"QEMU")
    writes: list[tuple[int, int]] = []

    def port_in(_uc: Uc, port: int, size: int, _data: object) -> int:
        return next(signature) if port == fw_cfg.PORT_DATA else (1 << 8 * size) - 1

    def port_out(_uc: Uc, port: int, _size: int, value: int, _data: object) -> None:
        if port == fw_cfg.PORT_DMA_LOW:
            at = int.from_bytes(value.to_bytes(4, "little"), "big")
            asked = fw_cfg.DMA.parse(uc.mem_read(at, fw_cfg.DMA.sizeof()))
            if asked.control & fw_cfg.DmaControl.READ:
                writes.append((asked.address, asked.length))
            uc.mem_write(at + DMA_CONTROL, bytes(4))

    def wrote(_uc: Uc, _access: int, address: int, size: int, _value: int, _data: object) -> None:
        writes.append((address, size))

    starts = {image.linked.addresses[f.name]: f.name for f in image.linked.fragments}
    last = [0, 0]
    fell: list[str] = []

    def step(_uc: Uc, address: int, size: int, _data: object) -> None:
        if address in starts and sum(last) == address and uc.mem_read(last[0], 1)[0] not in JUMPS:
            fell.append(starts[address])
        last[:] = address, size

    uc.hook_add(UC_HOOK_CODE, step)
    uc.hook_add(UC_HOOK_INSN, port_in, None, 1, 0, ux.UC_X86_INS_IN)
    uc.hook_add(UC_HOOK_INSN, port_out, None, 1, 0, ux.UC_X86_INS_OUT)
    uc.hook_add(UC_HOOK_MEM_WRITE, wrote)
    uc.emu_start(image.linked.addresses[routine], RETURN, 0, LIMIT)
    before["esp"] += 4
    changed = {name for name in CODE_REGISTERS if read(uc, name) != before[name]}
    return Called(int(uc.reg_read(ux.UC_X86_REG_EIP)) == RETURN, changed, writes, fell)
