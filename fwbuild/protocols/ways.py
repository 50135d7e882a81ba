"""The two ways of a kernel into a guest: QEMU's -kernel, and a file of fw_cfg that the firmware
loads itself. What becomes of a kernel by each is told here, for every verb.

Source: docs/decisions/12-the-firmware-loads-kernels.md; docs/kernels.md.
"""

from fwbuild.abi import e820
from fwbuild.errors import FwbuildError
from fwbuild.guest import Guest
from fwbuild.protocols import describing
from fwbuild.protocols.kernel_file import placing
from fwbuild.protocols.multiboot2 import BY_FILE
from fwbuild.protocols.report import ByFile, Problem, Report, stop_error


def report(data: bytes, where: str, memory: int = Guest.memory) -> Report | None:
    """The report on a kernel's file by both ways, None for no kernel. Errors in it name `where`.

    memory: bytes of the guest's RAM: a kernel that can be moved may go to its end."""
    protocol = describing(data)
    if protocol is None:
        return None
    found = protocol.report(data)
    found.by_file = by_file(data, where, memory)
    if found.by_file.refusal:  # then that is no way out
        hint = found.by_file.refusal.hint
        found.problems = [Problem(p.what, hint) if p.hint == BY_FILE else p for p in found.problems]
    return found


def by_file(data: bytes, where: str, memory: int = Guest.memory) -> ByFile:
    """What the firmware does with a kernel's file as opt/fwbuild/kernel."""
    try:
        protocol, entry, placed = placing(data, where, memory)
    except FwbuildError as error:
        return ByFile(refusal=error)
    low, high = min(p.address for p in placed), max(p.end for p in placed)
    if low < e820.EXTENDED:
        return ByFile(refusal=stop_error("KERNEL_OVERLAP", low, where))
    if not low <= entry < high:
        return ByFile(refusal=stop_error("KERNEL_ENTRY", low, where))
    return ByFile(protocol=protocol.name, title=protocol.title, entry=entry)
