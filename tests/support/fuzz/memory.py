"""Guest memory that goes back to what it was at reset: only what a run wrote is put back."""

import ctypes
import mmap
from collections.abc import Iterable
from itertools import pairwise

from unicorn import UC_PROT_ALL, UC_PROT_READ, UC_PROT_WRITE

from fwbuild.abi import chipset, e820
from fwbuild.abi.x86 import PAGE
from fwbuild.emulator.memory import Memory
from fwbuild.emulator.recording import Recording
from fwbuild.firmware import layout
from fwbuild.kernel.placed import Placed, placed
from tests.support.fuzz.native import GRANULE

DATA = UC_PROT_READ | UC_PROT_WRITE
# The firmware's code in RAM: what the other CPUs start at, and the BIOS calls.
CODE_PAGES = tuple(
    (base // PAGE * PAGE, -(-end // PAGE) * PAGE)
    for base, end in (
        (layout.region("scratch").base, layout.region("scratch").base + PAGE),
        (layout.BIOS.base, layout.BIOS.end),
    )
)
SPARE = 1 << 20  # bytes of a longer DMA transfer of zeros that are really written


class LeanMemory(Memory):
    """Memory whose RAM below 4 GiB is Python's own. Kernels cannot run in it: a jump out of the
    firmware ends the run. `transfers` are the [address, end) that devices wrote."""

    def _map_ram(self, recording: Recording, end_of_low: int) -> None:
        self.transfers: list[tuple[int, int]] = []
        self._low: list[tuple[int, int, memoryview]] = []  # [base, end) and their bytes
        self._kept: list[mmap.mmap] = []
        for base, size in recording.ram():
            if base >= e820.FOUR_GIB:
                continue
            buffer = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            self._kept.append(buffer)
            self._low.append((base, base + size, memoryview(buffer)))
            start = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
            for low, high in pairwise(_cuts(base, base + size, end_of_low)):
                if base == 0 and end_of_low <= low < e820.EXTENDED:
                    continue  # the image's alias
                code = any(low < end and begin < high for begin, end in CODE_PAGES)
                shadow = e820.OPTION_ROM <= low < e820.EXTENDED
                rights = UC_PROT_ALL if code or shadow else DATA
                self._uc.mem_map_ptr(low, high - low, rights, start + low - base)

    def freeze(self, loaded: Iterable[Placed]) -> None:
        """What is in memory now is what restore() puts back: the first MiB, and what the loader
        put in."""
        self._pristine: list[bytearray | mmap.mmap] = []
        for base, end, view in self._low:
            copy = mmap.mmap(-1, end - base, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            for part in (placed(0, bytes(e820.EXTENDED)), *loaded):
                low, high = max(part.address, base) - base, min(part.end, end) - base
                if low < high:
                    copy[low:high] = view[low:high]
            self._pristine.append(copy)
        self._rom_image = bytes(self._buffer)
        self._frozen_closed = dict(self._closed)
        self.transfers.clear()

    def restore(self, granules: list[int]) -> None:
        """Put back these granules, and what devices wrote."""
        for segment in self._rom:
            if segment in self._frozen_closed and segment not in self._closed:
                self.shadow(segment, chipset.PAM_SEGMENT, writable=False)
        self._closed.update(self._frozen_closed)
        for granule in granules:
            self._put_back(granule * GRANULE, GRANULE)
        for start, end in self.transfers:
            self._put_back(start, end - start)
        self.transfers.clear()
        self.writes.clear()

    def note_stores(self, granules: Iterable[int]) -> None:
        """Let `writes` have the pages of what the CPU wrote."""
        self.writes.update(granule * GRANULE // PAGE for granule in granules)

    def _put_back(self, start: int, size: int) -> None:
        for (base, end, view), pristine in zip(self._low, self._pristine, strict=True):
            low, high = max(start, base), min(start + size, end)
            if low >= high:
                continue
            if base == 0 and e820.OPTION_ROM <= low < e820.EXTENDED:
                self._put_back_low(low, high, pristine)
            else:
                view[low - base : high - base] = pristine[low - base : high - base]
            return
        for piece in self._pieces:
            if piece <= start < piece + 0x200000:
                self._uc.mem_write(start, bytes(size))

    def _put_back_low(self, low: int, high: int, pristine: "mmap.mmap | bytearray") -> None:
        """Below 1 MiB: the image's alias, a closed segment's ROM, or RAM."""
        if self._alias <= low and not self._rom:
            at = len(self._rom_image) - (e820.EXTENDED - low)
            self._buffer[at : at + high - low] = self._rom_image[at : at + high - low]
        elif low // chipset.PAM_SEGMENT * chipset.PAM_SEGMENT not in self._rom:
            self._low[0][2][low:high] = pristine[low:high]

    def dma_read(self, address: int, size: int) -> tuple[bytes, bool]:
        if address + size <= e820.VGA:
            return bytes(self._low[0][2][address : address + size]), True
        return super().dma_read(address, size)

    def dma_write(self, address: int, data: bytes) -> bool:
        end = address + len(data)
        self.transfers.append((address, end))
        for base, top, view in self._low:
            if base <= address and end <= top and not (address < e820.EXTENDED and end > e820.VGA):
                self.writes.update(range(address // PAGE, (end - 1) // PAGE + 1))
                view[address - base : end - base] = data
                return True
        return super().dma_write(address, data)


def _cuts(base: int, end: int, end_of_low: int) -> list[int]:
    """Where a range of RAM is cut: at 1 MiB and below, for each part has rights of its own."""
    cuts = {base, end}
    if base == 0:
        cuts |= {at for pages in CODE_PAGES for at in pages}
        cuts |= set(range(e820.OPTION_ROM, e820.EXTENDED + 1, chipset.PAM_SEGMENT))
    return sorted(cuts)
