"""A template that starts from another, and mistakes in a template's file."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import data_dir
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
    "nested": ("a = " + "[" * 9_000, "my.toml: nested too deep", "docs/templates.md"),
    "nested tables": ("a = " + "{a=" * 5_000, "my.toml: nested too deep", "docs/templates.md"),
    **{
        f"a budget of {text}": (
            f'extends = "linux"\nbudget = {text}\n',
            "my.toml:2: bad 'budget'",
            "",
        )
        for text in (
            "inf",
            "nan",
            "1e400",
            "1.5",
            "6e3",
            "true",
            "-1",
            "0",
            '"1"',
            "[1]",
            "0x10001",
        )
    },
    "a long number": ("budget = " + "9" * 5000, "my.toml: Exceeds the limit", "docs"),
    "17 KiB": ("#" * (17 << 10), "my.toml: it has more than 16 KiB", "right file"),
    "a base without a name": ('extends = "\\u0000"\n', "my.toml:1: no template", "there are"),
    "a base that is a folder": ('extends = "../x.toml"\n', "x.toml: cannot read: Is a dir", "path"),
    "no TOML": ('extends = "linux\n', "my.toml: ", "line 1"),
}


def test_20_files_that_extend_each_other(tmp_path: Path) -> None:
    paths = [written(tmp_path, f'extends = "{i + 1}.toml"\n', f"{i}.toml") for i in range(20)]
    with pytest.raises(FwbuildError, match="after 16 others") as caught:
        Template.load(paths[0])
    assert caught.value.code == ExitCode.TEMPLATE


def test_a_byte_order_mark(tmp_path: Path) -> None:
    mine = Template.load(written(tmp_path, '\ufeffextends = "linux"\n'))
    assert mine.words("protocols") == LINUX.words("protocols")


def test_no_text(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_bytes(b"\xff")
    with pytest.raises(FwbuildError, match="byte 0 is no UTF-8") as caught:
        Template.load(path)
    assert caught.value.code == ExitCode.TEMPLATE


PIECES = st.sampled_from([b"", b"[", b"{", b'"', b"=", b"'", b"\0", b"\xff", b"1e", b".", b"\n"])


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damage_is_told_or_harmless(data: st.DataObject) -> None:
    text = bytearray((data_dir("templates") / "linux.toml").read_bytes())
    for at in data.draw(st.lists(st.integers(0, len(text)), min_size=1, max_size=5)):
        piece = data.draw(PIECES) * data.draw(st.sampled_from([1, 3, 5000]))
        text[at : at + data.draw(st.integers(0, 9))] = piece
    with TemporaryDirectory() as folder:
        path = Path(folder) / "my.toml"
        path.write_bytes(text)
        try:
            Template.load(path)
        except FwbuildError as error:
            assert error.code == ExitCode.TEMPLATE


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_names_its_line(name: str, tmp_path: Path) -> None:
    text, *words = MISTAKES[name]
    (tmp_path / "x.toml").mkdir()
    tmp_path = tmp_path / "below"
    tmp_path.mkdir()
    with pytest.raises(FwbuildError) as caught:
        Template.load(written(tmp_path, text))
    assert caught.value.code == ExitCode.TEMPLATE
    assert [word for word in words if word not in str(caught.value)] == []
