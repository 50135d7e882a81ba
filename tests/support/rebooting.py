"""A kernel that reboots in several ways, and each time tells what it was handed over."""

from collections.abc import Sequence

from fwbuild.payloads.test_kernel import build_bzimage
from tests.support.small_kernel import assembled, pvh_kernel

DONE = 0x10  # to isa-debug-exit, after the last boot
LINE = 9  # bytes a boot on the debug console

# EDI: the checksum, EBP: hvm_start_info or boot_params, EDX: the RSDP or 0
PVH = """
    mov ebp, ebx
    xor edi, edi
    mov esi, ebp
    mov ecx, 14
    call sum
    mov esi, dword ptr [ebp + 40]
    imul ecx, dword ptr [ebp + 48], 6
    call sum
    mov edx, dword ptr [ebp + 32]
"""
LINUX = """
    mov ebp, esi
    xor edi, edi
    mov ecx, 0x400
    call sum
    mov edx, dword ptr [ebp + 0x70]
"""

# The number of boots is in RAM, which a reset leaves alone, and so is other memory spoilt.
KERNEL = """
    mov esp, 0x103f00
    {protocol}
    mov dword ptr [0x300004], 0
    test edx, edx
    jz functions
    mov esi, edx
    mov ecx, 5
    call sum
    mov esi, dword ptr [edx + 16]
    mov ebp, 4
    test esi, esi
    jnz tables
    mov esi, dword ptr [edx + 24]
    mov ebp, 8
tables:
    mov ebx, esi
    mov ecx, dword ptr [esi + 4]
    mov edx, ecx
    shr ecx, 2
    call sum
    add edx, ebx
    add ebx, 36
table:
    cmp ebx, edx
    jae functions
    mov esi, dword ptr [ebx]
    add ebx, ebp
    mov ecx, dword ptr [esi + 4]
    shr ecx, 2
    cmp dword ptr [esi], 0x50434146
    jnz other
    mov dword ptr [0x300004], esi
other:
    call sum
    jmp table
functions:
    mov ebx, 0x80000000
function:
    mov eax, ebx
    mov dx, 0xcf8
    out dx, eax
    mov dx, 0xcfc
    in eax, dx
    call add_eax
    add bl, 4
    cmp bl, 8
    jnz bars
    mov bl, 0x10
bars:
    cmp bl, 0x28
    jb function
    mov bl, 0
    add ebx, 0x100
    cmp ebx, 0x80010000
    jb function
    mov ecx, 8
    mov dx, 0x402
digit:
    rol edi, 4
    mov eax, edi
    and al, 15
    add al, 0x41
    out dx, al
    loop digit
    mov al, 10
    out dx, al
    mov eax, dword ptr [0x300000]
    inc dword ptr [0x300000]
    mov edi, 0x500
    mov ecx, 0x9db00
    rep stosb
    mov edi, 0x400000
    mov ecx, 0x100000
    rep stosb
    xor edx, edx
    mov ecx, {times}
    div ecx
    {choice}
    mov dx, 0x501
    mov al, {done}
    out dx, al
    jmp wait
sum:
    jecxz summed
    lodsd
    call add_eax
    dec ecx
    jmp sum
summed:
    ret
add_eax:
    rol edi, 5
    xor edi, eax
    ret
wait:
    cli
    hlt
    jmp wait
"""
WAYS = {
    "triple fault": "push 0; push 0; lidt [esp]; int3",
    "keyboard controller": "mov al, 0xfe; out 0x64, al",
    "0xcf9": "mov dx, 0xcf9; mov al, 2; out dx, al; mov al, 6; out dx, al",
    # the FADT's reset register, which older revisions lack
    "ACPI": """
        mov esi, dword ptr [0x300004]
        mov edx, dword ptr [esi + 120]
        mov al, byte ptr [esi + 128]
        cmp byte ptr [esi + 116], 1
        jz acpi_port
        mov byte ptr [edx], al
        jmp wait
    acpi_port:
        out dx, al
    """,
}


def source(ways: Sequence[str], times: int, protocol: str) -> str:
    """Boots so many `times` by each of WAYS, and once more."""
    choice = ""
    for number, way in enumerate(ways):
        choice += f"cmp eax, {number}\njnz not_{number}\n{WAYS[way]}\njmp wait\nnot_{number}:\n"
    return KERNEL.format(protocol=protocol, times=times, choice=choice, done=DONE)


def rebooting_vmlinux(ways: Sequence[str], times: int) -> bytes:
    return pvh_kernel(source(ways, times, PVH))


def rebooting_bzimage(ways: Sequence[str], times: int) -> bytes:
    return build_bzimage(assembled(source(ways, times, LINUX)))
