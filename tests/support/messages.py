"""Which of the tool's messages does no test bring about?

`python -m tests.support.messages FILE` reads the JSON report of coverage.py and checks
tests/messages.toml: a place that raises or makes an error and that no test reaches needs a reason
there, and one that a test reaches may have none.
"""

import ast
import json
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fwbuild.files import PACKAGE

REASONS = Path(__file__).resolve().parents[1] / "messages.toml"
NO_MESSAGES = {"AssertionError", "KeyboardInterrupt", "SystemExit", "NotImplementedError"}


@dataclass(frozen=True, order=True)
class Place:
    """A statement that raises or makes an error: its file, its lines, and its text on one line."""

    file: str
    first: int
    last: int
    text: str


def places(file: str, source: str) -> Iterator[Place]:
    """Those of a file, in order."""
    for node in ast.walk(ast.parse(source)):
        if _raises(node) or _makes(node):
            assert isinstance(node, ast.stmt)
            last = node.end_lineno or node.lineno
            yield Place(file, node.lineno, last, " ".join(ast.unparse(node).split()))


def _raises(node: ast.AST) -> bool:
    return isinstance(node, ast.Raise) and bool(node.exc) and _name(node.exc) not in NO_MESSAGES


def _makes(node: ast.AST) -> bool:
    """Whether a statement makes an error, by the name of its class."""
    value = node.value if isinstance(node, ast.Return | ast.Assign) else None
    return isinstance(value, ast.Call) and _name(value).endswith("Error")


def _name(node: ast.expr | None) -> str:
    """The name that an expression, or the function that it calls, ends with."""
    function = node.func if isinstance(node, ast.Call) else node
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def unreached(report: Mapping[str, Any]) -> Iterator[Place]:
    """The places that did not run."""
    for file, found in sorted(report["files"].items()):
        missing = set(found["missing_lines"])
        source = (PACKAGE.parent / file).read_text(encoding="utf-8")
        for place in sorted(places(file, source)):
            if missing & set(range(place.first, place.last + 1)):
                yield place


def problems(missing: list[Place], table: Mapping[str, Any]) -> list[str]:
    """Each place that is not reached without a reason, and each reason for nothing."""
    known: dict[tuple[str, str], str] = {}
    for entry in table["unreached"]:
        assert entry["why"].strip(), entry
        known |= {(entry["file"], text): entry["why"] for text in entry["statements"]}
    open_ = {(place.file, place.text): place for place in missing}
    found = [
        f"{place.file}:{place.first}: no test, no reason: {place.text}"
        for key, place in open_.items()
        if key not in known
    ]
    return found + [
        f"{file}: a reason for what a test reaches, or does not exist: {text}"
        for file, text in known
        if (file, text) not in open_
    ]


def main(report: Path) -> int:
    """Print the problems, and how many places there are. Returns the exit code: 1 for one."""
    read = json.loads(report.read_text(encoding="utf-8"))
    missing = list(unreached(read))
    texts = {file: (PACKAGE.parent / file).read_text("utf-8") for file in read["files"]}
    count = sum(len(list(places(file, text))) for file, text in texts.items())
    found = problems(missing, tomllib.loads(REASONS.read_text(encoding="utf-8")))
    print(*found, sep="\n", end="\n" if found else "")
    print(f"{count - len(missing)} of {count} messages are brought about by a test")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
