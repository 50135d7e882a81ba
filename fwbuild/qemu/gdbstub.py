"""QEMU's gdb stub, as far as stopping at a kernel's entry and looking around needs it.

Source: GDB manual, appendix E "Remote Serial Protocol". Registers are read as the monitor
prints them, hidden segment parts and all.
"""

import re
import socket

CHUNK = 1024  # bytes of memory a request
GENERAL = "ax bx cx dx si di bp sp ip fl".split()
IP_NUMBER = 16  # of the registers of 8 bytes that an x86-64 stub lists, whatever the mode


class GdbStub:
    """A connection to a QEMU that was started with -gdb and -S."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._buffer = b""

    def command(self, text: str) -> str:
        """Send a packet, return the reply's payload."""
        self.send(text)
        return self._packet()

    def send(self, text: str) -> None:
        """Send a packet whose reply is taken later."""
        body = text.encode("latin-1")
        self.connection.sendall(b"$" + body + f"#{sum(body) & 0xFF:02x}".encode())

    def receive(self) -> str | None:
        """The payload of the packet that has come, once the socket is readable; None for not yet a
        whole one."""
        data = self.connection.recv(65536)
        if not data:
            raise OSError("QEMU closed the gdb connection")
        self._buffer += data
        return self._take()

    def _take(self) -> str | None:
        match = re.search(rb"\$([^#]*)#[0-9a-f]{2}", self._buffer)
        if not match:
            return None
        self._buffer = self._buffer[match.end() :]
        self.connection.sendall(b"+")
        return match[1].decode("latin-1")

    def _packet(self) -> str:
        found = self._take()
        while found is None:
            found = self.receive()
        return found

    def run_to(self, *addresses: int) -> None:
        """Run until a hardware breakpoint at one of these linear addresses."""
        for address in addresses:
            self.set_breakpoint(address)
        if not self.command("c").startswith("T05"):
            raise OSError("QEMU stopped for another reason than the breakpoint")

    def set_breakpoint(self, address: int) -> None:
        """A hardware breakpoint at a linear address: code that is written there keeps it."""
        if self.command(f"Z1,{address:x},1") != "OK":
            raise OSError("QEMU refuses the breakpoint")

    def clear_breakpoint(self, address: int) -> None:
        """Take it away again."""
        if self.command(f"z1,{address:x},1") != "OK":
            raise OSError("QEMU does not give the breakpoint back")

    def instruction_pointer(self) -> int:
        """EIP, which in real mode counts from CS."""
        at = 2 * 8 * IP_NUMBER
        return int.from_bytes(bytes.fromhex(self.command("g")[at : at + 16]), "little")

    def read(self, address: int, size: int) -> bytes:
        """Guest memory, through the identity map of a guest without paging."""
        found = bytearray()
        while len(found) < size:
            length = min(CHUNK, size - len(found))
            reply = self.command(f"m{address + len(found):x},{length:x}")
            if reply.startswith("E"):
                raise MemoryError(f"no memory at {address + len(found):#x}")
            found += bytes.fromhex(reply)
        return bytes(found)

    def monitor(self, line: str) -> str:
        """The output of a line for QEMU's monitor."""
        reply, text = self.command("qRcmd," + line.encode().hex()), ""
        while reply != "OK":
            text += bytes.fromhex(reply.removeprefix("O")).decode("latin-1")
            reply = self._packet()
        return text

    def registers(self, cpu: int = 0) -> dict[str, int]:
        """Registers of a CPU by lower-case name; for a segment the selector, and NAME_base,
        NAME_limit and NAME_flags as `info registers` shows the hidden parts. In 64-bit code a
        general register has its 32-bit name too, with all of its bits."""
        text = self.monitor(f"info registers {cpu}")
        pairs = re.findall(r"\b([A-Z0-9]{3,5}) *=([0-9a-f]+)", text)
        found = {name.lower(): int(value, 16) for name, value in pairs}
        found |= {f"e{name}": found[f"r{name}"] for name in GENERAL if f"r{name}" in found}
        for name, *parts in re.findall(
            r"^(\w\w) *=([0-9a-f]+) ([0-9a-f]+) ([0-9a-f]+) ([0-9a-f]+)", text, re.MULTILINE
        ):
            selector, base, limit, flags = (int(part, 16) for part in parts)
            low = name.lower()
            found |= {low: selector, f"{low}_base": base, f"{low}_limit": limit}
            found[f"{low}_flags"] = flags
        if match := re.search(r"GDT= *([0-9a-f]+) ([0-9a-f]+)", text):
            found |= {"gdt_base": int(match[1], 16), "gdt_limit": int(match[2], 16)}
        return {{"efl": "eflags"}.get(k, k): v for k, v in found.items()}
