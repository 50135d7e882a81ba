"""Real QEMU: the modules of a kernel that the firmware loads, as many and as long as may be."""

from pathlib import Path

import pytest

from fwbuild.cli import main
from fwbuild.errors import ExitCode
from fwbuild.firmware import file_names
from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.machines import MACHINES
from fwbuild.protocols import MULTIBOOT2
from fwbuild.sizes import MIB
from tests.support import hobby
from tests.support.booted import booted

pytestmark = [pytest.mark.qemu, pytest.mark.versions]


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    return hobby.link(hobby.HEADER2.format(tags=""), tmp_path)


@pytest.mark.parametrize("name", MACHINES)
def test_all_that_there_can_be(name: str, kernel: Path, image: Image, tmp_path: Path) -> None:
    """Each with a command line: more files than QEMU has room for by itself. The first is empty,
    and 800 bytes of the last one's command line are more than a file's name can have."""
    texts = [f"'{n}' \"x\"  y" for n in range(1, file_names.MODULES_MAX)] + ["/" + "z" * 800]
    paths = [tmp_path / f"module {n}" for n in range(len(texts))]
    for number, path in enumerate(paths):
        path.with_name(f"m{number}").write_bytes(b"m" * number)
    initrd = Path(",".join(f"{tmp_path}/m{n} {text}" for n, text in enumerate(texts)))
    guest = Guest(name, kernel=kernel, initrd=initrd, firmware_loads=True)
    with booted(guest, image, tmp_path) as pair:
        pair.agree()
        found = [(end - start, text) for start, end, text in MULTIBOOT2.read(pair.real).modules]
    assert found == [(n, text.encode()) for n, text in enumerate(texts)]


@pytest.mark.parametrize("verb", ["run", "verify", "cost"])
def test_more_than_the_firmware_looks_for(
    verb: str, kernel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, and no guest that lacks the last of them."""
    (tmp_path / "m").write_bytes(b"m")
    initrd = ",".join([f"{tmp_path}/m"] * (file_names.MODULES_MAX + 1))
    assert main([verb, "--kernel", str(kernel), "--initrd", initrd]) == ExitCode.USAGE
    assert "--initrd: 10 modules (hint: the firmware takes 9" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["run", "verify", "cost"])
def test_a_name_with_a_blank(
    verb: str, kernel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file of that name is the initrd; without one it would be a name and arguments."""
    (tmp_path / "my initrd, old").write_bytes(b"m")
    argv = [verb, "--kernel", str(kernel), "--initrd", str(tmp_path / "my initrd, old")]
    argv += ["--timeout", "5"] if verb == "run" else []
    assert main(argv) == (ExitCode.TIMEOUT if verb == "run" else ExitCode.OK)
    assert "no such file" not in capsys.readouterr().err


def test_arguments_longer_than_a_name(
    kernel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m").write_bytes(b"m")
    for verb in ("verify", "cost"):
        argv = [verb, "--kernel", str(kernel), "--initrd", f"{tmp_path}/m {'y' * 4096}"]
        assert main(argv) == ExitCode.OK, capsys.readouterr().err


@pytest.mark.parametrize("name", MACHINES)
def test_a_module_above_a_kernels_limit(name: str, image: Image, tmp_path: Path) -> None:
    """The header limits where the kernel may go, and nothing else."""
    kernel = hobby.link(
        hobby.HEADER2.format(tags=hobby.tag(10, 0x100000, 16 * MIB, 0x200000, 2)), tmp_path
    )
    (tmp_path / "m").write_bytes(b"m" * 20 * MIB)
    guest = Guest(name, kernel=kernel, initrd=tmp_path / "m", firmware_loads=True)
    with booted(guest, image, tmp_path) as pair:
        pair.agree()
        ((start, _, _),) = MULTIBOOT2.read(pair.real).modules
    assert start > 16 * MIB
