"""The formatter's word is the last but for tables, whose rows it would tear apart."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SKIP = "# fmt: skip"
TABLES = (ast.Dict, ast.List, ast.Tuple, ast.Set, ast.DictComp, ast.ListComp)


def is_table(statement: ast.stmt) -> bool:
    """A literal of several values, or a declaration at a module's top."""
    declared = statement.col_offset == 0 and isinstance(statement, (ast.Assign, ast.AnnAssign))
    return declared or isinstance(getattr(statement, "value", None), TABLES)


def skipped(text: str) -> Iterator[ast.stmt]:
    """The statement of each line that the formatter is told to skip; a decorator's is none."""
    statements = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.stmt)]
    for number, line in enumerate(text.splitlines(), 1):
        if line.endswith(SKIP):
            around = [s for s in statements if s.lineno <= number <= (s.end_lineno or 0)]
            if around:
                yield max(around, key=lambda s: s.lineno)


@pytest.mark.parametrize("folder", ["fwbuild", "tests"])
def test_only_tables_are_not_formatted(folder: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{statement.lineno}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for statement in skipped(path.read_text(encoding="utf-8"))
        if not is_table(statement)
    ]
    assert found == []


def test_a_call_is_no_table() -> None:
    (call,) = skipped(f"def f():\n    g(1,\n      2)  {SKIP}\n")
    (table,) = skipped(f"def f():\n    return [1,\n            2]  {SKIP}\n")
    assert not is_table(call)
    assert is_table(table)
