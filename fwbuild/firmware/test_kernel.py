"""The project's own test kernel: where it lies, and what it tells isa-debug-exit."""

from fwbuild.abi import multiboot

BASE = 0x100000  # where it is linked and loaded
MULTIBOOT_FLAGS = multiboot.HeaderFlag.ALIGN_MODULES | multiboot.HeaderFlag.MEMORY_INFO
STACK_END = BASE + 0x4000  # its memory, code and stack, ends here
SPOILT = 0x5A  # what it fills memory with that another kernel would use
EXIT_OK = 0x01  # QEMU ends with status 3
EXIT_BAD = 0x02  # EBX pointed at no hvm_start_info: status 5
TICK_PATIENCE = 1 << 28  # looks at the BIOS's ticks before they are said to stand still
