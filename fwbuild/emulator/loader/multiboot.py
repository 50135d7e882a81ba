"""A Multiboot kernel: QEMU makes one piece of it, its modules and all texts.

Source: QEMU 7.2, hw/i386/multiboot.c load_multiboot.
"""

import re
from pathlib import Path

from fwbuild.abi import multiboot
from fwbuild.abi.fw_cfg import Key
from fwbuild.abi.multiboot import InfoFlag
from fwbuild.emulator.loader.loaded import Loaded, numbers
from fwbuild.emulator.recording import Recording
from fwbuild.files import read_file
from fwbuild.guest import Guest
from fwbuild.kernel.multiboot import parse_multiboot

INFO_ADDR, MMAP_ADDR = 0x9500, 0x9000  # QEMU's; the firmware uses places of its own
BOOT_DEVICE = 0x8000FFFF
LOADER_NAME = b"qemu\0"
PAGE = 4096


def _aligned(data: bytes) -> bytes:
    return data.ljust(-(-len(data) // PAGE) * PAGE, b"\0")


def load(guest: Guest, recording: Recording, data: bytes, where: str) -> Loaded:
    """`data` is the kernel's file; errors name `where`. The guest's initrd is QEMU's -initrd: a
    list `FILE ARGUMENTS,FILE ARGUMENTS` of modules, commas in them doubled."""
    kernel = parse_multiboot(data, where)
    named = re.split(r"(?<!,),(?!,)", str(guest.initrd)) if guest.initrd else []
    modules = [module.replace(",,", ",") for module in named]
    texts = [module.encode() + b"\0" for module in modules]
    texts.append(f"{where} {guest.append}".encode() + b"\0")
    # QEMU leaves room for the whole -initrd once more; nobody looks at what is there.
    room = len(where) + 1 + len(guest.append) + 1
    room += len(str(guest.initrd)) + 1 if guest.initrd else 0
    list_at = kernel.address + len(_aligned(kernel.content))
    texts_at = list_at + len(modules) * multiboot.MODULE.sizeof()
    end = texts_at + room + len(LOADER_NAME)
    files_at = -(-end // PAGE) * PAGE
    entries, files = b"", b""
    at = texts_at
    for module, text in zip(modules, texts, strict=False):
        content = read_file(Path(module.partition(" ")[0]))
        start = files_at + len(files)
        entries += multiboot.MODULE.build(
            {"start": start, "end": start + len(content), "cmdline": at, "reserved": 0}
        )
        files += _aligned(content)
        at += len(text)
    middle = entries + b"".join(texts).ljust(room, b"\0") + LOADER_NAME
    blob = _aligned(kernel.content) + _aligned(middle) + files
    info = multiboot.INFO.parse(bytes(multiboot.INFO.sizeof()))
    info.flags = (
        InfoFlag.MEMORY
        | InfoFlag.BOOT_DEVICE
        | InfoFlag.CMDLINE
        | InfoFlag.MODULES
        | InfoFlag.MMAP
        | InfoFlag.BOOT_LOADER_NAME
    )
    info.boot_device = BOOT_DEVICE
    info.cmdline = at
    info.mods_count, info.mods_addr = len(modules), list_at
    info.mmap_addr = MMAP_ADDR
    info.boot_loader_name = texts_at + room
    keys = numbers(
        {
            Key.KERNEL_ADDR: kernel.address,
            Key.KERNEL_SIZE: len(blob),
            Key.KERNEL_ENTRY: kernel.entry,
            Key.SETUP_ADDR: 0,
            Key.SETUP_SIZE: 0,
            Key.CMDLINE_ADDR: 0,
            Key.CMDLINE_SIZE: 0,
            Key.INITRD_ADDR: INFO_ADDR,
            Key.INITRD_SIZE: multiboot.INFO_SIZE_QEMU,
        }
    )
    keys |= {
        Key.KERNEL_DATA: blob,
        Key.INITRD_DATA: multiboot.INFO.build(info)[: multiboot.INFO_SIZE_QEMU],
    }
    return Loaded("multiboot", kernel.entry, [], keys)
