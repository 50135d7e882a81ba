"""Integer expressions over dotted symbols: `pvh.START_INFO.magic + 4 << 1`."""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from functools import cache

LARGEST_SHIFT = 64  # bits: a number that matters has no more


def _shift_left(value: int, bits: int) -> int:
    if bits > LARGEST_SHIFT:
        raise ValueError(f"a shift by {bits} bits")
    return value << bits


OPERATORS: dict[type, Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.LShift: _shift_left,
    ast.RShift: operator.rshift,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
}


def _big_endian32(value: int) -> int:
    """The number whose little-endian bytes are big-endian `value`."""
    return int.from_bytes(value.to_bytes(4, "little"), "big")


FUNCTIONS: dict[str, Callable[[int], int]] = {"be32": _big_endian32}


class ExpressionError(Exception):
    """The expression is malformed or names a symbol that nobody defined."""


def characters(text: str) -> int:
    """ASCII characters as the little-endian number that memory holds them as."""
    return int.from_bytes(text.encode("ascii"), "little")


def evaluate(text: str, symbols: Mapping[str, int]) -> int:
    """The value of `text`. Numbers are decimal, 0x or 0b; 'A' and 'ABCD' are characters."""
    try:
        return _value(_tree(text), symbols)
    except SyntaxError:
        raise ExpressionError(f"cannot read the expression '{text.strip()}'") from None
    except (RecursionError, MemoryError):
        raise ExpressionError("the expression is too deep") from None
    except (ZeroDivisionError, OverflowError, ValueError) as error:
        raise ExpressionError(f"'{text.strip()}': {error}") from None


class _Dotted(ast.NodeTransformer):
    """Makes one name of `a.b.c`."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        return ast.Name(ast.unparse(node).replace("_local.", "."))


@cache
def _tree(text: str) -> ast.expr:
    """The parsed `text`: the linker asks for the same again in every round."""
    source = re.sub(r"(?<![\w.])\.(?=[A-Za-z_])", "_local.", text.strip())
    tree: ast.expr = _Dotted().visit(ast.parse(source, mode="eval").body)
    return tree


def _value(node: ast.expr, symbols: Mapping[str, int]) -> int:
    match node:
        case ast.Constant(value=int(number)) if not isinstance(number, bool):
            return number
        case ast.Constant(value=str(word)) if len(word) in (1, 4) and word.isascii():
            return characters(word)
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_value(inner, symbols)
        case ast.UnaryOp(op=ast.Invert(), operand=inner):
            return ~_value(inner, symbols)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return OPERATORS[type(op)](_value(left, symbols), _value(right, symbols))
        case ast.Call(func=ast.Name(id=name), args=[argument]) if name in FUNCTIONS:
            return FUNCTIONS[name](_value(argument, symbols))
        case ast.Name(id=name):
            if name not in symbols:
                raise ExpressionError(f"undefined symbol '{name}'")
            return symbols[name]
    raise ExpressionError(f"'{ast.unparse(node)}' is not an integer expression")
