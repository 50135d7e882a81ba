"""The public API: its page runs, its names are all there, and importing it imports nothing else."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fwbuild
from fwbuild import api, docs
from fwbuild.docs import DOCS
from fwbuild.errors import ExitCode, FwbuildError
from tests.support.pages import run_page

PAGE = (DOCS / "python.md").read_text(encoding="utf-8")


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the part that needs QEMU."""
    monkeypatch.chdir(tmp_path)
    emulated, found, _ = PAGE.partition(docs.REAL)
    assert found
    run_page(emulated)


def test_the_page_has_an_example_of_each_name() -> None:
    sections = dict(re.findall(r"(?ms)^### (\w+)\n(.*?)(?=^##)", PAGE + "##"))
    assert {*sections} == {*api.__all__}
    assert [name for name, text in sections.items() if ">>> " not in text] == []
    functions = [n for n in api.__all__ if n[0].islower()]
    assert [n for n in functions if f"fwbuild.{n}(" not in sections[n]] == []


def test_names_of_files_as_text(tmp_path: Path) -> None:
    found = api.Guest(kernel="k", initrd="a b,c", baked=str(tmp_path))  # type: ignore[arg-type]
    assert found == api.Guest(kernel=Path("k"), initrd=Path("a b,c"), baked=tmp_path)


def test_names() -> None:
    """Type checkers see the same names that exist at run time."""
    assert {*fwbuild.__all__} == {*api.__all__, "__version__"}
    tree = ast.parse(Path(str(fwbuild.__file__)).read_text(encoding="utf-8"))
    seen = [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "fwbuild.api"
        for alias in node.names
    ]
    assert seen == api.__all__
    for name in api.__all__:
        assert getattr(fwbuild, name) is getattr(api, name)
        assert getattr(api, name).__doc__
    assert {*fwbuild.__all__} <= {*dir(fwbuild)}


def test_no_such_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'bulid'"):
        getattr(fwbuild, "bulid")  # noqa: B009


def test_import_is_lazy() -> None:
    """`import fwbuild` loads no CPU, assembler or template engine."""
    code = "import sys, fwbuild; print(*(m for m in sys.modules if m.startswith('fwbuild')))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["fwbuild"]


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "a key misspelt": ({"trcae": True}, "unknown key 'trcae'", "did you mean trace?"),
    "a switch that is a word": ({"trace": "yes"}, "bad 'trace'", "true or false"),
    "a list that is a word": ({"protocols": "pvh"}, "bad 'protocols'", "a list of pvh"),
    "nothing": ({"machines": []}, "bad 'machines'", "a list of microvm"),
    "no modules": (
        {"kernel_file": True},
        "'kernel_file' without 'modules'",
        "initrd is one of them",
    ),
    "half of the bzImages": ({"protocols": ["linux16"]}, "linux16 without linux", "tell bzImages"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_options(name: str) -> None:
    options, what, hint = BAD[name]
    with pytest.raises(FwbuildError) as error:
        fwbuild.build("linux", **options)
    assert error.value.code == ExitCode.TEMPLATE
    assert error.value.where == "linux"
    assert what in error.value.what and hint in error.value.hint
