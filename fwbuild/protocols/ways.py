"""The two ways of a kernel into a guest: QEMU's -kernel, and a file of fw_cfg that the firmware
loads itself. What becomes of a kernel by each is told here, for every verb.

Source: docs/decisions/12-the-firmware-loads-kernels.md; docs/kernels.md.
"""

from fwbuild.abi import e820
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.firmware import layout
from fwbuild.guest import Guest
from fwbuild.protocols import describing
from fwbuild.protocols.kernel_file import placing
from fwbuild.protocols.multiboot2 import BY_FILE, MULTIBOOT2, sections_size
from fwbuild.protocols.report import ByFile, Problem, Report, stop_problem

INFO_ROOM = (
    layout.MULTIBOOT2_END - layout.region("setup").base
)  # for all that Multiboot 2 hands over


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
        return ByFile(refusal=_stop("KERNEL_OVERLAP", low, where))
    if not low <= entry < high:
        return ByFile(refusal=_stop("KERNEL_ENTRY", low, where))
    if protocol is MULTIBOOT2 and (size := sections_size(data)) > INFO_ROOM:
        return ByFile(refusal=_stop("INFO_SIZE", size, where))
    return ByFile(protocol=protocol.name, title=protocol.title, entry=entry)


def _stop(name: str, detail: int, where: str) -> FwbuildError:
    problem = stop_problem(name, f"{detail:08x}")
    return FwbuildError(ExitCode.KERNEL, problem.what, where=where, hint=problem.hint)
