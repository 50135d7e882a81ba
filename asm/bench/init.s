# The bench's first user program: it says that it runs, and ends QEMU. It needs no file but itself,
# no library and no kernel option beyond iopl.

#: the entry of a static ELF file
#: mode: 64
#: in: -
#: out: -
#: clobbers: eax, ecx, edx, esi, edi, eflags
#: returns: never
#: source: Linux arch/x86/entry/syscalls/syscall_64.tbl; man iopl(2)
bench_init:
.code64
    mov eax, linux_user.SYS_IOPL
    mov edi, linux_user.IOPL_ALL
    syscall
    test eax, eax
    jnz .refused
    mov eax, trace.Stage.USER
    mov edx, trace.PORT
    out dx, al
    mov eax, bench.EXIT_USER
    mov edx, ports.DEBUG_EXIT
    out dx, al
.refused:
    mov eax, linux_user.SYS_WRITE
    mov edi, linux_user.STDERR
    mov esi, bench_refused
    mov edx, bench.REFUSED_SIZE
    syscall
    # the kernel panics, and says so
    mov eax, linux_user.SYS_EXIT
    mov edi, linux_user.STDERR
    syscall
    hlt

#: what it says where it may not reach a port
#: mode: data
bench_refused:
    .ascii "fwbuild bench: iopl refused\n"
