"""The programs in a document: its fenced blocks, and its examples of the interpreter."""

import doctest
import re

from fwbuild.docs import DOCS


def fenced(page: str, language: str) -> list[str]:
    """The text of each block of a language, in order."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run_page(text: str) -> None:
    """Run the examples of a page, of which there are some."""
    test = doctest.DocTestParser().get_doctest(text, {}, "page", None, None)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    failed, tried = runner.run(test)
    assert failed == 0 and tried > 0
