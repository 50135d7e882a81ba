# The test kernel: prints what a PVH loader handed over, and leaves through isa-debug-exit.
# It is never part of a firmware image; it only borrows its print routines.

#: the PVH entry
#: mode: 32
#: in: ebx hvm_start_info
#: out: -
#: clobbers: eax, ecx, edx, esi, edi, ebp, esp, eflags
#: returns: never
#: source: Xen docs/misc/pvh.pandoc
test_kernel_entry:
    mov esp, test_kernel.STACK_END
    call test_spoil
    mov esi, text_start_info
    mov eax, ebx
    call print_field
    mov esi, text_magic
    mov eax, dword ptr [ebx + pvh.START_INFO.magic]
    call print_field
    mov esi, text_version
    mov eax, dword ptr [ebx + pvh.START_INFO.version]
    call print_field
    mov esi, text_rsdp
    call print_string
    lea edi, [ebx + pvh.START_INFO.rsdp_paddr]
    call print_u64
    mov esi, text_cmdline
    call print_string
    mov esi, dword ptr [ebx + pvh.START_INFO.cmdline_paddr]
    test esi, esi
    jz .modules
    call print_string
.modules:
    mov ebp, dword ptr [ebx + pvh.START_INFO.nr_modules]
    mov edi, dword ptr [ebx + pvh.START_INFO.modlist_paddr]
.module:
    dec ebp
    js .memmap
    mov esi, text_module
    call print_pair
    add edi, pvh.MODLIST_ENTRY.sizeof
    jmp .module
.memmap:
    mov ebp, dword ptr [ebx + pvh.START_INFO.memmap_entries]
    mov edi, dword ptr [ebx + pvh.START_INFO.memmap_paddr]
.range:
    dec ebp
    js .done
    call print_range
    add edi, pvh.MEMMAP_ENTRY.sizeof
    jmp .range
.done:
    mov al, '\n'
    call print_char
    mov al, test_kernel.EXIT_BAD
    cmp dword ptr [ebx + pvh.START_INFO.magic], pvh.START_INFO_MAGIC
    jnz .exit
    mov al, test_kernel.EXIT_OK
.exit:
    jmp exit_and_halt

#: fill memory below 1 MiB that another kernel would use by now
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ecx, esi, edi, eflags
#: source: fwbuild/abi/low_memory.py
test_spoil:
    mov esi, test_spoils
.next:
    lodsd
    xchg ecx, eax
    jecxz .done
    lodsd
    xchg edi, eax
    mov al, test_kernel.SPOILT
    rep stosb
    jmp .next
.done:
    ret

#: print a label, an address and a size: modules and memory ranges both start with the two
#: mode: 32
#: in: esi label, edi entry
#: out: -
#: clobbers: eax, ecx, edx, esi, eflags
#: source: Xen public/arch-x86/hvm/start_info.h
print_pair:
    call print_string
    call print_u64
    mov al, ' '
    call print_char
    add edi, pvh.MEMMAP_ENTRY.size
    call print_u64
    sub edi, pvh.MEMMAP_ENTRY.size
    ret

#: print a range of memory: address, size and type stand in each protocol's map as they do in e820
#: mode: 32
#: in: edi entry
#: out: -
#: clobbers: eax, ecx, edx, esi, eflags
#: source: ACPI 6.5, 15; Xen public/arch-x86/hvm/start_info.h; Multiboot Specification 0.6.96, 3.3
print_range:
    mov esi, text_range
    call print_pair
    mov esi, text_type
    mov eax, dword ptr [edi + e820.ENTRY.type]
    jmp print_field

#: print a label and 8 hexadecimal digits
#: mode: 32
#: in: eax number, esi label
#: out: -
#: clobbers: eax, ecx, edx, esi, eflags
#: source: -
print_field:
    push eax
    call print_string
    pop eax
    jmp print_u32

#: print 16 hexadecimal digits
#: mode: 32
#: in: edi address of a 64-bit number
#: out: -
#: clobbers: eax, ecx, edx, eflags
#: source: -
print_u64:
    mov eax, dword ptr [edi + 4]
    call print_u32
    mov eax, dword ptr [edi]
    jmp print_u32

#: print 8 hexadecimal digits
#: mode: 32
#: in: eax number
#: out: -
#: clobbers: eax, ecx, edx, eflags
#: source: -
print_u32:
    mov ecx, 8
    jmp print_hex

#: the words of the report
#: mode: data
text_start_info:
    .asciz "test kernel: hvm_start_info at "

#: comes before hvm_start_info's magic
#: mode: data
text_magic:
    .asciz "\nmagic   "

#: comes before its version
#: mode: data
text_version:
    .asciz "\nversion "

#: comes before the RSDP's address
#: mode: data
text_rsdp:
    .asciz "\nrsdp    "

#: comes before the command line
#: mode: data
text_cmdline:
    .asciz "\ncmdline "

#: comes before a module: its address, its size, what it holds
#: mode: data
text_module:
    .asciz "\nmodule  "

#: comes before a range of the memory map
#: mode: data
text_range:
    .asciz "\nmemory  "

#: comes before the range's type
#: mode: data
text_type:
    .asciz " type "
