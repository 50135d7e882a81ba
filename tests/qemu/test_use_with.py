"""docs/use-with.md: each program that it says is tested, by the lines that it has."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

import fwbuild
from fwbuild import machines
from fwbuild.bake.read import bake
from fwbuild.docs import DOCS
from fwbuild.errors import ExitCode
from fwbuild.image.build import build_image
from fwbuild.machines import MACHINES
from fwbuild.payloads.test_kernel import build_test_kernel
from fwbuild.qemu.program import program
from fwbuild.sizes import MIB
from tests.support.debian import KERNELS, append, cloud_vmlinuz, make_initrd, package_file
from tests.support.pages import fenced

pytestmark = pytest.mark.qemu

PAGE = (DOCS / "use-with.md").read_text(encoding="utf-8")
IMAGE = "/usr/local/share/fwbuild/bios.bin"  # as the page has it
NOBODY = 65534  # libvirt takes a user of its own for root's guests
DRIVER = "*/libvirt/connection-driver/libvirt_driver_qemu.so"


def installed(name: str) -> str:
    """A program that no test needs; without it the test is skipped, in CI too."""
    if not (path := shutil.which(name)):
        pytest.skip(f"needs {name}")
    return path


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that another user can use."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        path.chmod(0o777)
        yield path


@contextmanager
def virsh(folder: Path) -> Iterator[IO[str]]:
    """The input of a virsh, with a libvirt of its own that has its state in `folder`."""
    (folder / "root/etc").mkdir(parents=True)
    (folder / "root/etc/qemu.conf").write_text('stdio_handler = "file"\n')
    for path in (folder / "root", folder / "root/etc"):
        path.chmod(0o777)
    names = ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
    other = NOBODY if os.getuid() == 0 else None
    with subprocess.Popen(
        [installed("virsh"), "-c", f"qemu:///embed?root={folder}/root"],
        env=os.environ | dict.fromkeys(names, str(folder)),
        cwd=folder,
        user=other,
        group=other,
        extra_groups=[] if other else None,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin
        try:
            yield process.stdin
        finally:
            process.stdin.write("destroy tiny\nquit\n")


# name: (protocols of the image, {file: what it has to say})
DOMAINS = {
    "it boots": (["pvh"], {"serial": "test kernel: hvm_start_info at"}),
    "it stops": (
        ["multiboot"],
        {
            "serial": "fwbuild: 21 kernel kind not supported",
            "root/log/qemu/tiny.log": "reason=crashed",
        },
    ),
}


def need_libvirt() -> None:
    installed("virsh")
    if not any(Path("/usr/lib").glob(DRIVER)):
        pytest.skip("needs libvirt's QEMU driver")


@pytest.mark.parametrize("name", DOMAINS)
def test_libvirt(name: str, shared: Path) -> None:
    protocols, told = DOMAINS[name]
    need_libvirt()
    (shared / "bios.bin").write_bytes(build_image("linux", pci="full", protocols=protocols).image)
    (shared / "kernel").write_bytes(build_test_kernel())
    (domain,) = fenced("use-with.md", "xml")
    for theirs, ours in {
        IMAGE: shared / "bios.bin",
        "/srv/guest/vmlinuz": shared / "kernel",
        "/srv/guest/serial": shared / "serial",
        "<devices>": f"<devices><emulator>{program().path}</emulator>",
    }.items():
        assert theirs in domain
        domain = domain.replace(theirs, str(ours))
    (shared / "domain.xml").write_text(domain)
    with virsh(shared) as shell:
        shell.write(f"create {shared}/domain.xml\n")
        shell.flush()
        for file, words in told.items():
            wait_for(shared / file, words)


@pytest.mark.parametrize("machine", ["pc", "q35"])  # libvirt 9 refuses microvm
def test_libvirt_starts_a_baked_guest(machine: str, shared: Path) -> None:
    """The domain that `fwbuild bake` writes; the guest has ACPI."""
    need_libvirt()
    (shared / "kernel").write_bytes(build_test_kernel())
    folder = shared / "baked"
    bake(fwbuild.Guest(machine, 128 * MIB, 2, shared / "kernel"), folder)
    for path in (folder, *folder.iterdir()):
        path.chmod(0o777)  # for the other user
    domain = (folder / "libvirt.xml").read_text()
    for theirs, ours in {
        "DIR": str(folder),
        "/usr/bin/qemu-system-x86_64": program().path,
        "<serial type='pty'/>": f"<serial type='file'><source path='{shared}/serial'/></serial>",
        "type='kvm'": "type='qemu'",
        "<name>baked": "<name>tiny",
    }.items():
        assert theirs in domain
        domain = domain.replace(theirs, ours)
    (shared / "domain.xml").write_text(domain)
    with virsh(shared) as shell:
        shell.write(f"create {shared}/domain.xml\n")
        shell.flush()
        wait_for(shared / "serial", "\nmemory ")
    assert re.search(r"\nrsdp +0*[1-9a-f]", (shared / "serial").read_text())


def wait_for(path: Path, words: str) -> None:
    """Until a file has some words, for a minute at most."""
    end = time.monotonic() + 60
    while not (path.exists() and words in path.read_text(errors="replace")):
        assert time.monotonic() < end, f"{path.name} has no '{words}'"
        time.sleep(0.1)


def test_virtme_ng(bios: Path) -> None:
    installed("depmod")  # which virtme-ng looks for
    (shown,) = re.findall(r"^    (vng .*)", PAGE, re.MULTILINE)
    line = shlex.split(shown.replace(IMAGE, str(bios)))
    line[:1] = [installed("vng"), "--dry-run", "--disable-kvm", "--force-9p"]
    line[line.index("--run") + 1] = str(cloud_vmlinuz())
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    made = shlex.split(done.stdout)
    assert made[made.index("-bios") + 1] == str(bios), done.stderr
    assert made[made.index("-machine") + 1].split(",")[0] in MACHINES


READ = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox insmod /modules/*
for file in /sys/firmware/dmi/entries/11-*/raw \
        /sys/firmware/qemu_fw_cfg/by_name/opt/io.systemd.credentials/*/raw; do
    echo "$file: $(/bin/busybox cat -v $file)"
done
echo that is all
/bin/busybox poweroff -f
"""


