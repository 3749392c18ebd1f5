"""The process that outlives another by a second: ``python -I -S guardian.py``, on the other end of a pipe.

Lines tell it which process groups to look after (``+`` and a number) or no longer (``-``). When the pipe closes, since
the other process ended in whatever way, it ends the groups that are left.
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
    left = set[int]()
    for line in sys.stdin:
        (left.add if line[0] == "+" else left.discard)(int(line[1:]))
    if left:
        time.sleep(GRACE_SECONDS)
    for group in left:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
