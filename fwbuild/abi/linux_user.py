"""Linux on x86-64, as far as the bench's first user program asks for it.

Source: Linux, arch/x86/entry/syscalls/syscall_64.tbl.
"""

SYS_WRITE = 1
SYS_EXIT = 60
SYS_IOPL = 172
IOPL_ALL = 3  # every port, to ring 3
STDERR = 2
