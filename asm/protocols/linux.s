# A bzImage by Linux's 32-bit boot protocol. The setup code that a bzImage starts with stays
# unused, and so does every BIOS call it would make.

#: take the header of a bzImage into boot_params, and see whether the host kept to its limits
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, edi, eflags
#: reads: ram.work.item.kernel_size, ram.work.item.kernel_addr, ram.work.item.cmdline_size,
#:   ram.boot_params.hdr, ram.pvh_area.modules, region.cmdline
#: writes: ram.work.kernel_start, ram.work.kernel_span, ram.work.enter, ram.boot_params
#: source: Linux Documentation/arch/x86/boot.rst "32-bit Boot Protocol", zero-page.rst
linux_read:
    mov eax, fw_cfg.Read.SETUP_DATA
    mov ecx, linux_boot.HEADER_END_MAX
    mov edi, ram.boot_params
    call fw_cfg_transfer
    # QEMU hands over anything that it does not know as if it were a bzImage. EDX is the detail of
    # a stop: the protocol's version, 0 where the file has none.
    xor edx, edx
    cmp dword ptr [ram.boot_params.hdr.header], 'HdrS'
    .stop_if nz, stop_codes.KERNEL_KIND
    mov dx, word ptr [ram.boot_params.hdr.version]
    cmp edx, linux_boot.PROTOCOL_MODERN
.if option.protocols.linux16
    jb linux16_read
.else
    .stop_if b, stop_codes.KERNEL_KIND
.endif
    # Outside the header everything starts as zeros: what comes before it,
    xor eax, eax
    mov ecx, linux_boot.HEADER_OFFSET // 4
    rep stosd
    stosb
    # and what comes after it, from where its jump leads; the last dword may pass the page's end
    movzx edi, byte ptr [ram.boot_params.hdr.jump + 1]
    add edi, ram.boot_params + linux_boot.HEADER_JUMP_BASE
    mov ecx, ram.boot_params + linux_boot.BOOT_PARAMS.sizeof + 3
    sub ecx, edi
    shr ecx, 2
    rep stosd
    # The command line may be as long as the header says, and a zero.
    mov edx, dword ptr [ram.work.item.cmdline_size]  # the stop's detail
    mov ecx, edx
    dec ecx
    js .cmdline_fits
    cmp ecx, dword ptr [ram.boot_params.hdr.cmdline_size]
    .stop_if a, stop_codes.CMDLINE_SIZE
.cmdline_fits:
    # The initrd's last byte may be no higher than the header says, unless any address will do.
    call linux_pointers
    test ecx, ecx
    jz .initrd_fits
    test byte ptr [ram.boot_params.hdr.xloadflags], linux_boot.XLoadFlag.CAN_BE_LOADED_ABOVE_4G
    jnz .initrd_fits
    lea ecx, [edx + ecx - 1]
    cmp ecx, dword ptr [ram.boot_params.hdr.initrd_addr_max]
    .stop_if a, stop_codes.INITRD_LIMIT
.initrd_fits:
    mov dword ptr [ram.work.enter], linux_enter
    jmp linux_area

#: let boot_params say where command line and initrd are
#: mode: 32
#: in: -
#: out: edx address of the initrd, ecx its bytes (0 without one)
#: clobbers: -
#: reads: ram.pvh_area.modules, region.cmdline
#: writes: ram.boot_params.hdr
#: source: Linux Documentation/arch/x86/boot.rst "cmd_line_ptr", "ramdisk_image"
linux_pointers:
    mov dword ptr [ram.boot_params.hdr.cmd_line_ptr], region.cmdline.base
    mov edx, dword ptr [ram.pvh_area.modules.paddr]
    mov ecx, dword ptr [ram.pvh_area.modules.size]
    mov dword ptr [ram.boot_params.hdr.ramdisk_image], edx
    mov dword ptr [ram.boot_params.hdr.ramdisk_size], ecx
    ret

#: let kernel_start and kernel_span be all that the kernel uses before it looks at its memory map:
#: where it is loaded, where it moves itself, and after both the host's setup_data. What wraps past
#: 4 GiB has a span that no RAM covers
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, eflags
#: reads: ram.work.item.kernel_size, ram.work.item.kernel_addr, ram.boot_params.hdr
#: writes: ram.work.kernel_start, ram.work.kernel_span, ram.boot_params.hdr.code32_start
#: source: Linux Documentation/arch/x86/boot.rst, "init_size"
linux_area:
    # EBX: the start, EDX: the end of what is loaded
    mov ebx, dword ptr [ram.work.item.kernel_addr]
    mov dword ptr [ram.boot_params.hdr.code32_start], ebx
    mov edx, dword ptr [ram.work.item.kernel_size]
    mov dword ptr [ram.work.kernel_span], -1
    add edx, ebx
    jc .done
    # EAX: where it runs
    cmp dword ptr [ram.boot_params.hdr.pref_address + 4], 0
    jnz .done
    mov eax, dword ptr [ram.boot_params.hdr.pref_address]
    cmp byte ptr [ram.boot_params.hdr.relocatable_kernel], 0
    jz .runs_at
    # It stays where it is loaded, aligned up, unless it prefers a higher address.
    cmp eax, ebx
    jae .align
    mov eax, ebx
.align:
    mov ecx, dword ptr [ram.boot_params.hdr.kernel_alignment]
    dec ecx
    add eax, ecx
    jc .done
    not ecx
    and eax, ecx
