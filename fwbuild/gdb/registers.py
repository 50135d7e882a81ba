"""Registers as QEMU's stub lists them, and as a gdb in 16-bit or 32-bit code wants them.

A qemu-system-x86_64 describes a 64-bit CPU in every mode, and gdb disassembles by that description.
So there are two: QEMU's own, and an i386's made from it.

Source: GDB manual, appendix G "Target Descriptions", G.5.6 "i386 Features".
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from fwbuild.errors import ExitCode, FwbuildError

ARCHITECTURES = {16: "i8086", 32: "i386", 64: "i386:x86-64"}
CORE, SSE = "org.gnu.gdb.i386.core", "org.gnu.gdb.i386.sse"
CONTROL = "org.fwbuild.control"

# An i386's registers by the names of the 64-bit CPU's, in gdb's order.
GENERAL = {f"e{name}": f"r{name}" for name in "ax cx dx bx sp bp si di ip".split()}
TYPES = {"esp": "data_ptr", "ebp": "data_ptr", "eip": "code_ptr"}
SAME = (
    *"eflags cs ss ds es fs gs".split(),
    *(f"st{i}" for i in range(8)),
    *"fctrl fstat ftag fiseg fioff foseg fooff fop".split(),
)
VECTOR = (*(f"xmm{i}" for i in range(8)), "mxcsr")
SYSTEM = "cr0 cr2 cr3 cr4 efer".split()
# What a real-mode address is made of. The stub has neither by itself: they cannot be written.
CS_BASE, IP = "cs_base", "ip"
COUNTER = ("rip", "eip")  # which the gdb sees as linear addresses

Values = dict[str, str]  # the bytes of each register in hexadecimal, or x for unknown ones


@dataclass(frozen=True)
class Layout:
    """Registers in the order of the stub's `g` packet: each name, and its size in bytes."""

    sizes: Mapping[str, int]

    def split(self, packet: str) -> Values:
        """The registers of a `g` reply."""
        found, at = {}, 0
        for name, size in self.sizes.items():
            found[name] = packet[at : at + 2 * size]
            at += 2 * size
        return found

    def join(self, values: Mapping[str, str]) -> str:
        """The reply of these values; a register that is not among them is unknown."""
        return "".join(values.get(n, "x" * 2 * size) for n, size in self.sizes.items())

    def name(self, number: int) -> str | None:
        """The register that gdb numbers so."""
        names = list(self.sizes)
        return names[number] if number < len(names) else None


@dataclass(frozen=True)
class Description:
    """What QEMU's stub says of its registers."""

    features: Sequence[ET.Element]

    @classmethod
    def parse(cls, documents: Sequence[str]) -> "Description":
        """From the documents that target.xml includes. Raises FwbuildError for a CPU without
        64-bit mode."""
        found = cls([ET.fromstring(text) for text in documents])
        if COUNTER[0] not in found.native.sizes:
            what = "this QEMU describes no x86-64 CPU to gdb"
            raise FwbuildError(ExitCode.QEMU, what, hint="use qemu-system-x86_64")
        return found

    @property
    def native(self) -> Layout:
        """QEMU's own layout. gdb numbers registers in the order of the documents."""
        registers = [r for feature in self.features for r in feature.iter("reg")]
        return Layout({r.attrib["name"]: int(r.attrib["bitsize"]) // 8 for r in registers})

    def narrow(self, bits: int) -> tuple[Layout, str]:
        """The layout of an i386, and the target.xml that describes it for code of 16 or 32
        bits."""
        target = ET.Element("target", version="1.0")
        ET.SubElement(target, "architecture").text = ARCHITECTURES[bits]
        core, sse, control = (
            ET.SubElement(target, "feature", name=name) for name in (CORE, SSE, CONTROL)
        )
        for name in GENERAL:
            _register(core, name, TYPES.get(name, "int32"))
        self._copy(core, SAME)
        self._copy(sse, VECTOR)
        self._copy(control, SYSTEM)
        for name in (CS_BASE, IP):
            _register(control, name, "uint32")
        registers = list(target.iter("reg"))
        sizes = {r.attrib["name"]: int(r.attrib["bitsize"]) // 8 for r in registers}
        return Layout(sizes), ET.tostring(target, encoding="unicode")

    def _copy(self, feature: ET.Element, names: Sequence[str]) -> None:
        """Take registers over, and the types that they are of."""
        originals = [r for n in names for f in self.features for r in f if r.get("name") == n]
        wanted = [t for register in originals for t in self._types(register.get("type", ""))]
        for kind in {t.attrib["id"]: t for t in wanted}.values():
            feature.append(copy.deepcopy(kind))
        for register in originals:
            plain = copy.deepcopy(register)
            plain.attrib.pop("regnum", None)
            feature.append(plain)

    def _types(self, name: str) -> Iterator[ET.Element]:
        """The type of that name, after those that it is made of; none for one of gdb's own."""
        for kind in (t for f in self.features for t in f if t.get("id") == name):
            for part in (kind, *kind):
                if part.get("type"):
                    yield from self._types(part.attrib["type"])
            yield kind


def _register(feature: ET.Element, name: str, kind: str) -> None:
    ET.SubElement(feature, "reg", name=name, bitsize="32", type=kind)


def narrowed(native: Values, cs_base: int) -> Values:
    """An i386's registers from a 64-bit CPU's. EIP is the linear address of the instruction."""
    found = dict(native)
    found |= {name: native[wide][:8] for name, wide in GENERAL.items()}
    found[IP] = found["eip"]
    found[CS_BASE] = to_hex(cs_base, 4)
    found["eip"] = to_hex((number(found["eip"]) + cs_base) & 0xFFFFFFFF, 4)
    return found


def widened(name: str, value: str, cs_base: int, native: Layout) -> tuple[str, str]:
    """What to write for a register of the i386: the 64-bit CPU's, and its value."""
    if name == "eip":
        value = to_hex((number(value) - cs_base) & 0xFFFFFFFF, 4)
    wide = GENERAL.get(name, name)
    return wide, value.ljust(2 * native.sizes[wide], "0")


def number(text: str) -> int:
    """A register's value."""
    return int.from_bytes(bytes.fromhex(text), "little")


def to_hex(value: int, size: int) -> str:
    """A value as a packet has it."""
    return value.to_bytes(size, "little").hex()
