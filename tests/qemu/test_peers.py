"""The counter and the gdb stub on an image that is not ours: qboot's published baselines."""

import json
from pathlib import Path

import pytest

from fwbuild import cli, protocols
from fwbuild.abi import pvh
from fwbuild.bench.contenders import QBOOT
from fwbuild.bench.events import Event
from fwbuild.bench.kernel import read_kernel
from fwbuild.bench.race import WORDS
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import read_file
from fwbuild.firmware import stop_codes
from fwbuild.guest import Guest
from fwbuild.kernel.vmlinux import parse_vmlinux
from fwbuild.machines import MACHINES
from fwbuild.payloads.init import build_initrd
from fwbuild.qemu.command import command
from fwbuild.qemu.count import count, instructions, run_counting
from fwbuild.qemu.entry import at_entry, state_at_entry
from fwbuild.qemu.gdbstub import GdbStub
from fwbuild.qemu.program import program
from fwbuild.qemu.record import record
from fwbuild.qemu.session import stopped
from tests.conftest import need
from tests.support import debian

pytestmark = pytest.mark.qemu

SEABIOS = {
    "microvm": Path("/usr/share/seabios/bios-microvm.bin"),
    "q35": Path("/usr/share/seabios/bios-256k.bin"),
}

# QEMU 7.2.22, Debian's 6.1 cloud kernel, an initrd of 1 MiB: (accesses, instructions). Each
# iteration of a `rep` is an instruction there.
BASELINES = {"microvm": (83, 14858), "pc": (247, 63000), "q35": (249, 74899)}


def need_qboot() -> None:
    if not QBOOT.exists():
        need("qboot.rom (package qemu-system-data)")


@pytest.mark.parametrize("name", BASELINES)
def test_counts_of_qboot(name: str, tmp_path: Path) -> None:
    need_qboot()
    if not program().version.startswith("7.2."):
        pytest.skip("the baseline is QEMU 7.2's")
    kernel, initrd = debian.cloud_vmlinux(), tmp_path / "initrd"
    initrd.write_bytes(bytes(1 << 20))
    entry = parse_vmlinux(read_file(kernel), str(kernel)).pvh_entry
    guest = Guest(name, kernel=kernel, initrd=initrd)
    accesses, steps = BASELINES[name]
    assert count(guest, QBOOT, entry).accesses == pytest.approx(accesses, rel=0.05)
    stepped = run_counting(guest, QBOOT, (entry,), ["-singlestep", "-d", "exec,nochain"], is_block)
    assert stepped == pytest.approx(steps, rel=0.02)


def is_block(line: bytes) -> bool:
    return line.startswith(b"Trace ")


@pytest.mark.parametrize("machine", MACHINES)
def test_the_kernel_has_no_more_to_do(machine: str, bios: Path, tmp_path: Path) -> None:
    """Than after qboot: up to its first line of C, and from its entry to there."""
    need_qboot()
    initrd = tmp_path / "init.cpio"
    initrd.write_bytes(build_initrd())
    kernel = read_kernel(debian.cloud_vmlinux())
    guest = Guest(machine, kernel=kernel.path, initrd=initrd, append=WORDS)
    addresses = {step.event: step.addresses for step in kernel.steps}
    ends = addresses[Event.FW_DO_BOOT], addresses[Event.START_KERNEL]
    ours, its = ([instructions(guest, path, *end) for end in ends] for path in (bios, QBOOT))
    assert ours[1] - ours[0] <= its[1] - its[0]
    assert ours[1] < its[1]


def test_gdb_stub(bios: Path, tmp_path: Path, test_kernel: bytes) -> None:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(test_kernel)
    entry = parse_vmlinux(test_kernel, "test kernel").pvh_entry
    with stopped([*command(Guest("pc", kernel=kernel), bios=bios)], "-gdb") as connection:
        stub = GdbStub(connection)
        reset = stub.registers()
        assert (reset["cs"], reset["cs_base"], reset["eip"]) == (0xF000, 0xFFFF0000, 0xFFF0)
        assert stub.read(0xFFFF0000, 0x10000) == bios.read_bytes()
        stub.run_to(entry)
        found = stub.registers()
        assert found["eip"] == entry
        magic = stub.read(found["ebx"], 4)
        assert int.from_bytes(magic, "little") == pvh.START_INFO_MAGIC
        assert "paused" in stub.monitor("info status")


