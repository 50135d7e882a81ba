"""What stands between gdb and QEMU's stub: registers, modes, the relay with a played stub."""

import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from fwbuild.cli import main
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.gdb import registers, session, symbols
from fwbuild.gdb.mode import mode_of
from fwbuild.gdb.registers import Description
from fwbuild.gdb.relay import Relay
from fwbuild.gdb.script import Script
from fwbuild.image import artefacts
from fwbuild.image.build import Image
from fwbuild.image.elf import Segment, Symbol, write_elf
from fwbuild.qemu.gdbstub import GdbStub
from fwbuild.qemu.program import VARIABLE

# (CS selector, base, upper half of its descriptor, EIP, CR0, EFLAGS, EFER): bits, name, linear.
# Intel SDM volume 3A: 10.1.4 for the reset, 3.4.5 for the D and L bits (22 and 21), 2.5 for CR0.
MODES = {
    "reset": ((0xF000, 0xFFFF0000, 0x9B00, 0xFFF0, 0x60000010, 2, 0),
              (16, "real mode", 0xFFFFFFF0)),
    "real": ((0x9EC0, 0x9EC00, 0x9B00, 0xA01, 0x10, 2, 0), (16, "real mode", 0x9F601)),
    "big real": ((0x10, 0, 0xCF9B00, 0x1234, 0x10, 2, 0),
                 (32, "real mode with a 32-bit CS", 0x1234)),
    "PE, old CS": ((0xF000, 0xFFFF0000, 0x9B00, 0xD5E3, 0x11, 2, 0),
                   (16, "16-bit protected mode", 0xFFFFD5E3)),
    "flat": ((0x10, 0, 0xCF9B00, 0xFFFFD5EB, 0x11, 2, 0),
             (32, "32-bit protected mode", 0xFFFFD5EB)),
    "v8086": ((0x1000, 0x10000, 0xF300, 0x100, 0x80000011, 0x20002, 0),
              (16, "virtual-8086 mode", 0x10100)),
    "compatibility": ((0x10, 0, 0xCF9B00, 0x100000, 0x80000011, 2, 0x500),
                      (32, "32-bit protected mode", 0x100000)),
    "64-bit": ((0x10, 0, 0xAF9B00, 0xFFFFFFFF81000000, 0x80000011, 2, 0x500),
               (64, "64-bit mode", 0xFFFFFFFF81000000)),
    "L without long mode": ((0x10, 0, 0xAF9B00, 0x1000, 0x11, 2, 0),
                            (16, "16-bit protected mode", 0x1000)),
}  # fmt: skip


@pytest.mark.parametrize("name", MODES)
def test_mode(name: str) -> None:
    values, wanted = MODES[name]
    names = ("cs", "cs_base", "cs_flags", "eip", "cr0", "eflags", "efer")
    mode = mode_of(dict(zip(names, values, strict=True)))
    assert (mode.bits, mode.name, mode.linear) == wanted


GENERAL = "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 rip".split()
CORE = f"""<feature name="org.gnu.gdb.i386.core">
<flags id="x64_eflags" size="4"><field name="CF" start="0" end="0"/></flags>
{"".join(f'<reg name="{n}" bitsize="64" type="int64"/>' for n in GENERAL)}
<reg name="eflags" bitsize="32" type="x64_eflags"/><reg name="cs" bitsize="32" type="int32"/>
<reg name="cr0" bitsize="64" type="int64"/>
<vector id="v4f" type="ieee_single" count="4"/>
<union id="vec128"><field name="v4_float" type="v4f"/></union>
<reg name="xmm0" bitsize="128" type="vec128"/></feature>"""
TARGET = '<target><architecture>i386:x86-64</architecture><xi:include href="core.xml"/></target>'
SIZES = [8] * len(GENERAL) + [4, 4, 8, 16]
RESET = """
CPU#0
EIP=0000fff0 EFL=00000002 [-------] CPL=0
CS =f000 ffff0000 0000ffff 00009b00
CR0=60000010 CR2=00000000
EFER=0000000000000000
"""


def native(rip: int) -> str:
    """A `g` reply: each register has its number in every byte, RIP its value."""
    values = [bytes([i] * size) for i, size in enumerate(SIZES, 1)]
    values[GENERAL.index("rip")] = rip.to_bytes(8, "little")
    return b"".join(values).hex()


def test_an_i386_from_a_64_bit_cpu() -> None:
    description = Description.parse([CORE])
    layout, xml = description.narrow(16)
    assert "<architecture>i8086</architecture>" in xml
    assert list(layout.sizes)[:9] == "eax ecx edx ebx esp ebp esi edi eip".split()
    assert xml.index('id="v4f"') < xml.index('id="vec128"') < xml.index('name="xmm0"')
    found = registers.narrowed(description.native.split(native(0xFFF0)), 0xFFFF0000)
    shown = layout.split(layout.join(found))
    assert shown["eax"] == "01" * 4
    assert shown["esp"] == "08" * 4
    assert shown["eip"] == "f0ffffff"
    assert shown["ip"] == "f0ff0000"
    assert shown["cs_base"] == "0000ffff"
    assert shown["xmm0"] == "0f" * 16


