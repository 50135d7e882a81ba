"""Stands between a gdb and QEMU's stub, and lets the gdb see linear addresses and the mode.

gdb takes the program counter for an address. In 16-bit code EIP counts from CS's base, so at the
reset vector gdb would look at 0000FFF0 and find no line, and miss its own breakpoints. Here EIP is
FFFFFFF0 for it. And gdb takes the description of the registers for the mode; it gets the one of the
mode that the CPU is in whenever it asks again, as the script makes it do at each stop.

Source: GDB manual, appendix E "Remote Serial Protocol".
"""

import os
import re
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress

from fwbuild.errors import FwbuildError
from fwbuild.gdb import registers
from fwbuild.gdb.mode import Mode, mode_of
from fwbuild.gdb.registers import Description, Layout, Values
from fwbuild.qemu.gdbstub import GdbStub

PIECE = 0xFF0  # bytes of a description at a time: QEMU's packets are of 4096
INTERRUPT = b"\x03"
RESUME = re.compile(r"vCont;|[cCsS]")
LEAVE = re.compile(r"k$|vKill|D")
SOFTWARE = ("Z0", "z0")
FEATURES = re.compile(r"qXfer:features:read:([^:]*):([0-9a-f]+),([0-9a-f]+)")
THREAD = re.compile(r"Hg(?:p[0-9a-f-]+\.)?([0-9a-f]+)$")
PACKET = re.compile(rb"\$([^#]*)#[0-9a-f]{2}|\x03")
NO_ACK = re.compile(r";?QStartNoAckMode\+")
OWN = "fwbuild "  # begins the lines for `monitor` that are not for QEMU
WRONG, OK = "E01", "OK"
ENDED = "W00"  # for gdb its program has ended


