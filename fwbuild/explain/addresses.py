"""The meanings of an address: in the image, in RAM, or among a PC's fixed ranges and ports."""

import re
from collections.abc import Iterator

from fwbuild.abi import chipset, e820, fields, fw_cfg, mptable, ports, x86
from fwbuild.explain.meaning import Meaning
from fwbuild.firmware import layout, trace
from fwbuild.firmware.layout import ROM, Region
from fwbuild.image.build import Image

NUMBER = re.compile(r"0x([0-9a-f]{1,16})|([0-9a-f]{8})", re.IGNORECASE)  # the map has the latter
ALIAS = e820.EXTENDED - ROM.size  # QEMU shows the image's last 64 KiB below 1 MiB, too


def _between(name: str, start: int, end: int, what: str) -> Region:
    return Region(name, start, end - start, what)


# The ranges that are the same on every PC, or have a fixed place on one of the machines.
FIXED = (
    _between("EBDA", e820.EBDA, e820.VGA, "extended BIOS data area, reserved in the map"),
    _between("VGA", e820.VGA, e820.OPTION_ROM, "the window of a VGA adapter; not in the map"),
    _between("option ROMs", e820.OPTION_ROM, e820.SYSTEM_ROM, "option ROMs; not in the map"),
    Region("I/O APIC", mptable.IOAPIC_ADDRESS, x86.PAGE, "registers of the I/O APIC"),
    Region("local APIC", x86.APIC_BASE, x86.APIC_SIZE, "registers of the CPU's local APIC"),
    Region("ECAM of q35", chipset.ECAM_BASE, chipset.ECAM_SIZE, "PCI configuration space of q35"),
    Region(
        "ECAM of microvm",
        chipset.MICROVM_ECAM_BASE,
        chipset.MICROVM_ECAM_SIZE,
        "PCI configuration space of microvm, if it has PCIe",
    ),
)
PORTS = {
    fw_cfg.PORT_SELECTOR: "fw_cfg: selects an item",
    fw_cfg.PORT_DATA: "fw_cfg: the next byte of the item",
    fw_cfg.PORT_DMA_HIGH: "fw_cfg: the descriptor's address, high half",
    fw_cfg.PORT_DMA_LOW: "fw_cfg: the descriptor's address, low half; a write starts the DMA",
    ports.DEBUG_CONSOLE: "debug console: what the firmware says (-device isa-debugcon)",
    ports.DEBUG_EXIT: "isa-debug-exit: a write ends QEMU",
    ports.SERIAL: "first serial port",
    trace.PORT: "trace points of a template with `trace = true`",
}


def number(text: str) -> int | None:
    """An address as users write it: hexadecimal after 0x, or eight digits."""
    found = NUMBER.fullmatch(text)
    return int(found[1] or found[2], 16) if found else None


def addresses(text: str, image: Image) -> Iterator[Meaning]:
    """The meanings of an address or a port."""
    address = number(text)
    if address is None:
        return
    if address in PORTS:
        yield Meaning(kind="I/O port", what=PORTS[address])
    if ROM.base <= address < ROM.end:
        yield _in_rom(address, image)
    if layout.F_SEGMENT.base <= address < layout.F_SEGMENT.end:
        yield _in(layout.F_SEGMENT, address, "RAM of pc and q35")
    if ALIAS <= address < e820.EXTENDED:
        rom = _in_rom(address - ALIAS + ROM.base, image)
        yield Meaning(kind="lower alias of the image", what=rom.what, facts=rom.facts)
    for region in (*layout.RAM, layout.BIOS, layout.EBDA):
        if region.base <= address < region.end:
            yield _in(region, address, "RAM that the firmware uses")
    for region in FIXED:
        if region.base <= address < region.end:
            yield _in(region, address, "fixed range")


def _in(region: Region, address: int, kind: str) -> Meaning:
    facts = {"range": f"{region.name}, {region.base:#x}-{region.end - 1:#x}"}
    return Meaning(kind=kind, what=region.what, facts=facts | variable_at(address))


def variable_at(address: int) -> dict[str, str]:
    """The symbol of the variable at an address, with the distance from its start, and its text."""
    for name, (base, struct) in layout.STRUCTURES.items():
        rows = list(fields(struct))
        if rows and base <= address < base + rows[-1].at + x86.PAGE:
            row = [r for r in rows if base + r.at <= address][-1]
            symbol = _beyond(f"ram.{name}.{row.name}", address - base - row.at)
            return {"variable": symbol} | ({"holds": row.what} if row.what else {})
    return {}


def _in_rom(address: int, image: Image) -> Meaning:
    """The routine or data item at an address of the image, and the line that made the byte."""
    linked = image.linked
    kind = "address in the image"
    fragment = linked.last_before(address)
    if not fragment:
        return Meaning(kind=kind, what="unused: zero", facts={"used": f"from {image.start:#x} on"})
    if not linked.fragment_at(address):
        return Meaning(kind=kind, what=f"padding after {fragment.name}")
    line = [e for e in linked.lines[fragment.name] if e.address <= address][-1]
    return Meaning(
        kind=kind,
        what=_beyond(fragment.name, address - linked.addresses[fragment.name]),
        facts={
            "does": fragment.contract.title,
            "line": line.statement.where,
            "statement": line.statement.text,
        },
    )


def _beyond(name: str, distance: int) -> str:
    return f"{name} + {distance:#x}" if distance else name
