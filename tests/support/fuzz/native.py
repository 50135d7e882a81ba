"""Hooks of unicorn in machine code: an edge, a store or a character costs no step of Python.

They follow the calling convention of x86-64 Linux and macOS, and there alone they work.
"""

import ctypes
import mmap
import platform
import sys
from functools import cache

from keystone import KS_ARCH_X86, KS_MODE_64, Ks
from unicorn import UC_HOOK_BLOCK, UC_HOOK_INSN, UC_HOOK_MEM_WRITE, Uc, UcError
from unicorn import x86_const as ux
from unicorn.unicorn_py3.unicorn import uclib

from fwbuild.abi import fw_cfg, pci, ports

SUPPORTED = platform.machine() in ("x86_64", "AMD64") and sys.platform != "win32"
EDGES = 1 << 16
GRANULE_SHIFT = 8  # a store is kept by the 256 bytes that it is to
GRANULE = 1 << GRANULE_SHIFT
ABSENT = 2  # of a PCI function
STORES_MAX = 1 << 16  # granules that are kept
TEXT_MAX = 1 << 20  # characters of a console that are kept: a line for each BAR without room


class Counters(ctypes.Structure):
    """Memory that the hooks share with Python; `edges` and `blocks` outlive a run.

    previous:  the last block, as the edge's hash has it.
    left:      bytes of instructions that may still run; an instruction has one at least.
    last:      the address of the last block.
    new_edges: edges of this run that no run before it took.
    edges:     u8 by an edge's hash, 1 once it was taken.
    blocks:    u16 by a block's address modulo 64 KiB: its size in bytes, 0 until it ran.
    seen:      a bit for each granule below 4 GiB that this run wrote.
    stores:    (granule, address of the block) of the first store to each.
    config_address: what was written to the address port of PCI's configuration space.
    functions: u8 by bus and function, ABSENT where none answers; else Python is asked.
    item:      the next byte that fw_cfg's data port gives, and how many there are.
    copied:    bytes that this run read from that port, those after an item's end included.
    """

    _fields_ = [
        ("previous", ctypes.c_uint64),
        ("left", ctypes.c_int64),
        ("last", ctypes.c_uint64),
        ("new_edges", ctypes.c_uint64),
        ("edges", ctypes.c_void_p),
        ("blocks", ctypes.c_void_p),
        ("seen", ctypes.c_void_p),
        ("stores", ctypes.c_void_p),
        ("stored", ctypes.c_uint64),
        ("console", ctypes.c_void_p),
        ("console_size", ctypes.c_uint64),
        ("serial", ctypes.c_void_p),
        ("serial_size", ctypes.c_uint64),
        ("config_address", ctypes.c_uint64),
        ("functions", ctypes.c_void_p),
        ("item", ctypes.c_void_p),
        ("item_left", ctypes.c_uint64),
        ("copied", ctypes.c_uint64),
        ("stop", ctypes.c_void_p),
        ("port_in", ctypes.c_void_p),
        ("port_out", ctypes.c_void_p),
    ]


class Window(ctypes.Structure):
    """An ECAM window: what Counters.functions is, and the READ that is asked where one answers."""

    _fields_ = [("functions", ctypes.c_void_p), ("read", ctypes.c_void_p)]


def _at(name: str) -> str:
    return str(getattr(Counters, name).offset)


# rdi: the machine, rsi: the address, edx: the size, rcx: Counters
BLOCK = f"""
    mov [rcx + {_at("last")}], rsi
    mov edx, edx
    movzx eax, si
    mov r10, [rcx + {_at("blocks")}]
    mov [r10 + rax * 2], dx
    imul eax, esi, 0x9E3779B1
    shr eax, 16
    mov r8, [rcx + {_at("previous")}]
    mov r9d, eax
    shr r9d, 1
    mov [rcx + {_at("previous")}], r9
    xor eax, r8d
    mov r10, [rcx + {_at("edges")}]
    cmp byte ptr [r10 + rax], 0
    jne known
    mov byte ptr [r10 + rax], 1
    inc qword ptr [rcx + {_at("new_edges")}]
known:
    sub [rcx + {_at("left")}], rdx
    js over
    ret
over:
    jmp [rcx + {_at("stop")}]
"""

