# The other CPUs: woken once, so that each has the boot CPU's memory types and feature control.
# Kernels wake them again by themselves.

#: wake every CPU, and wait until each has been set up
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, eflags
#: reads: ram.work.cpus, ram.ebda.feature_control, ram.work.cpus_awake
#: writes: ram.work.cpus, ram.ebda.feature_control, ram.work.cpus_awake, ram.work.cpu_lock,
#:   region.scratch
#: source: Intel SDM volume 3A, 9.4.4; QEMU docs/specs/fw_cfg.rst (etc/msr_feature_control)
smp_init:
    call smp_read
    call feature_control_set
    mov dword ptr [ram.work.cpu_lock], 0
    xor eax, eax
    inc eax
    mov dword ptr [ram.work.cpus_awake], eax
    cmp dword ptr [ram.work.cpus], eax
    jbe .done
    # they start in real mode in a page below 1 MiB, which the startup message names
    mov esi, smp_trampoline
    mov edi, region.scratch.base
    mov ecx, work.TRAMPOLINE_MAX // 4
    rep movsd
    # INIT, then STARTUP, to all but this one
    mov edx, x86.APIC_BASE
    mov dword ptr [edx + x86.Apic.SPURIOUS], x86.APIC_ENABLED
    mov dword ptr [edx + x86.Apic.ICR_LOW], x86.APIC_ICR_OTHERS | x86.APIC_ICR_ASSERT | x86.APIC_ICR_INIT
    mov dword ptr [edx + x86.Apic.ICR_LOW], x86.APIC_ICR_OTHERS | x86.APIC_ICR_ASSERT | x86.APIC_ICR_STARTUP | region.scratch.base // x86.PAGE
    mov ecx, work.CPU_PATIENCE
.wait:
    mov edx, dword ptr [ram.work.cpus_awake]
    cmp edx, dword ptr [ram.work.cpus]
    jae .done
    # The other CPUs get time: a pause hands the turn on where one host thread runs them all (TCG
    # with thread=single or -icount), and CPUID, of any leaf, takes long under KVM
    .rept work.CPU_PAUSES
    pause
    .endr
    push ecx
    cpuid
    pop ecx
    dec ecx
    jnz .wait
    mov edx, dword ptr [ram.work.cpus_awake]
    mov al, stop_codes.CPUS
    jmp stop_with
.done:
    ret

#: read how many CPUs there are, and what the host wants in IA32_FEATURE_CONTROL, 0 for nothing
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ecx, edx, esi, edi, eflags
#: writes: ram.work.cpus, ram.ebda.feature_control
#: source: QEMU hw/i386/fw_cfg.c
smp_read:
    xor eax, eax
    mov dword ptr [ram.work.cpus], eax
    mov dword ptr [ram.ebda.feature_control], eax
    mov dword ptr [ram.ebda.feature_control + 4], eax
    # a word of the 32-bit variable, and all of the file
    mov eax, fw_cfg.Read.NB_CPUS
    mov ecx, 2
    mov edi, ram.work.cpus
    call fw_cfg_transfer
    mov esi, name_feature_control
    call files_find
    jc .done
    # EDX, the detail of a stop: its size, and then what it holds. A bit that the CPU does not know
    # would be a fault
    mov edx, ecx
    cmp ecx, 8
    jnz .stop
    mov edi, ram.ebda.feature_control
    call fw_cfg_transfer
    mov edx, dword ptr [edi]
    test edx, ~x86.FEATURE_CONTROL_BITS
    jnz .stop
    cmp dword ptr [edi + 4], 0
    jnz .stop
.done:
    ret
.stop:
    mov al, stop_codes.FEATURE_CONTROL
    jmp stop_with

#: set this CPU's IA32_FEATURE_CONTROL to what the host wants, which locks it
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ecx, edx, eflags
#: reads: ram.ebda.feature_control
#: source: Intel SDM volume 4, IA32_FEATURE_CONTROL
feature_control_set:
    mov eax, dword ptr [ram.ebda.feature_control]
    mov edx, dword ptr [ram.ebda.feature_control + 4]
    mov ecx, eax
    or ecx, edx
    jz .done
    mov ecx, x86.Msr.FEATURE_CONTROL
    wrmsr
.done:
    ret

#: where a woken CPU starts: real mode, in a page of its own, of which this is a copy
#: mode: 16
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ds, es, ss, esp, cr0, eflags
#: reads: ram.pvh_area.gdt
#: returns: never
#: source: Intel SDM volume 3A, 9.4.4
smp_trampoline:
.code16
    .att lgdtl %cs:{.table - smp_trampoline}
    .enter_protected_mode smp_cpu
.table:
    .pseudo_descriptor ram.pvh_area.gdt, work.GDT_LIMIT

#: set up a woken CPU, one at a time since they share a stack, and halt it
#: mode: 32
#: in: -
#: out: -
#: clobbers: eax, ebx, ecx, edx, esi, edi, ds, es, ss, esp, eflags
#: reads: ram.work.ram_end, ram.ebda.feature_control, ram.work.cpus_awake, ram.work.cpu_lock
#: writes: ram.work.cpus_awake, ram.work.cpu_lock, ram.ebda.devices
#: returns: never
#: source: -
smp_cpu:
.code32
    .flat_segments
.lock:
    # who finds a 0 has the stack
    xor eax, eax
    inc eax
    xchg dword ptr [ram.work.cpu_lock], eax
    test eax, eax
    jz .mine
    pause
    jmp .lock
.mine:
    mov esp, region.scratch.end
    .att lidtl {exception_idtr}
    call mtrr_init
    call feature_control_set
    inc dword ptr [ram.work.cpus_awake]
    mov dword ptr [ram.work.cpu_lock], 0
.halt:
    # interrupts are off since its reset
    hlt
    jmp .halt
