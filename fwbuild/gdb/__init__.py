"""A gdb that follows the CPU through its modes, between it and QEMU's gdb stub."""
