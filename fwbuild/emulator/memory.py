"""Guest physical memory: RAM, the ROM, the ROM's alias below 1 MiB, and where nothing is.

Source: QEMU, hw/i386/x86.c x86_bios_rom_init (the ROM and its alias), hw/pci-host/pam.c,
softmmu/physmem.c and memory.c (what an access without memory does).
"""

import ctypes
import mmap
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from unicorn import (
    UC_HOOK_MEM_FETCH_UNMAPPED,
    UC_HOOK_MEM_READ_UNMAPPED,
    UC_HOOK_MEM_WRITE_PROT,
    UC_HOOK_MEM_WRITE_UNMAPPED,
    UC_MEM_FETCH_UNMAPPED,
    UC_PROT_ALL,
    UC_PROT_EXEC,
    UC_PROT_READ,
    UC_PROT_WRITE,
    Uc,
    UcError,
)

from fwbuild.abi import chipset, e820
from fwbuild.abi.x86 import PAGE
from fwbuild.emulator.recording import Recording

PIECE = 0x200000  # of RAM above 4 GiB, mapped when it is first used: a TiB cannot be at once
ALIAS_MAX = 0x20000  # of the image's end, below 1 MiB
OPTION_ROM_END = e820.OPTION_ROM + 0x20000
TOP = 1 << 64
READ_ONLY = UC_PROT_READ | UC_PROT_EXEC

Log = Callable[[str, int, int, int], None]  # "read" or "write", address, size, value


