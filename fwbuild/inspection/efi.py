"""Reports on EFI applications: unified kernel images, whose parts boot, and others."""

from typing import Any

from fwbuild.kernel.uki import KERNEL, OTHERS, PARTS, Efi, EfiError, is_efi, parse_efi
from fwbuild.protocols import ways
from fwbuild.protocols.report import Problem, Report, Way

NO_UEFI = "no firmware of fwbuild's runs an EFI application"
QEMU = (
    "takes it for a kernel older than boot protocol 2.00; `fwbuild run` gives it the parts instead"
)


def report(data: bytes) -> Report | None:
    """The report on an EFI application, None for another file."""
    if not is_efi(data):
        return None
    try:
        found = parse_efi(data)
    except EfiError as error:
        problem = Problem(str(error), "make it again; objdump -h shows its sections")
        return Report("efi", "EFI application that cannot be read", problems=[problem])
    if found.is_uki:
        return _uki(found)
    facts: dict[str, Any] = {"machine": found.machine, "sections_found": found.sections}
    return Report("efi", "EFI application", facts, problems=[Problem(NO_UEFI, OTHERS)])


def _uki(found: Efi) -> Report:
    parts = {name[1:]: len(found.parts[name]) for name in PARTS if name in found.parts}
    made = Report(
        "uki",
        "unified kernel image",
        {
            "machine": found.machine,
            "parts": parts,
            "cmdline": found.text(".cmdline"),
            "os": found.system,
            "uname": found.text(".uname"),
        },
        QEMU,
    )
    inner = ways.report(found.parts[KERNEL], KERNEL)
    if inner is None:
        made.problems.append(Problem("its section .linux holds no kernel", "make it again"))
        return made
    made.facts["linux"] = {"what": inner.what} | inner.facts
    made.protocol, made.problems = inner.protocol, list(inner.problems)
    made.by_file, made.inner = inner.by_file, Way.PARTS
    made.notes = list(inner.notes)
    return made