# rdx: the address, ecx: the size, r9: Counters
STORE = f"""
    movsxd rcx, ecx
    lea r10, [rdx + rcx - 1]
    shr r10, {GRANULE_SHIFT}
    shr rdx, {GRANULE_SHIFT}
next:
    mov rax, rdx
    shr rax, {32 - GRANULE_SHIFT}
    jnz append
    mov r11, [r9 + {_at("seen")}]
    mov rax, rdx
    shr rax, 3
    mov ecx, edx
    and ecx, 7
    movzx r8d, byte ptr [r11 + rax]
    bts r8d, ecx
    jc done
    mov [r11 + rax], r8b
append:
    mov rax, [r9 + {_at("stored")}]
    cmp rax, {STORES_MAX}
    jae done
    inc qword ptr [r9 + {_at("stored")}]
    shl rax, 4
    add rax, [r9 + {_at("stores")}]
    mov [rax], rdx
    mov r8, [r9 + {_at("last")}]
    mov [rax + 8], r8
done:
    cmp rdx, r10
    jae end
    mov rdx, r10
    jmp next
end:
    mov eax, 1
    ret
"""

# eax: all ones of edx bytes, of 4 at most; on to `end` but for a byte
ALL_ONES = """
    mov eax, -1
    cmp edx, 4
    je end
    mov eax, 0xffff
    cmp edx, 2
    je end
    mov eax, 0xff
"""


def _print(text: str) -> str:
    """Add cl to a text of Counters (r8), or on to `end` where it is full."""
    return f"""
    mov rax, [r8 + {_at(f"{text}_size")}]
    cmp rax, {TEXT_MAX}
    jae end
    inc qword ptr [r8 + {_at(f"{text}_size")}]
    add rax, [r8 + {_at(text)}]
    mov [rax], cl
"""


# esi: the port, edx: the size, rcx: Counters
IN = f"""
    cmp esi, {fw_cfg.PORT_DATA}
    jne status
    cmp edx, 1
    jne other
    inc qword ptr [rcx + {_at("copied")}]
    xor eax, eax
    cmp qword ptr [rcx + {_at("item_left")}], 0
    je end
    dec qword ptr [rcx + {_at("item_left")}]
    mov r10, [rcx + {_at("item")}]
    inc qword ptr [rcx + {_at("item")}]
    movzx eax, byte ptr [r10]
end:
    ret
status:
    mov eax, esi
    and eax, -4
    cmp eax, {pci.CONFIG_DATA}
    jne not_config
    mov eax, [rcx + {_at("config_address")}]
    test eax, eax
    jns other
    shr eax, 8
    movzx eax, ax
    mov r10, [rcx + {_at("functions")}]
    cmp byte ptr [r10 + rax], {ABSENT}
    jne other
    {ALL_ONES}
    ret
not_config:
    cmp esi, {ports.SERIAL + ports.SERIAL_LSR}
    jne other
    mov eax, {ports.SERIAL_LSR_THRE | ports.SERIAL_LSR_TEMT}
    ret
other:
    jmp [rcx + {_at("port_in")}]
"""

# esi: the port, edx: the size, ecx: the value, r8: Counters
OUT = f"""
    mov ecx, ecx
    cmp esi, {ports.DEBUG_CONSOLE}
    je console
    cmp esi, {ports.SERIAL}
    je serial
    cmp esi, {pci.CONFIG_ADDRESS}
    jne other
    cmp edx, 4
    jne other
    mov [r8 + {_at("config_address")}], rcx
    ret
other:
    mov rax, r8
    jmp [rax + {_at("port_out")}]
console:
    {_print("console")}
end:
    ret
serial:
    {_print("serial")}
    ret
"""

# rsi: the offset in an ECAM window, edx: the size, rcx: a window's Window
ECAM = f"""
    mov rax, rsi
    shr rax, {pci.ECAM_DEVFN_SHIFT}
    movzx eax, ax
    mov r10, [rcx + {Window.functions.offset}]
    cmp byte ptr [r10 + rax], {ABSENT}
    jne ask
    mov rax, -1
    cmp edx, 8
    je end
    {ALL_ONES}
end:
    ret
ask:
    jmp [rcx + {Window.read.offset}]
"""

PORT_IN = ctypes.CFUNCTYPE(
    ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_void_p
)
PORT_OUT = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint32, ctypes.c_void_p
)
READ = ctypes.CFUNCTYPE(
    ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint, ctypes.c_void_p
)
WRITE = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint, ctypes.c_uint64, ctypes.c_void_p
)


@cache
def _code() -> tuple[mmap.mmap, dict[str, int]]:
    """The routines in executable memory, and the address of each."""
    memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    places, at = {}, 0
    for name, source in {
        "block": BLOCK,
        "store": STORE,
        "in": IN,
        "out": OUT,
        "ecam": ECAM,
    }.items():
        encoded, _ = Ks(KS_ARCH_X86, KS_MODE_64).asm(source, as_bytes=True)
        memory[at : at + len(encoded)] = encoded
        places[name] = base + at
        at += len(encoded) + 15 & -16
    return memory, places


