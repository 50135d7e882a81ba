"""fwbuild: builds a tiny firmware image for QEMU/KVM, and tells what it does."""

__version__ = "0.1.0"