@pytest.mark.parametrize("machine", ["q35", "microvm"])
def test_credentials(machine: str, tmp_path: Path, bios: Path) -> None:
    (shown,) = re.findall(r"^    fwbuild run .*? -- \\\n(.*?)\n\n", PAGE, re.MULTILINE | re.DOTALL)
    options = shlex.split(shown.replace("\\\n", ""))
    if machine == "microvm":  # which has no SMBIOS
        options = options[options.index("-fw_cfg") :]
    module = package_file(KERNELS["cloud"].package, "lib/modules/*/*/*/*/qemu_fw_cfg.ko")
    guest = fwbuild.Guest(
        machine=machine,
        kernel=cloud_vmlinuz(),
        initrd=make_initrd(tmp_path, READ, modules=[module]),
        append=append(machines.of(machine)),
        extra=tuple(options),
    )
    found = fwbuild.run(guest, bios.read_bytes(), until="that is all", timeout=120).serial
    if machine == "q35":
        assert re.search(r"11-0/raw: .*io\.systemd\.credential:greeting=hello", found)
    assert "opt/io.systemd.credentials/greeting/raw: hello" in found


# (kernel, what it should print, the job's exit status)
JOBS = {
    "it prints it": ("kernel", "test kernel", 0),
    "it does not": ("kernel", "all tests passed", ExitCode.UNEXPECTED),
    "there is no kernel": ("none", "all tests passed", ExitCode.INPUT),
}


@pytest.mark.parametrize("name", JOBS)
def test_ci_job(name: str, tmp_path: Path) -> None:
    kernel, expect, status = JOBS[name]
    (script,) = re.findall(r"run: \|\n(.*?)```", PAGE, re.DOTALL)
    job = textwrap.dedent(script).replace("fwbuild run", f"{sys.executable} -m fwbuild run")
    (tmp_path / "kernel").write_bytes(build_test_kernel())
    done = subprocess.run(
        ["bash", "-e", "-c", job],
        env=os.environ | {"KERNEL": kernel, "APPEND": "quiet", "EXPECT": expect},
        cwd=tmp_path,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == status, done.stderr
