"""What an image says of itself, and what `inspect` says of it."""

import re
from pathlib import Path

import pytest

from fwbuild import __version__, cli
from fwbuild.image import artefacts, template
from fwbuild.image.build import Image, build_image
from fwbuild.image.identity import read_identity
from fwbuild.inspection import inspect


@pytest.mark.parametrize("name", template.names())
def test_an_image_says_what_it_is(name: str, tmp_path: Path) -> None:
    image = build_image(name)
    found = read_identity(image.image)
    assert found
    assert (found.version, found.template, found.start) == (__version__, name, image.start)
    path = tmp_path / "bios.bin"
    assert "sections" not in inspect(image.image, path).facts
    plain = artefacts.write(image, path)
    facts = inspect(image.image, path).facts
    assert facts.items() >= {"template": name, "used": image.used, "start": image.start}.items()
    assert [s["name"] for s in facts["sections"]] == [s["name"] for s in plain["rom"]]


def test_the_last_two_bytes_are_left_alone(image: Image) -> None:
    assert image.image[-2:] == bytes(2)


def test_a_template_of_any_name(tmp_path: Path) -> None:
    path = tmp_path / "my own ünïverse.toml"
    path.write_text('machines = ["pc"]\nprotocols = ["pvh"]\n')
    found = read_identity(build_image(str(path)).image)
    assert found and found.template == "my own ünïverse"


BESIDE = {
    "of another image": '{"sha256": "0", "rom": []}',
    "no JSON": "{",
    "no object": "7",
    "nothing in it": "{}",
}


@pytest.mark.parametrize("name", BESIDE)
def test_json_beside_an_image(
    name: str, image: Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bios.bin"
    path.write_bytes(image.image)
    path.with_suffix(".json").write_text(BESIDE[name])
    assert cli.main(["inspect", str(path)]) == 0
    assert "does not describe this image" in capsys.readouterr().out


def test_sections_are_printed(
    image: Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artefacts.write(image, tmp_path / "bios.bin")
    assert cli.main(["inspect", str(tmp_path / "bios.bin")]) == 0
    assert re.search(r"^fffffff0 +3 +routine +reset_vector", capsys.readouterr().out, re.MULTILINE)
