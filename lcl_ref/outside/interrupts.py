"""Signals that end a program: turned into exceptions, so that it cleans up; held back where it must not stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

ENDING = (signal.SIGTERM, signal.SIGHUP)
"""Signals besides that of Ctrl-C by which others end a program."""


class Terminated(SystemExit):
    """Somebody ended this program by a signal; its exit status is 128 and the number of the signal."""


def raise_when_ended() -> None:
    """Let SIGTERM and SIGHUP raise `Terminated`, unless the program was started to ignore them (nohup)."""
    for number in ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _terminate)


def _terminate(number: int, _frame: FrameType | None) -> None:
    for one in ENDING:  # once is enough: cleaning up is not to be interrupted
        signal.signal(one, signal.SIG_IGN)
    raise Terminated(128 + number)


@contextmanager
def held_back() -> Iterator[Callable[[], bool]]:
    """Hold signals back in a block, and yield a function that tells whether there was one; it comes at the end.

    Python runs handlers in the main thread alone: no other is ever interrupted.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    old: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, *ENDING)}
    mine = [number for number, handler in old.items() if callable(handler)]
    for number in mine:
        signal.signal(number, lambda number, _frame: came.append(number))
    try:
        yield lambda: bool(came)
    finally:
        for number in mine:
            signal.signal(number, old[number])
        if came:
            signal.raise_signal(came[0])