def test_a_cpu_without_64_bits_is_refused() -> None:
    with pytest.raises(FwbuildError, match="no x86-64 CPU"):
        Description.parse([CORE.replace('"rip"', '"eip"')])


class Player:
    """A stub that is played: what it was told, and its answers. It stops when it is let."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.heard: list[str] = []
        self.refused: tuple[str, ...] = ()

    def serve(self) -> None:
        pending = b""
        while data := self.connection.recv(4096):
            pending += data
            while match := re.search(rb"\$([^#]*)#..|\x03", pending):
                pending = pending[match.end() :]
                text = match[1].decode() if match[1] is not None else "Ctrl-C"
                self.heard.append(text)
                self.answer(text)

    def answer(self, text: str) -> None:
        if text.startswith("qXfer"):
            self.say("l" + (TARGET if "target.xml" in text else CORE))
        elif text.startswith("qRcmd"):
            self.say("O" + RESET.encode().hex())
            self.say("OK")
        elif text == "g":
            self.say(native(0xFFF0))
        elif text == "Ctrl-C":
            self.say("T02thread:01;")
        elif text == "qSupported":
            self.say("PacketSize=1000;QStartNoAckMode+;vContSupported+")
        elif not text.startswith("vCont;"):
            self.say("E22" if text in self.refused else "OK")

    def say(self, text: str) -> None:
        body = text.encode()
        self.connection.sendall(b"+$" + body + f"#{sum(body) & 0xFF:02x}".encode())


class Played:
    """A relay with a played stub, and the gdb's end."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        console, self.console = socket.socketpair()
        gdb, relays = socket.socketpair()
        self.player = Player(theirs)
        self.sockets = [ours, theirs, console, self.console, gdb, relays]
        self.threads = [Thread(target=self.player.serve)]
        self.threads[0].start()
        ours.settimeout(10)
        console.setblocking(False)
        relay = Relay(GdbStub(ours), console.fileno())
        self.threads.append(Thread(target=relay.serve, args=(relays,)))
        self.threads[1].start()
        gdb.settimeout(10)
        self.gdb = GdbStub(gdb)  # as a client: gdb's side of the same protocol

    def close(self) -> None:
        for one in (self.sockets[4], self.sockets[1]):
            one.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(10)
        for one in self.sockets:
            one.close()


@pytest.fixture
def played() -> Iterator[Played]:
    made = Played()
    yield made
    made.close()


def description(gdb: GdbStub) -> str:
    return gdb.command("qXfer:features:read:target.xml:0,ffff")


def test_the_counter_is_linear_in_both_layouts(played: Played) -> None:
    assert played.gdb.command("g") == native(0xFFFFFFF0)
    assert played.gdb.command("pa") == "f0ffffff00000000"
    assert "i8086" in description(played.gdb)
    assert played.gdb.command("p8") == "f0ffffff"
    assert played.gdb.command("p0") == "01" * 4
    assert played.gdb.command("pff") == "E01"


def test_writes_are_for_the_cpu(played: Played) -> None:
    description(played.gdb)
    assert played.gdb.command("P8=34d5ffff") == "OK"  # EIP
    assert played.gdb.command("P0=78563412") == "OK"  # EAX
    told = played.player.heard[-3:]
    assert "Pa=34d5000000000000" in told  # RIP, from CS's base
    assert told[-1] == "P0=7856341200000000"
    layout, _ = Description.parse([CORE]).narrow(16)
    values = layout.split(played.gdb.command("g")) | {"edi": "efbeadde"}
    assert played.gdb.command("G" + layout.join(values)) == "OK"
    written = [text for text in played.player.heard if text.startswith("P")]
    assert written[2:] == ["P5=efbeadde00000000"]
    last = list(layout.sizes).index("ip")
    assert played.gdb.command(f"P{last:x}=00000000") == "E01"


def test_the_user_may_choose_the_description(played: Played) -> None:
    said = played.gdb.monitor("fwbuild where")
    assert said == "real mode, CS:IP f000:fff0, CS base ffff0000, linear fffffff0\n"
    played.gdb.monitor("fwbuild arch 64")
    assert description(played.gdb) == "l" + TARGET
    played.gdb.monitor("fwbuild arch auto")
    assert "i8086" in description(played.gdb)
    assert "arch 64" in played.gdb.monitor("fwbuild what")
    assert "CPU#0" in played.gdb.monitor("info registers")


def test_the_console_is_seen_while_it_runs_and_ctrl_c_stops_it(played: Played) -> None:
    played.console.sendall(b"before")
    assert played.gdb.command("vCont;c") == "O" + b"before".hex()
    played.console.sendall(b"while")
    assert played.gdb._packet() == "O" + b"while".hex()
    played.gdb.connection.sendall(b"\x03")
    assert played.gdb._packet() == "T02thread:01;"
    assert played.player.heard[-2:] == ["vCont;c", "Ctrl-C"]
    played.gdb.connection.sendall(b"\x03")  # it has stopped already
    assert played.gdb.command("?") == "OK"
    assert played.player.heard[-1] == "?"


