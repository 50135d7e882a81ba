"""JSON that anybody may have written."""

import json
from typing import Any


def parse(text: bytes) -> Any:
    """What a text holds. Raises ValueError, which says why it holds nothing."""
    try:
        return json.loads(text.decode())
    except RecursionError:
        what = "it is nested too deep"
    except UnicodeDecodeError as error:
        what = f"byte {error.start} is no UTF-8"
    except json.JSONDecodeError as error:
        what = f"line {error.lineno} is no JSON: {error.msg}"
    raise ValueError(what)


def is_number(value: object, low: int, high: int) -> bool:
    """Whether a value is a whole number of a range: no truth value, and no fraction, infinity or
    NaN, all of which JSON may hold."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
