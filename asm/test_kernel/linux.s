# The test kernel as the protected-mode part of a bzImage: prints its boot_params.

#: the 32-bit entry, at the start of what is loaded
#: mode: 32
#: in: esi boot_params
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, esp, eflags
#: returns: never
#: source: Linux Documentation/arch/x86/boot.rst "32-bit Boot Protocol"
test_linux_entry:
    mov esp, test_kernel.STACK_END
    mov ebx, esi
    mov esi, text_boot_params
    mov eax, ebx
    call print_field
    mov esi, text_magic
    mov eax, dword ptr [ebx + linux_boot.BOOT_PARAMS.hdr.header]
    call print_field
    mov esi, text_version
    movzx eax, word ptr [ebx + linux_boot.BOOT_PARAMS.hdr.version]
    call print_field
    mov esi, text_rsdp
    call print_string
    lea edi, [ebx + linux_boot.BOOT_PARAMS.acpi_rsdp_addr]
    call print_u64
    mov esi, text_cmdline
    call print_string
    mov esi, dword ptr [ebx + linux_boot.BOOT_PARAMS.hdr.cmd_line_ptr]
    call print_string
    mov esi, text_initrd
    mov eax, dword ptr [ebx + linux_boot.BOOT_PARAMS.hdr.ramdisk_image]
    call print_field
    mov al, ' '
    call print_char
    mov eax, dword ptr [ebx + linux_boot.BOOT_PARAMS.hdr.ramdisk_size]
    call print_u32
    mov edi, dword ptr [ebx + linux_boot.BOOT_PARAMS.hdr.setup_data]
.setup_data:
    test edi, edi
    jz .memmap
    mov esi, text_setup_data
    mov eax, edi
    call print_field
    mov esi, text_type
    mov eax, dword ptr [edi + linux_boot.SETUP_DATA.type]
    call print_field
    mov al, ' '
    call print_char
    mov eax, dword ptr [edi + linux_boot.SETUP_DATA.len]
    call print_u32
    mov edi, dword ptr [edi + linux_boot.SETUP_DATA.next]
    jmp .setup_data
.memmap:
    movzx ebp, byte ptr [ebx + linux_boot.BOOT_PARAMS.e820_entries]
    lea edi, [ebx + linux_boot.BOOT_PARAMS.e820_table]
.range:
    dec ebp
    js .done
    call print_range
    add edi, e820.ENTRY.sizeof
    jmp .range
.done:
    mov al, '\n'
    call print_char
    mov al, test_kernel.EXIT_BAD
    cmp dword ptr [ebx + linux_boot.BOOT_PARAMS.hdr.header], 'HdrS'
    jnz .exit
    mov al, test_kernel.EXIT_OK
.exit:
    jmp exit_and_halt

#: the first line, up to the address of boot_params
#: mode: data
text_boot_params:
    .asciz "test kernel: boot_params at "

#: comes before the initrd's address and size
#: mode: data
text_initrd:
    .asciz "\ninitrd  "

#: comes before an entry of the setup_data list
#: mode: data
text_setup_data:
    .asciz "\nsetup_data "
