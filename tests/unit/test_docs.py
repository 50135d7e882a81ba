"""The documents name files and targets that exist."""

import re
from pathlib import Path

import pytest

from fwbuild import cli
from fwbuild.emulator.state import End
from fwbuild.firmware.options import BootProtocol
from fwbuild.protocols.report import KINDS, Way

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


# (document, files that it has to name, as it names them)
LISTS = {
    "docs/firmware.md": [
        str(path.relative_to(ROOT / "asm"))
        for path in sorted((ROOT / "asm").rglob("*.s"))
        if path.parent.name not in ("test_kernel", "bench", "trial")  # of other programs
    ],
    "docs/decisions/README.md": [path.name for path in (ROOT / "docs/decisions").glob("[0-9]*.md")],
    "README.md": [f"`{verb}`" for verb in cli.VERBS],
    "docs/json.md": [
        f"## {verb}\n"
        for verb in cli.VERBS
        if '"--json"' in (ROOT / f"fwbuild/verbs/{verb}.py").read_text(encoding="utf-8")
    ],
}


@pytest.mark.parametrize("document", LISTS)
def test_a_list_is_whole(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    assert [name for name in LISTS[document] if name not in text] == []
    assert LISTS[document]


# section of docs/json.md: the words that are values in it
VALUES = {
    "verify": [*filter(None, End), *BootProtocol],
    "inspect": [*KINDS, *(way.value for way in Way)],
}


@pytest.mark.parametrize("verb", VALUES)
def test_the_keys_of_json_have_all_their_values(verb: str) -> None:
    page = (ROOT / "docs/json.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## {verb}\n")[2].partition("\n## ")[0]
    assert [value for value in VALUES[verb] if f"`{value}`" not in section] == []


def test_the_order_of_a_boot_is_that_of_main() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    drawing = page.partition("## A boot, in order")[2].partition("## ")[0]
    source = (ROOT / "asm/boot/main.s").read_text(encoding="utf-8")
    body = source.partition("\nmain:\n")[2].partition("\n#:")[0]
    called = re.findall(r"^    call (\w+)", body, re.MULTILINE)
    assert called
    assert [name for name in re.findall(r"\w+", drawing) if name in called] == called
