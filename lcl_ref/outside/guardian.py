"""The process that outlives another by a second: ``python -I -S guardian.py``, on the other end of a pipe.

Lines tell it which process groups to look after (``+``, a number, and the temporary folder that only their processes
have) or no longer (``-``). When the pipe closes, since the other process ended in whatever way, it ends what is left.
"""

import contextlib
import os
import signal
import sys
import time

GRACE_SECONDS = 1.0
"""Processes whose host is gone may end by themselves first."""


def main() -> None:
    """Listen until the pipe closes, then clean up."""
    left: dict[int, bytes] = {}
    for line in sys.stdin.buffer:
        group, _, folder = line[1:].rstrip(b"\n").partition(b" ")
        if line[:1] == b"+":
            left[int(group)] = folder
        else:
            left.pop(int(group), None)
    if left:
        time.sleep(GRACE_SECONDS)
    for number, folder in left.items():
        end(number, folder)


def end(group: int, folder: bytes) -> None:
    """End a process group, and what left it (`setsid`): on Linux, all whose temporary folder is this or lies in it."""
    with contextlib.suppress(OSError):
        os.killpg(group, signal.SIGKILL)
    for _ in range(_ROUNDS):
        found = [pid for pid in _running() if _has(pid, folder)]
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            break


_ROUNDS = 20
"""Times that it looks again: a process may start another just before it ends."""


def _running() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 -- the same
    except OSError:
        return []


def _has(pid: int, folder: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123 -- pathlib takes longer to import than all of this
            variables = file.read().split(b"\0")
    except OSError:  # another user's, or gone
        return False
    return any(one == b"TMPDIR=" + folder or one.startswith(b"TMPDIR=" + folder + b"/") for one in variables)


if __name__ == "__main__":
    main()
