"""Constants are computed by our own evaluator."""

import pytest

from fwbuild.assembler.expression import ExpressionError, evaluate

SYMBOLS = {"a": 5, "pvh.X.y": 7, ".local": 9}
GOOD = {
    "10": 10, "0x10": 16, "0b101": 5, "-1": -1, "~0": -1, "1 + 2 * 3": 7, "(1 + 2) * 3": 9,
    "1 << 4 | 1": 17, "7 // 2": 3, "6 & 3": 2, "a": 5, "pvh.X.y + 1": 8,
    ".local - a": 4, "'A'": 0x41, "'QEMU'": 0x554D4551, "be32(1)": 1 << 24,
    "1 << 31": 1 << 31,
}  # fmt: skip
BAD = [
    "", "nobody", "a.b", "1f", "1 +", "'AB'", "2 ** 3", "1 / 2", "1.5", "True", "f(1)", "be32(-1)",
    "be32(1 << 32)", "be16(1)", "7 % 4", "6 ^ 3", "1 == 1", "a != 5", "a < 6", "a > 4",
    "1 << 65", "1 << -1", "1 // 0", "[1]", "a[0]", "lambda: 1",
    "a if a else a", "1 < 2 < 3", "(" * 300 + "1" + ")" * 300, "-" * 5000 + "1", "\0",
    "'\u00e9'", "__import__('os')",
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_value(text: str) -> None:
    assert evaluate(text, SYMBOLS) == GOOD[text]


@pytest.mark.parametrize("text", BAD)
def test_error(text: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(text, SYMBOLS)
