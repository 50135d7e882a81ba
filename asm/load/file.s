# A kernel that the firmware loads itself, where QEMU was given no -kernel: the ELF file
# opt/fwbuild/kernel of fw_cfg, with its command line in opt/fwbuild/cmdline. elf.s reads its
# headers, and checks their claims before anything goes to an address of theirs. From then on it is
# a kernel like others: kernel_check, ACPI and the rest know it by the same variables.
#
#     kernel_file_read ── the first protocol that the file has, in QEMU's order:
#        ├─ multiboot2_file_read, multiboot_file_read    its segments and its entry
#        └─ elf_read, and elf_pvh_entry or linux64_file_read
#     elf_span ── are the segments sound?
#     ... everything that main.s does for any kernel
#     kernel_file_enter ── kernel_file_load, the command line, the protocol's NAME_enter

.if option.kernel_file
#: take the file opt/fwbuild/kernel for the kernel, and tell its kind
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.high_top, ram.work.file_size, ram.work.segments_end,
#:   ram.work.item.kernel_entry, ram.work.kernel_start, ram.work.kernel_span,
#:   ram.pvh_area.modules, region.head, region.segments
#: writes: ram.work.high_top, ram.work.file_control, ram.work.file_size, ram.work.segments_end,
#:   ram.work.enter, ram.work.file_enter, ram.work.item.kernel_entry, ram.work.kernel_start,
#:   ram.work.kernel_span, region.head, region.segments
#: source: docs/decisions/12-the-firmware-loads-kernels.md
kernel_file_read:
    mov esi, name_kernel
    call files_find
    mov dword ptr [ram.work.file_control], eax
    mov dword ptr [ram.work.file_size], ecx
    jc .none
    # its head; after the end of a shorter file there are zeros
    mov ecx, region.head.size
    mov edi, region.head.base
    call fw_cfg_transfer
    mov dword ptr [ram.work.enter], kernel_file_enter
.if option.protocols.multiboot2
    call multiboot2_file_read
    jnc .entry
.endif
.if option.protocols.multiboot
    call multiboot_file_read
    jnc .entry
.endif
    call elf_read
.if option.protocols.pvh
    call elf_pvh_entry
    mov dword ptr [ram.work.file_enter], pvh_enter
    jnc .entry
.endif
.if option.protocols.linux64
    call linux64_file_read
    jnc .entry
.endif
    mov edx, dword ptr [region.head.base]
    .stop stop_codes.KERNEL_FILE
.entry:
    # 0 is no entry: kernel_check would take the kernel for one that has none
    mov dword ptr [ram.work.item.kernel_entry], edx
    test edx, edx
    .stop_if z, stop_codes.KERNEL_ENTRY
    jmp elf_span
.none:
    mov edx, ecx                # the stop's detail: 0
    .stop stop_codes.NO_KERNEL

#: load the kernel, read its command line, and enter it by its protocol
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ebp, eflags
#: reads: ram.work.file_control, ram.work.segments_end, ram.work.file_enter, region.segments
#: returns: never
#: source: docs/decisions/12-the-firmware-loads-kernels.md
kernel_file_enter:
    call kernel_file_load
    mov esi, name_cmdline
    call files_find
    jecxz .enter
    call cmdline_take
.enter:
    jmp dword ptr [ram.work.file_enter]

#: put each segment to its physical address, and zeros after it. All zeros go first: those of one
#: segment may lie where another has bytes
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, edi, ebp, eflags
#: reads: ram.work.file_control, ram.work.segments_end, region.segments
#: source: System V ABI, chapter 5 "Program Header"; QEMU include/hw/elf_ops.h (the zeros)
kernel_file_load:
    # EBP: 0 while there are zeros to write, then 1
    xor ebp, ebp
.again:
    mov ebx, region.segments.base
.next:
    cmp dword ptr [ebx + work.SEGMENT.type], elf.PT_LOAD
    jnz .skip
    mov edi, dword ptr [ebx + work.SEGMENT.paddr]
    mov ecx, dword ptr [ebx + work.SEGMENT.filesz]
    test ebp, ebp
    jnz .bytes
    add edi, ecx
    neg ecx
    add ecx, dword ptr [ebx + work.SEGMENT.memsz]
    xor eax, eax
    rep stosb
.bytes:
    # after the zeros ECX is 0
    jecxz .skip
    mov eax, dword ptr [ebx + work.SEGMENT.offset]
    call kernel_file_copy
.skip:
    call elf_next
    jb .next
    xor ebp, 1
    jnz .again
    ret

#: read a part of the kernel's file: a skip from its start, and one transfer
#: mode: 32
#: in: eax offset in the file, ecx bytes, edi address
#: out: -
#: clobbers: eax, edx, eflags
#: reads: ram.work.file_control
#: source: QEMU docs/specs/fw_cfg.rst "Guest-side DMA Interface"
kernel_file_copy:
    push ecx
    mov ecx, eax
    mov eax, dword ptr [ram.work.file_control]
    xor eax, be32(fw_cfg.DmaControl.READ | fw_cfg.DmaControl.SKIP)
    call fw_cfg_transfer
    pop ecx
    mov eax, be32(fw_cfg.DmaControl.READ)
    jmp fw_cfg_transfer
.endif
