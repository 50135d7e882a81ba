"""The bench's first user program: where it lies, and what it tells isa-debug-exit."""

BASE = 0x400000  # its virtual address
EXIT_USER = 0x71  # it ran: no stop code of the firmware's, no end of the test kernel's
REFUSED_SIZE = 28  # bytes of its complaint
