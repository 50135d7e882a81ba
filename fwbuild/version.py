"""The version of fwbuild; an image says it of itself."""

__version__ = "0.1.0"
