"""The bench's own first user program and its initrd, read by tools that are not ours."""

import io
import shutil
import subprocess
from pathlib import Path

from capstone import CS_ARCH_X86, CS_MODE_64, Cs
from elftools.elf.elffile import ELFFile

from fwbuild.abi import ports
from fwbuild.firmware import bench, stop_codes, test_kernel
from fwbuild.payloads.init import build_init, build_initrd
from tests.conftest import need


def test_init_is_a_static_program() -> None:
    data = build_init()
    elf = ELFFile(io.BytesIO(data))
    assert (elf.get_machine_arch(), elf.elfclass, elf.header["e_type"]) == ("x64", 64, "ET_EXEC")
    (segment,) = elf.iter_segments()
    assert (segment["p_type"], segment["p_filesz"]) == ("PT_LOAD", len(data))
    assert segment["p_vaddr"] % segment["p_align"] == segment["p_offset"] == 0
    at = elf.header["e_entry"] - segment["p_vaddr"]
    code = list(Cs(CS_ARCH_X86, CS_MODE_64).disasm(data[at:], elf.header["e_entry"]))
    assert [i.mnemonic for i in code[:3]] == ["mov", "mov", "syscall"]
    assert data.endswith(b"iopl refused\n")
    assert len(b"fwbuild bench: iopl refused\n") == bench.REFUSED_SIZE


def test_its_exit_means_nothing_else() -> None:
    others = {stop.code for stop in stop_codes.STOPS}
    others |= {test_kernel.EXIT_OK, test_kernel.EXIT_BAD}
    assert bench.EXIT_USER not in others
    assert ports.debug_exit_status(bench.EXIT_USER) not in (0, 1)


def test_initrd(tmp_path: Path) -> None:
    if not shutil.which("cpio"):
        need("cpio")
    done = subprocess.run(
        ["cpio", "-tv", "--quiet"], input=build_initrd(), capture_output=True, check=True
    )
    lines = [line.split() for line in done.stdout.decode().splitlines()]
    assert [(line[0], line[-1]) for line in lines] == [
        ("drwxr-xr-x", "dev"),
        ("crw-------", "dev/console"),
        ("-rwxr-xr-x", "init"),
    ]
    assert (lines[1][4], lines[1][5]) == ("5,", "1")
    subprocess.run(
        ["cpio", "-i", "--quiet", "init"], input=build_initrd(), cwd=tmp_path, check=True
    )
    assert (tmp_path / "init").read_bytes() == build_init()
