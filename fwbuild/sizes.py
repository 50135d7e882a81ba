"""Sizes in bytes: their units, and alignment to a unit."""

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30


def align_up(value: int, unit: int) -> int:
    """The first multiple of `unit` that is not below `value`."""
    return -(-value // unit) * unit


def padded(data: bytes, unit: int) -> bytes:
    """Bytes with zeros up to the next multiple of `unit`."""
    return data.ljust(align_up(len(data), unit), b"\0")