class Hooks:
    """The hooks of one machine. `port_in(port, size)` and `port_out(port, size, value)` hear of
    every access but those of the consoles; an exception in them is kept in `error`."""

    def __init__(self, uc: Uc, edges: ctypes.Array[ctypes.c_uint8]) -> None:
        self.blocks = (ctypes.c_uint16 * EDGES)()
        self._seen = mmap.mmap(-1, 1 << 32 - GRANULE_SHIFT - 3)
        self.stores = (ctypes.c_uint64 * (2 * STORES_MAX))()
        self._console, self._serial = ((ctypes.c_char * TEXT_MAX)() for _ in range(2))
        self._edges = edges
        self._functions = (ctypes.c_uint8 * EDGES)()
        self._windows: list[object] = []  # of which unicorn has the addresses alone
        self.counters = Counters(
            edges=ctypes.addressof(edges),
            blocks=ctypes.addressof(self.blocks),
            seen=ctypes.addressof(ctypes.c_char.from_buffer(self._seen)),
            stores=ctypes.addressof(self.stores),
            console=ctypes.addressof(self._console),
            serial=ctypes.addressof(self._serial),
            functions=ctypes.addressof(self._functions),
            stop=ctypes.cast(uclib.uc_emu_stop, ctypes.c_void_p).value,
        )
        _, places = _code()
        self._add(uc, UC_HOOK_BLOCK, places["block"])
        self._add(uc, UC_HOOK_MEM_WRITE, places["store"])
        self._add(uc, UC_HOOK_INSN, places["in"], ux.UC_X86_INS_IN)
        self._add(uc, UC_HOOK_INSN, places["out"], ux.UC_X86_INS_OUT)

    def listen(self, port_in: "ctypes._FuncPointer", port_out: "ctypes._FuncPointer") -> None:
        """Let these PORT_IN and PORT_OUT hear of the ports."""
        self._ports = port_in, port_out  # the counters hold their addresses alone
        self.counters.port_in = ctypes.cast(port_in, ctypes.c_void_p).value
        self.counters.port_out = ctypes.cast(port_out, ctypes.c_void_p).value

    def _add(self, uc: Uc, kind: int, address: int, *more: int) -> None:
        handle = ctypes.c_size_t()
        status = uclib.uc_hook_add(
            uc._uch,
            ctypes.byref(handle),
            kind,
            ctypes.cast(address, ctypes.c_void_p),
            ctypes.cast(ctypes.addressof(self.counters), ctypes.c_void_p),
            ctypes.c_uint64(1),
            ctypes.c_uint64(0),
            *(ctypes.c_int(number) for number in more),
        )
        if status:
            raise UcError(status)

    def map_ecam(
        self,
        uc: Uc,
        base: int,
        size: int,
        read: "ctypes._FuncPointer",
        write: "ctypes._FuncPointer",
    ) -> None:
        """Map an ECAM window: READ `read` and WRITE `write` hear of accesses to functions."""
        window = Window(
            functions=self.counters.functions, read=ctypes.cast(read, ctypes.c_void_p).value
        )
        self._windows += [window, read, write]
        _, places = _code()
        status = uclib.uc_mmio_map(
            uc._uch,
            ctypes.c_uint64(base),
            ctypes.c_size_t(size),
            ctypes.cast(places["ecam"], ctypes.c_void_p),
            ctypes.cast(ctypes.addressof(window), ctypes.c_void_p),
            write,
            ctypes.c_void_p(),
        )
        if status:
            raise UcError(status)

    def tell(self, first: int, row: bytes) -> None:
        """Of the functions from a number on: ABSENT, or 0 to ask."""
        ctypes.memmove(ctypes.addressof(self._functions) + first, row, len(row))

    def forget(self) -> None:
        """Nothing is known of any function."""
        ctypes.memset(self._functions, 0, EDGES)

    def begin(self, instructions: int) -> None:
        """Forget the run before, and allow so many instructions at least."""
        counters = self.counters
        stored = counters.stored
        if stored:
            seen = self._seen
            for granule in self.stores[: 2 * stored : 2]:
                if granule < 1 << 32 - GRANULE_SHIFT:
                    seen[granule >> 3] = 0
        counters.stored = counters.new_edges = counters.previous = 0
        counters.console_size = counters.serial_size = counters.copied = 0
        counters.left = instructions

    def stored(self) -> list[tuple[int, int]]:
        """(granule, address of the block) of each granule that was written, in order."""
        numbers = self.stores[: 2 * self.counters.stored]
        return list(zip(numbers[::2], numbers[1::2], strict=True))

    @property
    def console(self) -> str:
        return ctypes.string_at(self._console, self.counters.console_size).decode("latin-1")

    @property
    def serial(self) -> str:
        return ctypes.string_at(self._serial, self.counters.serial_size).decode("latin-1")
