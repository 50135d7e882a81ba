"""The version of fwbuild, which an image says of itself, and its day."""

__version__ = "0.1.0"
RELEASED = "2026-11-26"
