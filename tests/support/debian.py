"""Files of Debian's packages as test subjects: downloaded once by name, never installed."""

import fcntl
import fnmatch
import gzip
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from fwbuild.kernel.bzimage import extract_vmlinux
from tests.conftest import need

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "debian"
BUSYBOX = Path("/bin/busybox")
SECONDS = 240  # a download
# Kernels by the names that Debian's packages have for them.
KERNELS = {
    "cloud": "linux-image-cloud-amd64",
    "generic": "linux-image-amd64",
    "686-pae": "linux-image-686-pae:i386",
    "6.12": "linux-image-6.12.*-cloud-amd64-unsigned",  # of a later release, for this one
}
XEN = "xen-hypervisor-4.17-amd64"


def package_file(package: str, path_glob: str) -> Path:
    """The file of a package that a glob matches (the last, if several do). `package` is a name,
    `name:i386`, a metapackage of a kernel's image, or a pattern: the newest that matches."""
    folder = CACHE / package.replace(":", "-").replace(".*", "")
    folder.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the workers share one download
        if not any(folder.glob(path_glob)):
            try:
                _download(package, path_glob, folder)
            except (OSError, subprocess.SubprocessError, StopIteration) as error:
                need(f"Debian's package {package} ({error}); run `apt-get update`")
    return sorted(folder.glob(path_glob))[-1]


def _download(package: str, path_glob: str, folder: Path) -> None:
    _, _, foreign = package.partition(":")
    if foreign and os.geteuid() == 0:
        _run("dpkg", "--add-architecture", foreign)
        _run("apt-get", "update", "-qq", check=False)  # other sources may fail
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        _run("apt-get", "download", _concrete(package), cwd=scratch)
        archive = next(Path(scratch).glob("*.deb"))
        _run("dpkg-deb", "-x", str(archive), "unpacked", cwd=scratch)
        unpacked = Path(scratch) / "unpacked"
        for found in unpacked.glob(path_glob):
            target = folder / found.relative_to(unpacked)
            target.parent.mkdir(parents=True, exist_ok=True)
            found.replace(target)


def _concrete(package: str) -> str:
    """The package itself: the newest of a pattern, and what a metapackage depends on."""
    if "*" in package:
        names = _run("apt-cache", "pkgnames", package.partition("*")[0]).split()
        found = fnmatch.filter(names, package)
        if not found:
            raise OSError("apt knows none")
        return max(found, key=lambda name: [int(n) for n in re.findall(r"\d+", name)])
    image = re.search(r"Depends: (linux-image-\S+)", _run("apt-cache", "depends", package))
    return image[1] if image else package


def _run(*argv: str, cwd: str | None = None, check: bool = True) -> str:
    return subprocess.run(
        argv, cwd=cwd, check=check, capture_output=True, text=True, timeout=SECONDS
    ).stdout


def vmlinuz(name: str) -> Path:
    """The bzImage of one of KERNELS."""
    return package_file(KERNELS[name], "boot/vmlinuz-*")


def vmlinux(name: str) -> Path:
    """The vmlinux inside it."""
    packed = vmlinuz(name)
    target = packed.with_name(packed.name.replace("vmlinuz", "vmlinux"))
    return _unpacked(target, lambda: extract_vmlinux(packed)[1])


def cloud_vmlinuz() -> Path:
    """The bzImage that most tests take."""
    return vmlinuz("cloud")


def cloud_vmlinux() -> Path:
    """The vmlinux inside it."""
    return vmlinux("cloud")


def xen() -> Path:
    """Xen's Multiboot kernel."""
    packed = package_file(XEN, "boot/xen-*-amd64.gz")
    return _unpacked(packed.with_suffix(""), lambda: gzip.decompress(packed.read_bytes()))


def _unpacked(target: Path, unpack: Callable[[], bytes]) -> Path:
    """A file beside a package's, made the first time that it is asked for."""
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            part = target.with_suffix(".part")
            part.write_bytes(unpack())
            part.replace(target)
    return target


def busybox_for(name: str) -> Path:
    """A static busybox that one of KERNELS runs."""
    if KERNELS[name].endswith(":i386"):
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
        last = package_file(KERNELS["cloud"], f"lib/modules/*/kernel/*/*/{pattern}")
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
