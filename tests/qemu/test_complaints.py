"""A QEMU that cannot do what is asked: one line with what it offers instead, in every version."""

import pytest

from fwbuild.cli import main
from fwbuild.errors import ExitCode
from fwbuild.qemu.program import program

pytestmark = [pytest.mark.qemu, pytest.mark.versions]

# arguments: what QEMU does not have, and what the hint names
TABLE = {
    "-M pc-q35-1.0": ("machine type 'pc-q35-1.0'", "(hint: it has q35, pc-q35-"),
    "-M pc,acpo=on": ("property 'acpo' of pc-i440fx-", "(hint: it has acpi)"),
    "-M pc --device e100": ("device 'e100'", "(hint: it has e1000"),
    "-M pc --device unheard-of": ("device 'unheard-of'", "-device help` lists them)"),
    "-M pc --device e1000,mec=1": ("property 'mec' of e1000", "(hint: it has mac"),
    "-M pc --device e1000,zz=1": ("property 'zz' of e1000", "-device e1000,help` lists them)"),
    "-M pc --netdev usr,id=a": ("netdev 'usr'", "(hint: it has user)"),
    "-M pc --object memory-backend-rom,id=a": ("object 'memory-backend-rom'",
                                               "(hint: it has memory-backend-"),
}  # fmt: skip


@pytest.mark.parametrize("verb", ["record --out never", "run"])
@pytest.mark.parametrize("arguments", TABLE)
def test_offer(arguments: str, verb: str, capfd: pytest.CaptureFixture[str]) -> None:
    lacks, offers = TABLE[arguments]
    assert main([*verb.split(), *arguments.split()]) == ExitCode.QEMU
    line = capfd.readouterr().err.splitlines()[-1]
    assert line.startswith(f"fwbuild: error: QEMU {program().version} has no {lacks}")
    assert offers in line


def test_an_option(capfd: pytest.CaptureFixture[str]) -> None:
    """The help has one with several uses several times, the hint once."""
    assert main(["run", "--", "-nosuchoption"]) == ExitCode.QEMU
    line = capfd.readouterr().err.splitlines()[-1]
    hinted = line.partition("(hint: it has ")[2].rstrip(")").split(", ")
    assert len(hinted) == len(set(hinted)) > 0


@pytest.mark.parametrize(
    ("verb", "code", "line"),
    [
        (
            "record --out never",
            ExitCode.QEMU,
            "has no machine type 'nonsense' (hint: it has microvm,",
        ),
        (
            "run",
            ExitCode.USAGE,
            "no firmware for machine type 'nonsense' (hint: it runs on microvm,",
        ),
    ],
)
def test_a_machine_of_no_family(
    verb: str, code: ExitCode, line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*verb.split(), "-M", "nonsense"]) == code
    assert line in capfd.readouterr().err
