"""Other QEMUs than the system's, from Debian's archive: unpacked into the cache, never installed.

Each is started by the dynamic linker and with the libraries of its own suite, by a script that
takes QEMU's arguments. `python -m tests.support.qemus` gets all of them and prints their paths;
with names, those.
"""

import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import need
from tests.support.cache import CACHE, once
from tests.support.debian import BACKPORTS, SID

# By the first number of their version.
QEMUS = {
    "10": BACKPORTS,
    "11": SID,
}
# With all of its modules: `-device help` loads each, and would find the system's instead.
PACKAGES = ("qemu-system-x86", "qemu-system-modules-opengl", "qemu-system-modules-spice")
PROGRAM = "qemu-system-x86_64"
SCRIPT = """\
#!/bin/sh
root=${0%/*}/root
lib=$root/lib/x86_64-linux-gnu
usr=$root/usr/lib/x86_64-linux-gnu
linker=$lib/ld-linux-x86-64.so.2
[ -e "$linker" ] || linker=$usr/ld-linux-x86-64.so.2
QEMU_MODULE_DIR=$usr/qemu
export QEMU_MODULE_DIR
exec "$linker" --library-path "$lib:$usr" "$root/usr/bin/qemu-system-x86_64" \\
    -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" -L "$root/usr/lib/ipxe/qemu" "$@"
"""


def qemu(name: str) -> Path:
    """The script that starts one of QEMUS; it is got if it is not there."""
    try:
        return once(CACHE / "qemus" / name, lambda folder: _make(name, folder)) / PROGRAM
    except (OSError, subprocess.SubprocessError) as error:
        need(f"QEMU {name} of Debian's archive ({error})")
        raise


def _make(name: str, folder: Path) -> None:
    debs, root = folder / "debs", folder / "root"
    QEMUS[name].download_closure(PACKAGES, debs)
    for deb in debs.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", deb, root], check=True, timeout=60)
        deb.unlink()
    script = folder / PROGRAM
    script.write_text(SCRIPT)
    script.chmod(0o755)
    said = subprocess.run(
        [script, "--version"], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    if not re.search(rf"version {name}\.", said):
        raise OSError(f"it has another one: {said.splitlines()[0]}")


if __name__ == "__main__":
    for wanted in sys.argv[1:] or QEMUS:
        print(qemu(wanted))