def test_qemu_may_end_while_it_runs_or_not(played: Played) -> None:
    assert played.gdb.command("?") == "OK"
    played.gdb.send("vCont;c")
    while "vCont;c" not in played.player.heard:
        pass
    played.player.connection.shutdown(socket.SHUT_RDWR)
    assert played.gdb._packet() == "W00"
    assert played.gdb.command("g") == "E01"


def test_software_breakpoints_are_hardware_ones_while_there_are_some(played: Played) -> None:
    assert played.gdb.command("Z0,fffffff0,1") == "OK"
    assert played.gdb.command("z0,fffffff0,1") == "OK"
    assert played.player.heard[-2:] == ["Z1,fffffff0,1", "z1,fffffff0,1"]
    played.player.refused = ("Z1,1000,1",)
    assert played.gdb.command("Z0,1000,1") == "OK"
    assert played.player.heard[-2:] == ["Z1,1000,1", "Z0,1000,1"]


def test_qemu_does_not_hear_that_gdb_leaves(played: Played) -> None:
    for packet in ("D;1", "vKill;1"):
        assert played.gdb.command(packet) == "OK"
    assert "NoAck" not in played.gdb.command("qSupported")
    assert not {"D;1", "vKill;1"} & set(played.player.heard)


def test_places_of_an_image(image: Image) -> None:
    linked, known = image.linked, symbols.places(artefacts.elf(image))
    assert known["main"] == linked.addresses["main"]
    assert known["main:.acpi"] == linked.addresses["main"] + linked.labels["main"][".acpi"]
    assert known["bios_timer"] < 1 << 20  # where it runs
    assert symbols.find("0x9f600", known) == (0x9F600,)
    assert symbols.find("main", known, artefacts.elf(image)) == (known["main"],)
    with pytest.raises(FwbuildError, match="did you mean pvh_enter"):
        symbols.find("pvh_entr", known)
    with pytest.raises(FwbuildError, match="no address"):
        symbols.find("0xnothing", known)


def test_places_of_a_kernel() -> None:
    """Linked for 3 GiB above where it is loaded, as Linux on an i386."""
    start, high = 0x100000, 3 << 30
    names = [Symbol("entry", start, 0, "func"), Symbol("ready", high + start + 5, 0, "func")]
    low = write_elf([Segment(start, b"\x90" * 16, 16, 5)], names, start)
    both = struct.pack("<II", start, start)  # p_vaddr, p_paddr
    linked_high = low.replace(both, struct.pack("<II", high + start, start), 1)
    assert symbols.in_kernel("ready", linked_high) == (high + start + 5, start + 5)
    assert symbols.in_kernel("entry", low) == (start,)
    assert symbols.in_kernel("entry", linked_high) == (start,)  # in no segment
    for kernel in (low, b"bzImage", b""):
        assert symbols.in_kernel("other", kernel) == ()
    with pytest.raises(FwbuildError, match="in the image or the kernel"):
        symbols.find("other", {}, low)


def test_an_elf_belongs_to_its_image(image: Image) -> None:
    elf = artefacts.elf(image)
    assert symbols.belongs(elf, image.image)
    assert not symbols.belongs(elf, image.image[:-1] + b"?")
    assert not symbols.belongs(b"no ELF", image.image)
    assert symbols.has_symbols(elf)
    assert not symbols.has_symbols(b"bzImage")


def test_script_has_paths_with_spaces() -> None:
    text = Script(
        Path("/a b/bios.elf"), Path("/the asm"), None, Path("/s/gdb.sock"), (0x9F600,)
    ).text()
    assert "symbol-file '/a b/bios.elf'" in text
    assert "set substitute-path asm '/the asm'" in text
    assert "exec-file '/a b/bios.elf'" in text
    assert text.endswith("target remote /s/gdb.sock\nexec-file\nthbreak *0x9f600\ncontinue\n")


# arguments: exit code, words of the line
WRONG = {
    "no gdb": (["gdb", "--gdb", "/nonexistent"], ExitCode.QEMU, "--gdb takes a gdb"),
    "two kernels": (["gdb", __file__, "--kernel", __file__], ExitCode.USAGE, "two kernels"),
    "no file": (["gdb", "/nonexistent"], ExitCode.INPUT, "/nonexistent: no such file"),
    "wait and batch": (["gdb", "--wait", "--batch"], ExitCode.USAGE, "--wait starts no gdb"),
    "no routine": (["gdb", "--wait", "--at", "mian"], ExitCode.INPUT, "did you mean main?"),
    "no QEMU": (["gdb", "--wait", "--qemu", "/nonexistent"], ExitCode.QEMU, "no program"),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_gets_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    words, code, text = WRONG[name]
    assert main(words) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("fwbuild: error: ") and text in line


def test_no_gdb_on_the_machine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv(VARIABLE, raising=False)
    assert main(["gdb"]) == ExitCode.QEMU
    assert "Debian's package is gdb" in capsys.readouterr().err


def test_a_long_temporary_folder_has_room_for_a_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("x" * 120)))
    with session.folder() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / session.SOCKET))
        assert folder.stat().st_mode & 0o077 == 0