.runs_at:
    # the start is the lower of the two, the end the higher
    cmp ebx, eax
    jbe .end
    mov ebx, eax
.end:
    add eax, dword ptr [ram.boot_params.hdr.init_size]
    jc .done
    cmp eax, edx
    jae .setup_data
    mov eax, edx
.setup_data:
    # What the list's first entry and all after it take, if it lies in the kernel's data: they move
    # to the end.
    cmp dword ptr [ram.boot_params.hdr.setup_data + 4], 0
    jnz .size
    sub edx, dword ptr [ram.boot_params.hdr.setup_data]
    cmp edx, dword ptr [ram.work.item.kernel_size]
    ja .size
    add eax, linux_boot.SETUP_DATA_ALIGN - 1
    jc .done
    and eax, -linux_boot.SETUP_DATA_ALIGN
    add eax, edx
    jc .done
.size:
    sub eax, ebx
    mov dword ptr [ram.work.kernel_start], ebx
    mov dword ptr [ram.work.kernel_span], eax
.done:
    ret

#: read the kernel to its place, complete boot_params, and enter the kernel: ESI at
#: boot_params, EBX, EBP and EDI 0, flat segments at the selectors that the protocol asks for
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.memmap_end, ram.work.item.kernel_size, ram.work.kernel_start,
#:   ram.work.kernel_span, ram.boot_params, ram.pvh_area.start_info.rsdp_paddr, region.memmap
#: writes: ram.boot_params.acpi_rsdp_addr, ram.boot_params.e820_entries,
#:   ram.boot_params.hdr.setup_data, ram.boot_params.e820_table
#: returns: never
#: source: Linux Documentation/arch/x86/boot.rst "32-bit Boot Protocol"
linux_enter:
    mov eax, fw_cfg.Read.KERNEL_DATA
    mov ecx, dword ptr [ram.work.item.kernel_size]
    mov edi, dword ptr [ram.boot_params.hdr.code32_start]
    call fw_cfg_transfer
    call linux_move_setup_data
    call linux_tables
    # what the kernel finds in its registers
    xor ebx, ebx
    xor ebp, ebp
    xor edi, edi
    .att lidtl {real_mode_idtr}
    jmp dword ptr [ram.boot_params.hdr.code32_start]

#: let boot_params have the RSDP's address and the memory map
#: mode: 32
#: in: -
#: out: esi boot_params
#: clobbers: eax, edi, eflags
#: reads: ram.work.memmap_end, ram.boot_params, ram.pvh_area.start_info.rsdp_paddr, region.memmap
#: writes: ram.boot_params.acpi_rsdp_addr, ram.boot_params.e820_entries, ram.boot_params.e820_table
#: source: Linux Documentation/arch/x86/zero-page.rst
linux_tables:
    mov eax, dword ptr [ram.pvh_area.start_info.rsdp_paddr]
    mov dword ptr [ram.boot_params.acpi_rsdp_addr], eax
    mov esi, region.memmap.base
    mov edi, ram.boot_params.e820_table
.range:
    .copy_e820_entry
    inc byte ptr [ram.boot_params.e820_entries]
    cmp esi, dword ptr [ram.work.memmap_end]
    jb .range
    mov esi, ram.boot_params
    ret

#: move the setup_data that QEMU appends to the kernel to the end of all that the kernel uses: the
#: kernel would unpack itself over it. Pointers into the kernel's data are followed; one into the
#: kernel itself ends in a stop
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.item.kernel_size, ram.work.kernel_start, ram.work.kernel_span,
#:   ram.boot_params.hdr.code32_start, ram.boot_params.hdr.setup_data
#: writes: ram.boot_params.hdr.setup_data
#: source: QEMU hw/i386/x86.c x86_load_linux; Linux Documentation/arch/x86/boot.rst, "setup_data"
linux_move_setup_data:
    # EBP: the pointer to follow. ECX: bytes from what it points to up to the data's end
    mov ebp, ram.boot_params.hdr.setup_data
    mov ecx, dword ptr [ram.boot_params.hdr.code32_start]
    add ecx, dword ptr [ram.work.item.kernel_size]
    mov esi, dword ptr [ebp]
    cmp dword ptr [ebp + 4], 0
    jnz .done
    sub ecx, esi
    cmp ecx, dword ptr [ram.work.item.kernel_size]
    ja .done
    # EDX: how far they move
    mov edi, dword ptr [ram.work.kernel_start]
    add edi, dword ptr [ram.work.kernel_span]
    sub edi, ecx
    mov edx, edi
    sub edx, esi
    # ESI: where they end, ECX: where the last of them may start
    push ecx
    rep movsb
    pop ecx
.next:
    mov eax, dword ptr [ebp]
    cmp dword ptr [ebp + 4], 0
    jnz .done
    cmp eax, dword ptr [ram.boot_params.hdr.code32_start]
    jb .done
    cmp eax, esi
    jae .done
    # in the kernel's data: then it is one of those that were moved, as a whole
    sub esi, eax
    cmp esi, ecx
    ja .stop
    cmp esi, linux_boot.SETUP_DATA.sizeof
    jb .stop
    add esi, eax
    # the pointer moves with them; each entry starts with the next pointer
    add eax, edx
    mov dword ptr [ebp], eax
    xchg ebp, eax
    jmp .next
.stop:
    mov edx, eax
    mov al, stop_codes.SETUP_DATA
    jmp stop_with
.done:
    ret
