# Memory types, as a PC's firmware leaves them: without MTRRs on, Linux switches PAT off.

#: set the MTRRs, the uncached range where the map has it
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, eflags
#: reads: ram.work.ram_end
#: writes: ram.ebda.devices
#: source: -
mtrr_init:
    call device_window
.if option.machines.pc | option.machines.q35
    # a wake from S3 sets them again
    mov dword ptr [ram.ebda.devices], esi
.endif
    jmp mtrr_set

#: set the MTRRs: RAM write-back, VGA uncached, ROM write-protected, and uncached what lies
#: between RAM and 4 GiB, as far as one aligned range goes
#: mode: 32
#: in: esi where the uncached range starts
#: out: -
#: clobbers: eax, ebx, ecx, edx, edi, eflags
#: source: Intel SDM volume 3A, 12.11
mtrr_set:
    mov eax, x86.CPUID_FEATURES
    cpuid
    test edx, x86.CPUID_FEATURES_EDX_MTRR
    jz .done
    mov ecx, x86.Msr.MTRR_CAP
    rdmsr
    test eax, x86.MTRR_CAP_FIXED
    jz .done
    # ECX is the number of an MSR from here on, EDX:EAX what goes into it.
    # AL is the number of variable ranges. One is needed: without it devices would be write-back.
    test al, al
    jz .done
    # The numbers of all that follow differ in CL alone.
    mov ecx, x86.Msr.MTRR_FIX64K_00000
    mov eax, x86.MTRR_FIXED_WB
    mov edx, eax
    wrmsr
    mov cl, x86.Msr.MTRR_FIX16K_80000 & 0xff
    wrmsr
    inc ecx
    # VGA, from A0000
    xor eax, eax
    xor edx, edx
    wrmsr
    # ROM, from C0000
    mov cl, x86.Msr.MTRR_FIX4K_C0000 & 0xff
    mov eax, x86.MTRR_FIXED_WP
    mov edx, eax
    .rept x86.Msr.MTRR_FIX4K_F8000 - x86.Msr.MTRR_FIX4K_C0000
    wrmsr
    inc ecx
    .endr
    wrmsr
    # The variable range, up to 4 GiB. A mask has as many bits as the CPU's physical addresses.
    call phys_bits
    lea ecx, [edi - 32]
    mov edx, 1
    shl edx, cl
    dec edx
    mov ecx, x86.Msr.MTRR_PHYS_MASK0
    lea eax, [esi + x86.MTRR_PHYS_MASK_VALID]
    wrmsr
    dec ecx
    lea eax, [esi + x86.MemoryType.UC]
    xor edx, edx
    wrmsr
    # and on with them: what no range says is write-back
    mov cl, x86.Msr.MTRR_DEF_TYPE & 0xff
    mov eax, x86.MTRR_DEF_TYPE_ENABLE | x86.MTRR_DEF_TYPE_FIXED_ENABLE | x86.MemoryType.WB
    wrmsr
.done:
    ret

#: where devices begin below 4 GiB: 2 GiB, 1 GiB or 512 MiB below it, the lowest that is clear of
#: RAM
#: mode: 32
#: in: -
#: out: esi address
#: clobbers: eax, eflags
#: reads: ram.work.ram_end
#: source: Intel SDM volume 3A, 12.11 (one range of an MTRR is a power of two)
device_window:
    mov eax, dword ptr [ram.work.ram_end]
    mov esi, 1 << 31
.window:
    cmp eax, esi
    jbe .done
    sar esi, 1
    jmp .window
.done:
    ret

#: how many bits the CPU's physical addresses have
#: mode: 32
#: in: -
#: out: edi bits
#: clobbers: eax, ebx, ecx, edx, eflags
#: source: Intel SDM volume 2A, CPUID
phys_bits:
    mov edi, x86.PHYS_BITS_DEFAULT
    mov eax, x86.CPUID_EXTENDED_MAX
    cpuid
    cmp eax, x86.CPUID_ADDRESS_SIZES
    jb .done
    mov eax, x86.CPUID_ADDRESS_SIZES
    cpuid
    movzx edi, al
.done:
    ret
