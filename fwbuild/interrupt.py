"""Signals that end a process, held back while something must not be left half done."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fwbuild.ending_signals import ENDING


@contextmanager
def interrupted_later() -> Iterator[None]:
    """A signal that comes takes effect as the block is left. Only a process's main thread hears of
    one, so in another nothing is held back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {n: h for n in ENDING if callable(h := signal.getsignal(n))}
    caught: list[Any] = []
    for number in handlers:
        signal.signal(number, lambda *signalled: caught.append(signalled))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for number, frame in caught[:1]:
        handlers[number](number, frame)
