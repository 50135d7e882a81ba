"""Debian's kernel as a test subject: downloaded once by name, unpacked, never installed."""

import fcntl
import re
import shutil
import subprocess
from pathlib import Path

from fwbuild.kernel.bzimage import extract_vmlinux
from tests.conftest import need

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "debian"
BUSYBOX = Path("/bin/busybox")


def cloud_vmlinuz() -> Path:
    """The bzImage of the package that linux-image-cloud-amd64 stands for."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the workers share one download
        found = sorted(CACHE.glob("boot/vmlinuz-*-amd64"))
        return found[-1] if found else _download("linux-image-cloud-amd64")


def _download(metapackage: str) -> Path:
    try:
        depends = subprocess.run(
            ["apt-cache", "depends", metapackage], capture_output=True, text=True, check=True
        ).stdout
        match = re.search(r"Depends: (linux-image-\S+)", depends)
        if not match:
            raise FileNotFoundError(metapackage)
        subprocess.run(["apt-get", "download", match[1]], cwd=CACHE, check=True,
                       capture_output=True, timeout=240)  # fmt: skip
        package = next(CACHE.glob(f"{match[1]}_*.deb"))
        subprocess.run(["dpkg-deb", "-x", package, CACHE / "unpacked"], check=True)
    except (OSError, subprocess.SubprocessError, StopIteration) as error:
        need(f"Debian's package {metapackage} ({error}); run `apt-get update`")
    (CACHE / "boot").mkdir(exist_ok=True)
    kernel = next((CACHE / "unpacked" / "boot").glob("vmlinuz-*"))
    target = CACHE / "boot" / kernel.name
    shutil.copy(kernel, target.with_suffix(".part"))
    target.with_suffix(".part").replace(target)
    shutil.rmtree(CACHE / "unpacked")
    package.unlink()
    return target


def cloud_vmlinux() -> Path:
    """The vmlinux inside it."""
    source = cloud_vmlinuz()
    target = CACHE / source.name.replace("vmlinuz", "vmlinux")
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            part = target.with_suffix(".part")
            part.write_bytes(extract_vmlinux(source)[1])
            part.replace(target)
    return target


def make_initrd(folder: Path, script: str) -> Path:
    """An initrd with busybox and `script` as its /init; `folder` is a scratch folder."""
    if not BUSYBOX.exists() or not shutil.which("cpio"):
        need("busybox-static and cpio")
    root = folder / "root"
    for name in ("bin", "proc", "sys", "dev"):
        (root / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(BUSYBOX, root / "bin" / "busybox")
    (root / "init").write_text(script)
    (root / "init").chmod(0o755)
    names = "".join(f"{path.relative_to(root)}\n" for path in sorted(root.rglob("*")))
    packed = subprocess.run(["cpio", "--quiet", "-o", "-H", "newc"], cwd=root, check=True,
                            input=names.encode(), capture_output=True).stdout  # fmt: skip
    initrd = folder / "initrd"
    initrd.write_bytes(packed)
    return initrd