class Memory:
    """The memory of a machine at reset. RAM starts filled with `poison` below the VGA window
    and under the ROM; `log` hears of the CPU's accesses where nothing is, which read as 0.
    `writes` are the pages that the CPU or a device wrote, `holes` those that are mapped for
    one access, which release() ends."""

    def __init__(self, uc: Uc, recording: Recording, image: bytes, poison: int, log: Log) -> None:
        self.writes: set[int] = set()
        self._uc, self._log = uc, log
        self.holes: set[int] = set()
        self._high = [(a, a + s) for a, s in recording.ram() if a >= e820.FOUR_GIB]
        self._pieces: set[int] = set()  # of `_high`, mapped
        self._closed: dict[int, bytes] = {}  # PAM segments: the RAM under each ROM
        self._rom: dict[int, bytes] = {}  # and what their ROM holds
        self._alias = e820.EXTENDED - min(len(image), ALIAS_MAX)
        shadow = recording.family.shadow_ram
        self._map_ram(recording, e820.EXTENDED if shadow else self._alias)
        self._map_rom(image, writable=not shadow)
        uc.mem_write(0, bytes([poison]) * e820.VGA)
        if shadow:
            self._close(image, poison)
        unmapped = UC_HOOK_MEM_READ_UNMAPPED | UC_HOOK_MEM_WRITE_UNMAPPED
        uc.hook_add(unmapped | UC_HOOK_MEM_FETCH_UNMAPPED, self._on_unmapped)
        uc.hook_add(UC_HOOK_MEM_WRITE_PROT, lambda *_: True)  # writes to ROM are dropped

    def inherit(self, before: "Memory") -> None:
        """Take over what was written to another machine's RAM: a reset leaves it there. PAM is
        closed here, so RAM that it hid or showed is taken from where it is."""
        for page in sorted(before.writes):
            base = page * PAGE
            segment = base // chipset.PAM_SEGMENT * chipset.PAM_SEGMENT
            if segment in before._rom and segment in before._closed:
                data = before._closed[segment][base - segment :][:PAGE]
            else:
                data = before.read(base, PAGE)
            if segment in self._closed:
                old, at = self._closed[segment], base - segment
                self._closed[segment] = old[:at] + data + old[at + PAGE :]
            else:
                self._uc.mem_write(base, data)

    def read(self, address: int, size: int) -> bytes:
        """The bytes there; MemoryError unless there is memory for all of them."""
        try:
            return bytes(self._uc.mem_read(address, size))
        except UcError:
            data, whole = self.dma_read(address, size)
        if not whole:
            raise MemoryError(f"no memory at {address:#x}")
        return data

    def dma_read(self, address: int, size: int) -> tuple[bytes, bool]:
        """A device's read: the bytes, 0 where there is no memory, and whether it was there."""
        data, whole = b"", True
        for at, length, rights in self._parts(address, size):
            data += self._uc.mem_read(at, length) if rights else bytes(length)
            whole &= bool(rights)
        return data, whole

    def dma_write(self, address: int, data: bytes) -> bool:
        """A device's write, as far as there is RAM; whether there was for all of it."""
        done, whole = 0, True
        for at, length, rights in self._parts(address, len(data)):
            if rights & UC_PROT_WRITE:
                self.note_write(at, length)
                self._uc.mem_write(at, data[done : done + length])
                self._uc.ctl_remove_cache(at, at + length)  # it may have been code
            done += length
            whole &= bool(rights & UC_PROT_WRITE)
        return whole

    def is_noted(self, address: int, size: int) -> bool:
        """Whether the pages are in `writes` already."""
        writes = self.writes
        return address // PAGE in writes and (address + size - 1) // PAGE in writes

    def note_write(self, address: int, size: int) -> None:
        """Keep in mind which pages were written."""
        self.writes.update(range(address // PAGE, (address + size - 1) // PAGE + 1))

    def shadow(self, base: int, size: int, writable: bool) -> None:
        """Set [base, base + size) as PAM does: RAM, or the ROM before it, if there is one."""
        for segment in range(base, base + size, chipset.PAM_SEGMENT):
            if segment not in self._rom or writable == (segment not in self._closed):
                continue
            if writable:
                self._uc.mem_write(segment, self._closed.pop(segment))
            else:
                self._closed[segment] = self.read(segment, chipset.PAM_SEGMENT)
                self._uc.mem_write(segment, self._rom[segment])
            rights = UC_PROT_ALL if writable else READ_ONLY
            self._uc.mem_protect(segment, chipset.PAM_SEGMENT, rights)

    def release(self) -> None:
        """Make holes of the pages again that were mapped for an access, which is over."""
        while self.holes:
            self._uc.mem_unmap(self.holes.pop(), PAGE)

    def _map_ram(self, recording: Recording, end_of_low: int) -> None:
        """Map all that lies below 4 GiB. `end_of_low` is where the first MiB ends being RAM."""
        for base, size in recording.ram():
            if base == 0:
                # Each PAM segment on its own: unicorn copies a region that it has to split.
                segments = range(e820.OPTION_ROM, end_of_low + 1, chipset.PAM_SEGMENT)
                for low, high in pairwise((0, *segments)):
                    self._uc.mem_map(low, high - low, UC_PROT_ALL)
                self._uc.mem_map(e820.EXTENDED, size - e820.EXTENDED, UC_PROT_ALL)
            elif base < e820.FOUR_GIB:
                self._uc.mem_map(base, size, UC_PROT_ALL)

    def _map_rom(self, image: bytes, *, writable: bool) -> None:
        """microvm's ROM is RAM, and its alias the same memory."""
        self._buffer = mmap.mmap(-1, len(image))
        self._buffer[:] = image
        pointer = ctypes.addressof(ctypes.c_char.from_buffer(self._buffer))
        rights = UC_PROT_ALL if writable else READ_ONLY
        self._uc.mem_map_ptr(e820.FOUR_GIB - len(image), len(image), rights, pointer)
        if writable:
            size = e820.EXTENDED - self._alias
            self._uc.mem_map_ptr(self._alias, size, rights, pointer + len(image) - size)

    def _close(self, image: bytes, poison: int) -> None:
        """The state of PAM at reset: option ROM space is an empty ROM, and what the image's
        alias leaves of the segments below 1 MiB is RAM."""
        option_rom = range(e820.OPTION_ROM, OPTION_ROM_END, chipset.PAM_SEGMENT)
        for segment in (*option_rom, *range(self._alias, e820.EXTENDED, chipset.PAM_SEGMENT)):
            begin = len(image) - (e820.EXTENDED - segment)
            alias = segment >= self._alias
            content = image[begin : begin + chipset.PAM_SEGMENT] if alias else b""
            self._rom[segment] = content.ljust(chipset.PAM_SEGMENT, b"\0")
            self._uc.mem_write(segment, bytes([poison]) * chipset.PAM_SEGMENT)
            self.shadow(segment, chipset.PAM_SEGMENT, writable=False)

    def _parts(self, address: int, size: int) -> Iterator[tuple[int, int, int]]:
        """(address, size, unicorn's rights) of each stretch of a range, no rights in a hole. A
        range wraps at 2^64."""
        address %= TOP
        first = min(size, TOP - address)
        yield from self._stretches(address, first)
        if size > first:
            yield from self._stretches(0, size - first)

    def _stretches(self, at: int, size: int) -> Iterator[tuple[int, int, int]]:
        self._populate(at, size)
        end = at + size
        for first, last, rights in sorted(self._uc.mem_regions()):
            if last < at or first >= end or first in self.holes:
                continue
            if at < first:
                yield at, first - at, 0
                at = first
            length = min(last + 1, end) - at
            yield at, length, rights
            at += length
        if at < end:
            yield at, end - at, 0

    def _populate(self, address: int, size: int) -> bool:
        """Map the RAM above 4 GiB that a range touches; whether that gave new memory."""
        before = len(self._pieces)
        for low, high in self._high:
            begin, end = max(address, low), min(address + size, high)
            for piece in range(begin // PIECE * PIECE, end if begin < end else 0, PIECE):
                base = max(piece, low)
                if base not in self._pieces:
                    self._uc.mem_map(base, min(piece + PIECE, high) - base, UC_PROT_ALL)
                    self._pieces.add(base)
        return len(self._pieces) > before

    def _on_unmapped(
        self, uc: Uc, kind: int, address: int, size: int, _value: int, _data: Any
    ) -> bool:
        """Let an access reach RAM above 4 GiB, or a page that answers for the hole until the
        access is over. Nothing can be executed from a hole."""
        if self._populate(address, size):
            return True
        if kind == UC_MEM_FETCH_UNMAPPED:
            return False
        page = address // PAGE * PAGE

        def on_read(_uc: Uc, offset: int, width: int, _data: Any) -> int:
            self._log("read", page + offset, width, 0)
            return 0

        def on_write(_uc: Uc, offset: int, width: int, value: int, _data: Any) -> None:
            self._log("write", page + offset, width, value)

        uc.mmio_map(page, PAGE, on_read, None, on_write, None)
        self.holes.add(page)
        return True
