"""What a host offers, and the changes that make a liar of it. Both are text: an input is one line
of JSON, [base, change, ...], so a failure is reproduced by its line.

A change is a list: its kind, then its arguments. `target` is a file's name, or "#" and the key of
a numeric item in hexadecimal. Numbers in a range that the content does not have wrap to it.
"""

import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fwbuild.abi.fw_cfg import FILE_NAME_SIZE, Key
from fwbuild.emulator.machine import Machine
from tests.support.fuzz import contents, honest, lies

Change = list[Any]
ENTRY = struct.Struct(f">IHH{FILE_NAME_SIZE}s")
ADDED = 0x2000  # the first key of a file that the host had not
QEMU_LOADED = (
    Key.KERNEL_SIZE, Key.KERNEL_ADDR, Key.KERNEL_ENTRY, Key.KERNEL_DATA, Key.INITRD_SIZE,
    Key.INITRD_ADDR, Key.INITRD_DATA, Key.CMDLINE_SIZE, Key.CMDLINE_DATA,
)  # fmt: skip
BAKED = "baked/"  # what the bases of that template start with
CONTENT_MAX = 1 << 17  # bytes that a change makes an item of


@dataclass
class Entry:
    """A file as the directory has it; `size` is what it claims."""

    name: bytes
    select: int
    size: int


@dataclass
class Host:
    """The items of fw_cfg by key, the directory's files in order, and how the devices answer."""

    items: dict[int, bytes]
    files: list[Entry]
    count: int | None = None  # that the directory claims
    behaviour: list[Change] = field(default_factory=list)

    @classmethod
    def of(cls, machine: Machine) -> "Host":
        """What a machine has."""
        kept = machine.recording.files
        files = [Entry(f.name.encode(), f.select, f.size) for f in kept]
        return cls(dict(machine.fw_cfg.items), files)

    def directory(self) -> bytes:
        count = len(self.files) if self.count is None else self.count
        entries = (ENTRY.pack(f.size, f.select, 0, f.name) for f in self.files)
        return (count & 0xFFFFFFFF).to_bytes(4, "big") + b"".join(entries)

    def find(self, name: str) -> Entry | None:
        wanted = name.encode("latin-1")
        return next((f for f in self.files if f.name == wanted), None)

    def key(self, target: str) -> int | None:
        """The key of a target, None for a file that is not there."""
        if target.startswith("#"):
            return int(target[1:], 16)
        entry = self.find(target)
        return entry.select if entry else None

    def get(self, target: str) -> bytes:
        return self.items.get(key, b"") if (key := self.key(target)) is not None else b""

    def put(self, target: str, data: bytes) -> None:
        """Let a target hold `data`; a file that is not there is added."""
        key = self.key(target)
        if key is None:
            key = ADDED + len(self.files)
            self.files.append(Entry(target.encode("latin-1"), key, len(data)))
        elif entry := self.find(target):
            entry.size = len(data)
        self.items[key] = data

    def targets(self) -> list[str]:
        """Everything that there is to change."""
        names = [f.name.decode("latin-1") for f in self.files]
        keys = [f"#{int(key):x}" for key in Key if self.items.get(key) and key != Key.FILE_DIR]
        return keys + [name for name in names if self.items.get(self.key(name) or 0)]


def _set(host: Host, target: str, at: int, text: str) -> None:
    data, new = host.get(target), bytes.fromhex(text)
    if data:
        at %= len(data)
        host.put(target, (data[:at] + new + data[at + len(new) :])[: max(len(data), at)])


def _cut(host: Host, target: str, size: int) -> None:
    host.put(target, host.get(target)[:size])


def _grow(host: Host, target: str, size: int, byte: int) -> None:
    data = host.get(target)
    host.put(target, data.ljust(min(len(data) + size, CONTENT_MAX), bytes([byte & 0xFF])))


def _generate(host: Host, target: str, kind: str, seed: int) -> None:
    host.put(target, contents.KINDS[kind](random.Random(seed), host.get(target)))


def _drop(host: Host, target: str) -> None:
    if entry := host.find(target):
        host.files.remove(entry)
    elif target.startswith("#"):
        host.items.pop(int(target[1:], 16), None)


def _claim(host: Host, target: str, size: int) -> None:
    if entry := host.find(target):
        entry.size = size & 0xFFFFFFFF


def _select(host: Host, target: str, key: int) -> None:
    if entry := host.find(target):
        entry.select = key & 0xFFFF


def _name(host: Host, target: str, text: str) -> None:
    if entry := host.find(target):
        entry.name = text.encode("latin-1")


def _twice(host: Host, target: str) -> None:
    if entry := host.find(target):
        host.files.append(Entry(entry.name, entry.select, entry.size))


def _fill(host: Host, files: int) -> None:
    """Many more files, which nobody asks for, ahead of the others."""
    more = [Entry(b"opt/%04x" % i, 0x3000 + i & 0xFFFF, 1) for i in range(files % 0x3FF0)]
    host.files[:0] = more


def _count(host: Host, files: int) -> None:
    host.count = files


def _file(host: Host, kind: str, seed: int) -> None:
    """No kernel of QEMU's, but one in a file that the firmware is to load."""
    for key in QEMU_LOADED:
        host.items.pop(key, None)
    _generate(host, "opt/fwbuild/kernel", kind, seed)


KINDS: dict[str, Callable[..., None]] = {
    "set": _set, "cut": _cut, "grow": _grow, "generate": _generate, "drop": _drop,
    "claim": _claim, "select": _select, "name": _name, "twice": _twice, "fill": _fill,
    "count": _count, "file": _file, "honest": honest.honest,
}  # fmt: skip


@dataclass(frozen=True)
class Input:
    """A base and the changes to it, in order. `base` is one of bases.NAMES."""

    base: str
    changes: tuple[Change, ...]

    @property
    def text(self) -> str:
        return json.dumps([self.base, *self.changes], separators=(",", ":"))

    @property
    def is_honest(self) -> bool:
        """Whether nothing of it is a lie: the guest must boot. An image for baked guests has none
        in the RAM of a base."""
        parts = [tuple(rest[:1]) for kind, *rest in self.changes if kind == "honest"]
        others = {kind for kind, *_ in self.changes} - {"honest", "no dma"}
        return not self.base.startswith(BAKED) and not others and len(set(parts)) == len(parts)

    @classmethod
    def read(cls, text: str) -> "Input":
        base, *changes = json.loads(text)
        return cls(base, tuple(changes))

    def host(self, machine: Machine) -> Host:
        """What the machine offers with the changes. The honest ones, which rely on what the host
        has, come before the lies."""
        host = Host.of(machine)
        for kind, *arguments in sorted(self.changes, key=lambda change: change[0] != "honest"):
            if kind in lies.KINDS:
                host.behaviour.append([kind, *arguments])
            else:
                KINDS[kind](host, *arguments)
        return host

    def apply(self, machine: Machine) -> Host:
        """Make a machine at reset offer that."""
        host = self.host(machine)
        items = host.items
        items[Key.FILE_DIR] = host.directory()
        machine.fw_cfg.items = items
        for kind, *arguments in host.behaviour:
            lies.KINDS[kind](machine, *arguments)
        return host
