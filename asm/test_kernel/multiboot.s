# The test kernel as a Multiboot kernel: prints the information it gets.

#: what QEMU looks for in the first 8 KiB of the file
#: mode: data
test_multiboot_header:
    .long multiboot.HEADER_MAGIC
    .long test_kernel.MULTIBOOT_FLAGS
    .long -multiboot.HEADER_MAGIC - test_kernel.MULTIBOOT_FLAGS

#: the entry
#: mode: 32
#: in: eax magic, ebx information
#: out: -
#: clobbers: eax, ecx, edx, esi, edi, ebp, esp, eflags
#: returns: never
#: source: Multiboot Specification 0.6.96, 3.2
test_multiboot_entry:
    mov esp, test_kernel.STACK_END
    mov ebp, eax
    call test_spoil
    mov esi, text_multiboot
    call print_string
    mov eax, ebx
    call print_u32
    mov esi, text_magic
    mov eax, ebp
    call print_field
    mov esi, text_flags
    mov eax, dword ptr [ebx + multiboot.INFO.flags]
    call print_field
    mov esi, text_lower
    mov eax, dword ptr [ebx + multiboot.INFO.mem_lower]
    call print_field
    mov esi, text_upper
    mov eax, dword ptr [ebx + multiboot.INFO.mem_upper]
    call print_field
    mov esi, text_device
    mov eax, dword ptr [ebx + multiboot.INFO.boot_device]
    call print_field
    mov esi, text_loader
    call print_string
    mov esi, dword ptr [ebx + multiboot.INFO.boot_loader_name]
    call print_string
    mov esi, text_cmdline
    call print_string
    mov esi, dword ptr [ebx + multiboot.INFO.cmdline]
    call print_string
    push ebp
    mov ebp, dword ptr [ebx + multiboot.INFO.mods_count]
    mov edi, dword ptr [ebx + multiboot.INFO.mods_addr]
.module:
    dec ebp
    js .memmap
    mov esi, text_module
    mov eax, dword ptr [edi + multiboot.MODULE.start]
    call print_field
    mov al, ' '
    call print_char
    mov eax, dword ptr [edi + multiboot.MODULE.end]
    call print_u32
    mov al, ' '
    call print_char
    mov esi, dword ptr [edi + multiboot.MODULE.cmdline]
    call print_string
    add edi, multiboot.MODULE.sizeof
    jmp .module
.memmap:
    mov edi, dword ptr [ebx + multiboot.INFO.mmap_addr]
    mov ebp, edi
    add ebp, dword ptr [ebx + multiboot.INFO.mmap_length]
.range:
    cmp edi, ebp
    jae .done
    add edi, multiboot.MMAP_ENTRY.addr
    call print_range
    sub edi, multiboot.MMAP_ENTRY.addr
    add edi, dword ptr [edi + multiboot.MMAP_ENTRY.entry_size]
    add edi, multiboot.MMAP_ENTRY.addr
    jmp .range
.done:
    mov al, '\n'
    call print_char
    pop ebp
    mov al, test_kernel.EXIT_BAD
    cmp ebp, multiboot.LOADER_MAGIC
    jnz .exit
    mov al, test_kernel.EXIT_OK
.exit:
    jmp exit_and_halt

#: the first line, up to the address of the information
#: mode: data
text_multiboot:
    .asciz "test kernel: Multiboot information at "

#: comes before the flags
#: mode: data
text_flags:
    .asciz "\nflags   "

#: comes before mem_lower
#: mode: data
text_lower:
    .asciz "\nlower   "

#: comes before mem_upper
#: mode: data
text_upper:
    .asciz "\nupper   "

#: comes before boot_device
#: mode: data
text_device:
    .asciz "\ndevice  "

#: comes before the loader's name
#: mode: data
text_loader:
    .asciz "\nloader  "
