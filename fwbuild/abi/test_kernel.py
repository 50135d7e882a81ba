"""What the project's own test kernel writes to isa-debug-exit when it is done."""

EXIT_OK = 0x01  # handed over cleanly: QEMU ends with status 3
