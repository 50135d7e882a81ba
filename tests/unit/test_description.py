"""The JSON beside an image, which anybody may have written: the report comes, and a line says why
the JSON is of no use."""

import json
import os
from collections.abc import Callable
from hashlib import sha256
from math import inf, nan
from pathlib import Path

import pytest

from fwbuild import cli
from fwbuild.errors import ExitCode
from fwbuild.firmware.layout import IMAGE_SIZE, ROM
from fwbuild.image.build import Image
from fwbuild.inspection.firmware import DESCRIPTION_MAX

SECTION = {"name": "a", "address": ROM.base, "size": 1, "kind": "routine"}
NO_SECTION = "a section in it is none"
ANOTHER = "it is of another image"
NOT_OURS = "`fwbuild build` did not write it"
IRREGULAR = "cannot read: not a regular file"

# What is beside the image: a text, and the reason that is told.
TEXTS = {
    "nothing in it": ("", "line 1 is no JSON"),
    "half of it": ('{"sha256": ', "line 1 is no JSON"),
    "no text": ("\udcff", "byte 0 is no UTF-8"),
    "nested": ("[" * 200_000, "it is nested too deep"),
    "a long number": ('{"sha256":' + "9" * 5000 + "}", "4300 digits"),
    "too long": (" " * (DESCRIPTION_MAX + 1), "it has more than 256 KiB"),
    "a number": ("7", NOT_OURS),
    "an empty object": ("{}", NOT_OURS),
    "of another image": ('{"sha256": "0", "rom": []}', ANOTHER),
    "a hash that is none": ('{"sha256": 1e400, "rom": []}', ANOTHER),
}

# The sections beside the image of that hash.
NO_NUMBERS: list[object] = [inf, -inf, nan, 1.5, True, None, "zz", -1, [1], 1 << 64, 10**400]
NO_TEXTS: list[object] = [5, None, [1], {}]
SECTIONS: dict[str, object] = {
    "no list": 5,
    "an object": {"a": 1},
    "a list of numbers": [5],
    "a list of lists": [[]],
    **{
        f"{key} {value!r:.9}": [SECTION | {key: value}]
        for key in ("address", "size")
        for value in NO_NUMBERS
    },
    **{f"{key} {value!r}": [SECTION | {key: value}]
       for key in ("name", "kind") for value in NO_TEXTS},
    **{f"no {key}": [{k: v for k, v in SECTION.items() if k != key}] for key in SECTION},
}  # fmt: skip


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pipe": (os.mkfifo, IRREGULAR),
    "a device without end": (endless, IRREGULAR),
    "a folder": (Path.mkdir, IRREGULAR),
    "a link to itself": (lambda p: p.symlink_to(p.name), "Too many levels of symbolic links"),
}


def told(path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    """What is said of an image, the end of the report."""
    assert cli.main(["inspect", str(path), *more]) == ExitCode.OK
    said = capsys.readouterr()
    assert said.err == ""
    return said.out


@pytest.fixture
def path(image: Image, tmp_path: Path) -> Path:
    found = tmp_path / "bios.bin"
    found.write_bytes(image.image)
    return found


def check(path: Path, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    note = f"{path.with_suffix('.json')} does not describe this image: "
    text = told(path, capsys)
    assert "firmware image of fwbuild" in text and text.count("does not describe") == 1
    assert why in text[text.index(note) + len(note) :]
    plain = json.loads(told(path, capsys, "--json"))
    assert "sections" not in plain["facts"] and note in plain["notes"][-1]


@pytest.mark.parametrize("name", TEXTS)
def test_a_text(name: str, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, why = TEXTS[name]
    path.with_suffix(".json").write_bytes(text.encode("utf-8", "surrogateescape"))
    check(path, why, capsys)


@pytest.mark.parametrize("name", SECTIONS)
def test_sections(name: str, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = {"sha256": sha256(path.read_bytes()).hexdigest(), "rom": SECTIONS[name]}
    path.with_suffix(".json").write_text(json.dumps(plain))
    check(path, NO_SECTION, capsys)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", FILES)
def test_what_is_no_file(name: str, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, why = FILES[name]
    make(path.with_suffix(".json"))
    check(path, why, capsys)


def test_explain_has_the_same_report(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.with_suffix(".json").write_text("[" * 200_000)
    assert cli.main(["explain", str(path)]) == ExitCode.OK
    said = capsys.readouterr()
    assert said.err == "" and "does not describe this image: it is nested" in said.out


def test_no_terminal_obeys_a_name(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a control character nor what rich takes for markup."""
    row = SECTION | {"name": "a\x1b[31m[/b]", "size": IMAGE_SIZE}
    plain = {"sha256": sha256(path.read_bytes()).hexdigest(), "rom": [row]}
    path.with_suffix(".json").write_text(json.dumps(plain))
    assert "a?[31m[/b]" in told(path, capsys)