def test_the_judge_serves_another_firmware(tmp_path: Path, test_kernel: bytes) -> None:
    """It reads what a kernel finds and nothing of ours: of qboot it says that no LTR was done and
    that an entry of the map is empty, and what is in order it leaves alone."""
    need_qboot()
    kernel = tmp_path / "kernel"
    kernel.write_bytes(test_kernel)
    guest = Guest("pc", kernel=kernel, append="a=b")
    found = record(guest)
    loaded = protocols.load(guest, found)
    assert loaded
    with at_entry(guest, QBOOT, loaded.entry) as stub:
        state = state_at_entry(stub, found, loaded)
        assert protocols.read(state).cmdline == b"a=b"
        problems = protocols.judge(state)
    assert {"TR was never loaded", "memory map: bad entry at 0x0"} <= set(problems)
    fine = (
        "start_info.",
        "the CPU's",
        "CS ",
        "the command line is",
        "points nowhere",
        "not what the",
    )
    assert not [p for p in problems for word in fine if word in p]


@pytest.mark.parametrize("machine", ["microvm", "q35"])
def test_verify_judges_seabios(machine: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It starts the kernel by QEMU's option ROM, which loads no task register (pvh.pandoc asks for
    one). That it reserves RAM for its tables is its right."""
    bios = SEABIOS[machine]
    if not bios.exists():
        need(f"{bios.name} (package seabios)")
    code = cli.main(["verify", "--real", "-M", machine, "--bios", str(bios), "--json"])
    plain = json.loads(capsys.readouterr().out)
    assert code == ExitCode.JUDGEMENT
    assert [p["what"] for p in plain["problems"]] == ["TR was never loaded"]
    assert {t["sound"] for t in plain["tables"]} <= {True, None}


def test_verify_judges_the_16_bit_entry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SeaBIOS enters a bzImage's setup code, and serves every call that it makes. The initrd is not
    where QEMU wants it: the option ROM places it, and says so in the header."""
    bios, kernel, initrd = SEABIOS["q35"], debian.cloud_vmlinuz(), tmp_path / "initrd"
    if not bios.exists():
        need(f"{bios.name} (package seabios)")
    initrd.write_bytes(b"initrd" * 50_000)
    words = ["--bios", str(bios), "--kernel", str(kernel), "--initrd", str(initrd)]
    assert cli.main(["verify", "--real", "-M", "q35", *words, "--json"]) == ExitCode.OK
    plain = json.loads(capsys.readouterr().out)
    assert (plain["protocol"], plain["problems"]) == ("linux16", [])


def test_verify_of_an_image_for_another_machine(capsys: pytest.CaptureFixture[str]) -> None:
    """SeaBIOS for pc resets microvm: QEMU ends well, and the kernel is not entered."""
    bios = SEABIOS["q35"]
    if not bios.exists():
        need(f"{bios.name} (package seabios)")
    code = cli.main(["verify", "--real", "-M", "microvm", "--bios", str(bios)])
    assert code == ExitCode.JUDGEMENT
    assert "the guest reset or powered off too early" in capsys.readouterr().err


@pytest.mark.parametrize("machine", MACHINES)
def test_verify_in_qemu(machine: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Both worlds show the same tables and areas, and find nothing to say."""
    said = []
    for words in ([], ["--real"]):
        assert cli.main(["verify", *words, "-M", machine, "--json"]) == ExitCode.OK
        said.append(json.loads(capsys.readouterr().out))
    assert said[0]["areas"] == said[1]["areas"]
    assert {t["name"] for t in said[0]["tables"]} == {t["name"] for t in said[1]["tables"]}


def test_a_stop_before_the_entry_has_its_name(bios: Path) -> None:
    with pytest.raises(FwbuildError, match=stop_codes.BY_NAME["NO_KERNEL"].what):
        count(Guest(), bios, 0x100000)


def test_what_qemu_says_when_it_refuses() -> None:
    with (
        pytest.raises(FwbuildError, match="machine"),
        stopped(command(Guest("nonesuch")), "-gdb") as connection,
    ):
        GdbStub(connection).monitor("info status")