class Relay:
    """Serves one gdb after the other. `stub` is QEMU's, stopped; `console` a file descriptor of the
    guest's serial port, which does not block, and whose text gdb shows."""

    def __init__(self, stub: GdbStub, console: int) -> None:
        self._stub = stub
        self._console: int | None = console
        self._description = Description.parse(list(self._documents()))
        self._native = self._description.native
        self._served = ""  # the target.xml that gdb reads
        self._layout: Layout | None = None  # the i386's that gdb knows, None for QEMU's own
        self._forced = 0  # the bits that the user wants, 0 for the CPU's
        self._gdb: socket.socket | None = None
        self._cpu = 0
        self._mode: Mode | None = None  # of that CPU, since it stopped
        self._running = False
        self._text = b""  # of the console, not yet shown
        self._ended = False

    def close(self) -> None:
        """Take the connection from a gdb that is served."""
        if self._gdb:
            with suppress(OSError):
                self._gdb.shutdown(socket.SHUT_RDWR)

    def serve(self, gdb: socket.socket) -> None:
        """Until that gdb leaves."""
        self._gdb = gdb
        pending = b""
        with suppress(ConnectionError):
            while True:
                others = [self._stub.connection, self._console] if self._running else []
                sources = [gdb, *(other for other in others if other is not None)]
                ready, _, _ = select.select(sources, [], [])
                if self._console in ready:
                    self._show_console()
                if self._stub.connection in ready:
                    self._hear_qemu()
                if gdb in ready:
                    data = gdb.recv(65536)
                    if not data:
                        return
                    pending += data
                    while match := PACKET.search(pending):
                        pending = pending[match.end() :]
                        self._take(match)

    def _take(self, match: re.Match[bytes]) -> None:
        """One packet or Ctrl-C of gdb's."""
        if match[0] == INTERRUPT:
            if self._running:
                self._stub.connection.sendall(INTERRUPT)
            return
        self._put(b"+")
        packet = match[1].decode("latin-1")
        for reply in [WRONG] if self._ended else self._replies(packet):
            self._send(reply)
        if self._running:
            self._show_console()

    def _replies(self, packet: str) -> list[str]:
        """The replies of a stopped QEMU; none to what makes it run. It does not hear of a gdb that
        leaves: it ends with the session."""
        if LEAVE.match(packet):
            return [OK]
        try:
            if RESUME.match(packet):
                self._mode = None
                self._stub.send(packet)
                self._running = True
                return []
            if packet.startswith("qRcmd,"):
                text = self._monitor(bytes.fromhex(packet.partition(",")[2]).decode("latin-1"))
                return ["O" + text.encode("latin-1").hex(), OK] if text else [OK]
            return [self._answer(packet)]
        except OSError:
            self._ended = True
            return [ENDED]

    def _send(self, text: str) -> None:
        body = text.encode("latin-1")
        self._put(b"$" + body + f"#{sum(body) & 0xFF:02x}".encode())

    def _put(self, data: bytes) -> None:
        if self._gdb:
            self._gdb.sendall(data)

    def _hear_qemu(self) -> None:
        """What QEMU says while it runs: why it stopped."""
        try:
            packet = self._stub.receive()
        except OSError:
            packet = ENDED
        if packet is not None:
            self._running = False
            self._show_console(force=True)
            self._ended = packet[:1] in ("W", "X")
            self._send(packet)

    def _show_console(self, force: bool = False) -> None:
        """Let gdb print what has come from the guest, which it does only for one that runs."""
        with suppress(BlockingIOError):
            while self._console is not None:
                text = os.read(self._console, 65536)
                self._text += text
                if not text:
                    self._console = None
        if self._text and (self._running or force):
            for at in range(0, len(self._text), 1024):
                self._send("O" + self._text[at : at + 1024].hex())
            self._text = b""

    # -- questions ------------------------------------------------------------------------------

    def _answer(self, packet: str) -> str:
        """The reply to a question."""
        if match := FEATURES.match(packet):
            return self._features(match[1], int(match[2], 16), int(match[3], 16))
        if match := THREAD.match(packet):
            self._cpu, self._mode = max(int(match[1], 16) - 1, 0), None
        for letter, answer in self._about_registers.items():
            if packet.startswith(letter):
                return answer(packet[1:])
        if packet[:2] in SOFTWARE:
            return self._breakpoint(packet)
        return NO_ACK.sub("", self._stub.command(packet))

    def _breakpoint(self, packet: str) -> str:
        """Set or clear a hardware breakpoint for a software one: KVM would write the latter into
        the ROM, or the firmware over it in RAM. KVM has four; the rest are what they were."""
        reply = self._stub.command(packet.replace("0", "1", 1))
        return reply if reply == OK else self._stub.command(packet)

    @property
    def _about_registers(self) -> dict[str, Callable[[str], str]]:
        return {"g": self._read_all, "G": self._write_all, "p": self._read, "P": self._write}

    @property
    def mode(self) -> Mode:
        """The mode of the CPU that gdb looks at."""
        if self._mode is None:
            self._mode = mode_of(self._stub.registers(self._cpu))
        return self._mode

    def _values(self) -> Values:
        """The registers as gdb's layout names them."""
        native = self._native.split(self._stub.command("g"))
        if self._layout:
            return registers.narrowed(native, self.mode.base)
        if base := self.mode.base:
            linear = registers.number(native["rip"]) + base
            native["rip"] = registers.to_hex(linear & 0xFFFFFFFF, 8)
        return native

    def _read_all(self, _rest: str) -> str:
        return (self._layout or self._native).join(self._values())

    def _read(self, rest: str) -> str:
        name = (self._layout or self._native).name(int(rest, 16))
        return self._values()[name] if name else WRONG

    def _write_all(self, rest: str) -> str:
        """Write what differs from what gdb was told."""
        before, layout = self._values(), self._layout or self._native
        changed = {n: v for n, v in layout.split(rest).items() if v != before.get(n)}
        replies = {self._write_one(name, value) for name, value in changed.items()}
        return OK if replies <= {OK} else WRONG

    def _write(self, rest: str) -> str:
        index, _, value = rest.partition("=")
        name = (self._layout or self._native).name(int(index, 16))
        return self._write_one(name, value) if name else WRONG

    def _write_one(self, name: str, value: str) -> str:
        if name in (registers.CS_BASE, registers.IP):
            return WRONG
        if self._layout:
            name, value = registers.widened(name, value, self.mode.base, self._native)
        elif name == "rip" and self.mode.base:
            offset = registers.number(value) - self.mode.base
            value = registers.to_hex(offset & 0xFFFFFFFF, 8)
        self._mode = None
        return self._stub.command(f"P{list(self._native.sizes).index(name):x}={value}")

    # -- descriptions ---------------------------------------------------------------------------

    def _features(self, annex: str, offset: int, length: int) -> str:
        """A piece of a description. The choice is made when gdb reads the first of target.xml."""
        if annex == "target.xml" and offset == 0:
            bits = self._forced or self.mode.bits
            self._layout = None
            if bits != 64:
                self._layout, self._served = self._description.narrow(bits)
        if annex != "target.xml" or self._layout is None:
            return self._stub.command(f"qXfer:features:read:{annex}:{offset:x},{length:x}")
        piece = self._served[offset : offset + length]
        return ("m" if offset + length < len(self._served) else "l") + piece

    def _documents(self) -> Iterator[str]:
        """The documents that QEMU's target.xml includes."""
        for name in re.findall(r'href="([^"]+)"', self._document("target.xml")):
            yield self._document(name)

    def _document(self, annex: str) -> str:
        text, more = "", "m"
        while more == "m":
            request = f"qXfer:features:read:{annex}:{len(text):x},{PIECE:x}"
            reply = self._stub.command(request)
            more, text = reply[:1], text + reply[1:]
        return text

    # -- `monitor` ------------------------------------------------------------------------------

    def _monitor(self, line: str) -> str:
        """The output of a line for QEMU's monitor, or of one for us."""
        if line.startswith(OWN):
            return self._own(line.split()[1:])
        return self._stub.monitor(line)

    def _own(self, words: list[str]) -> str:
        match words:
            case ["where"]:
                return f"{self.mode}\n"
            case ["arch", "auto"]:
                self._forced = 0
            case ["arch", ("16" | "32" | "64") as bits]:
                self._forced = int(bits)
            case _:
                return "monitor fwbuild where | arch auto | arch 16 | arch 32 | arch 64\n"
        return ""


def serve_all(relay: Relay, listener: socket.socket) -> None:
    """Serve whoever comes, until the listener is shut down."""
    with suppress(OSError, FwbuildError):
        while True:
            connection, _ = listener.accept()
            with connection:
                relay.serve(connection)
