"""Reports on a Multiboot kernel."""

from fwbuild.abi import e820, elf
from fwbuild.abi.multiboot import HeaderFlag
from fwbuild.errors import FwbuildError
from fwbuild.firmware import layout
from fwbuild.inspection.report import Problem, Report, flag_names
from fwbuild.kernel.multiboot import find_header, parse_multiboot


def report(data: bytes) -> Report | None:
    """The report on a file with a Multiboot 1 header, None for another file."""
    header = find_header(data)
    if not header:
        return None
    at, fields = header
    found = Report(
        "multiboot",
        "Multiboot 1 kernel",
        {
            "header_offset": at,
            "flags": flag_names(HeaderFlag, fields.flags),
        },
    )
    found.qemu = "loads it by its Multiboot header, ahead of a PVH note"
    try:
        kernel = parse_multiboot(data, "")
    except FwbuildError as error:
        hint = "copy the file again, or relink it"
        if data.startswith(elf.MAGIC) and not fields.flags & HeaderFlag.ADDRESSES:
            hint = "a 64-bit one becomes loadable by objcopy -O elf32-i386"
        found.problems.append(Problem(error.what, hint))
        return found
    found.facts |= {
        "entry": kernel.entry,
        "load_address": kernel.address,
        "load_end": kernel.address + kernel.size,
    }
    found.protocol = "multiboot"
    if not found.templates:
        found.stops("KERNEL_KIND", f"{kernel.entry:08x}")
    if kernel.address < e820.EXTENDED and not layout.multiboot_fits(kernel.address, kernel.size):
        found.stops("KERNEL_OVERLAP", f"{kernel.address:08x}")
    return found
