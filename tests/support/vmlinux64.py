"""A 64-bit vmlinux without a PVH note, as kernels for Firecracker are built."""

from keystone import KS_MODE_64

from fwbuild.abi import elf, linux_boot, offsets, ports, pvh
from fwbuild.kernel.elf_file import read_elf
from fwbuild.kernel.notes import written_note
from tests.support.elf_files import BASE, Row, elf_file
from tests.support.small_kernel import assembled

HEADER = offsets(linux_boot.BOOT_PARAMS)["hdr.header"]
# It exits with 1 if it runs in 64-bit mode, its boot_params are some, and the ends of the low 4 GiB
# can be read.
CODE = f"""
    mov rax, 0x100000000
    shr rax, 32
    cmp eax, 1
    jne bad
    cmp dword ptr [rsi + {HEADER:#x}], 0x53726448
    jne bad
    mov eax, 0xfffffff0
    cmp byte ptr [rax], 0xe9
    jne bad
    mov rsp, {BASE + 0x3000:#x}
    push rax
    pop rax
    mov al, 1
    jmp done
bad:
    mov al, 2
done:
    mov edx, {ports.DEBUG_EXIT:#x}
    out dx, al
    hlt
"""
SIZE = 0x3000  # bytes that it takes in memory


def vmlinux64(code: bytes | None = None, base: int = BASE, **header: int) -> bytes:
    """The file; `header` are fields of its header that are not as they should be."""
    data = assembled(CODE, KS_MODE_64) if code is None else code
    row = Row(elf.PT_LOAD, filesz=len(data), memsz=SIZE, address=base)
    return elf_file([row], data, **{"entry": base} | header)  # type: ignore[arg-type]


def without_note(kernel: bytes) -> bytes:
    """A kernel whose PVH notes are of another type."""
    found = bytearray(kernel)
    name = len(pvh.ELF_NOTE_NAME) + 1
    for width in pvh.ELF_NOTE_SIZES:
        fields = {"namesz": name, "descsz": width, "type": pvh.ELF_NOTE_PHYS32_ENTRY}
        head = bytes(elf.NHDR.build(fields)) + pvh.ELF_NOTE_NAME + b"\0"
        at = found.find(head)
        while at >= 0:
            found[at : at + len(head)] = elf.NHDR.build(fields | {"type": 0x7F}) + head[12:]
            at = found.find(head, at)
    assert written_note(read_elf(bytes(found))) is None
    return bytes(found)
