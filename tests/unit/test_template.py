"""A template that starts from another, and mistakes in a template's file."""

from pathlib import Path

import pytest

from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.firmware.options import BUDGET_MAX
from fwbuild.image.build import build_image
from fwbuild.image.template import Template

LINUX = Template.load("linux")


def written(folder: Path, text: str, name: str = "my.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_file_says_only_what_differs(tmp_path: Path) -> None:
    mine = Template.load(written(tmp_path, 'extends = "linux"\npci = "full"\n'))
    changed = {"pci": "full", "budget": BUDGET_MAX}
    assert mine.name == "my"
    assert mine.values == {**LINUX.values, **changed}
    assert LINUX.values["pci"] != "full"


def test_the_image_is_that_of_the_same_settings(tmp_path: Path) -> None:
    path = written(tmp_path, 'extends = "linux"\ntrace = true\n', "linux.toml")
    assert build_image(path).image == build_image("linux", trace=True).image


def test_a_file_extends_one_beside_it(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    written(tmp_path, 'extends = "linux"\ntrace = true\n', "base.toml")
    path = written(tmp_path / "below", 'extends = "../base.toml"\npci = "full"\n')
    values = Template.load(path).values
    assert (values["trace"], values["pci"]) == (True, "full")


# A file's text, and the words of its error.
MISTAKES = {
    "unknown key": (
        'extends = "linux"\n\npcii = "full"\n',
        "my.toml:3: unknown key 'pcii'",
        "pci?",
    ),
    "misspelt extends": ('\nextend = "linux"\n', "my.toml:2: unknown key", "did you mean extends?"),
    "bad value": ('extends = "linux"\npci = "half"\n', "my.toml:2: bad 'pci'", "one of full, none"),
    "unknown base": ('# mine\nextends = "linus"\n', "my.toml:2: no template 'linus'", "linux?"),
    "no name": ("extends = 1\n", "my.toml:1: bad 'extends'", "the name of a template"),
    "itself": ('extends = "my.toml"\n', "my.toml: 'extends' leads back to it", "another"),
    "no TOML": ('extends = "linux\n', "my.toml: ", "line 1"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_names_its_line(name: str, tmp_path: Path) -> None:
    text, *words = MISTAKES[name]
    with pytest.raises(FwbuildError) as caught:
        Template.load(written(tmp_path, text))
    assert caught.value.code == ExitCode.TEMPLATE
    assert [word for word in words if word not in str(caught.value)] == []
