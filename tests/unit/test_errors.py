"""Errors: each has a hint, and stays on one line."""

import ast
from pathlib import Path

import fwbuild
from fwbuild.errors import ExitCode, FwbuildError

PACKAGE = Path(fwbuild.__file__).parent
# What only somebody who changes the assembly sees says its line, and there is nothing to add.
SOURCES = [p for p in PACKAGE.rglob("*.py") if p.parent.name != "assembler"]


def test_each_has_a_hint() -> None:
    for path in SOURCES:
        text = path.read_text()
        if "FwbuildError(" not in text:
            continue
        calls = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call)]
        errors = [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "FwbuildError"]
        without = [c.lineno for c in errors if "hint" not in [k.arg for k in c.keywords]]
        assert (path, without) == (path, [])


def test_one_line_that_no_terminal_obeys() -> None:
    error = FwbuildError(ExitCode.INPUT, "a\nb\x1b[31m\u2028", where="\udcff\r", hint="\0 \u00fc")
    assert str(error) == "\\udcff\\r: a b\\x1b[31m\\u2028 (hint: \\x00 \u00fc)"
