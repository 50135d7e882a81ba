"""The documents name files and targets that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
PLACEHOLDER = re.compile(r"\b(NAME|FAMILY)\b")


@NAMES
def test_a_file_that_is_named_is_there(path: Path) -> None:
    named = re.findall(
        r"`((?:fwbuild|asm|tests|templates|docs)/[\w/.*-]+)`", path.read_text(encoding="utf-8")
    )
    missing = [n for n in named if not PLACEHOLDER.search(n) and not any(ROOT.glob(n.rstrip("/")))]
    assert missing == []


@NAMES
def test_a_link_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8"))
    assert [n for n in links if "://" not in n and not (path.parent / n).exists()] == []


@NAMES
def test_a_target_that_is_named_is_there(path: Path) -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"`make ([a-z][a-z -]*)", path.read_text(encoding="utf-8"))
    assert {word for words in named for word in words.split()} <= targets
