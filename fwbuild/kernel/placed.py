"""Bytes of a kernel in physical memory, compared and written piece by piece: a kernel of a file
of some MiB may take all of memory for its zeros."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

PIECE = 1 << 20  # bytes
ZEROS = bytes(PIECE)


@dataclass(frozen=True)
class Placed:
    """`content` at a physical address, and zeros after it up to `size` bytes."""

    address: int
    content: memoryview
    size: int

    @property
    def end(self) -> int:
        """The address after its last byte."""
        return self.address + self.size

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """All of it as (address, bytes), in order."""
        whole = len(self.content)
        for at in range(0, whole, PIECE):
            yield self.address + at, bytes(self.content[at : at + PIECE])
        for at in range(whole, self.size, PIECE):
            yield self.address + at, ZEROS[: self.size - at]

    def sha256(self) -> str:
        """Of all its bytes, zeros included."""
        found = hashlib.sha256()
        for _, piece in self.pieces():
            found.update(piece)
        return found.hexdigest()

    def is_at(self, read: Callable[[int, int], bytes]) -> bool:
        """Whether memory holds it."""
        return all(read(at, len(piece)) == piece for at, piece in self.pieces())

    def put(self, read: Callable[[int, int], bytes], write: Callable[[int, bytes], object]) -> None:
        """Write it where memory differs: untouched memory is zeros that take no room."""
        for at, piece in self.pieces():
            if read(at, len(piece)) != piece:
                write(at, piece)


def placed(address: int, data: bytes) -> Placed:
    """Bytes at an address, without zeros after them."""
    return Placed(address, memoryview(data), len(data))
