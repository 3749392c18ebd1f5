"""Files by the ten thousand: ``python -m tests.fuzzing.mass``, which ``make fuzz`` calls.

Each is tried in a process that may be ended: no traceback, no more than ten seconds of the processor or 60 of the
clock, no more than 500 MB beyond its length, nothing left behind, and no number that another reader does not find.
What is found stands in ``build/fuzz``.
"""

import argparse
import collections
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.fuzzing.mass.child import PATIENCE, file_of
from tests.fuzzing.readers import READERS

ROW = 1000
"""Files that one process tries."""

STARTING = 600
"""Seconds that a process may take to start."""


def row(kind, first, count, folder):
    """Yield number and result of each file of a row, as the child has it."""
    words = [sys.executable, "-m", "tests.fuzzing.mass.child", kind.name, int(kind.crafted), kind.seed, first, count]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            [*map(str, words), folder], stdout=subprocess.PIPE, stderr=errors, bufsize=0, start_new_session=True
        ) as child,
    ):
        rest, number, patience = b"", first, STARTING
        while True:
            ready = select.select([child.stdout], [], [], patience)[0]
            chunk = os.read(child.stdout.fileno(), 1 << 16) if ready else b""
            patience = PATIENCE
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                word, _, value = line.partition(b" ")
                if word == b"begin":
                    number = int(value)
                else:
                    yield number, json.loads(value)
            if not chunk:
                break
        with contextlib.suppress(ProcessLookupError):  # it, or what it left
            os.killpg(child.pid, signal.SIGKILL) if not ready else None
        if child.wait():
            errors.seek(0)
            yield number, [PATIENCE, 0, 0, False, "hang" if not ready else f"ended: {errors.read()[-2000:].decode()}"]


class Kind(NamedTuple):
    """Which files: of a format, mutated or crafted, in a random order of their own."""

    name: str
    crafted: bool
    seed: int

    def __str__(self):
        return f"{self.name:12} {'crafted' if self.crafted else 'mutated'}"


def tried(kind, count):
    """Try many files of one kind; return what they took together, and print what was found."""
    total, began, done = collections.Counter(), time.monotonic(), 0
    worst = {"seconds": 0.0, "bytes": 0}
    with tempfile.TemporaryDirectory() as folder:
        while done < count:
            for number, result in row(kind, done, min(ROW, count - done), folder):
                seconds, size, crashes, answered, found = result
                worst = {"seconds": max(worst["seconds"], seconds), "bytes": max(worst["bytes"], size)}
                total.update({"files": 1, "read": answered, "crashes": crashes, "found": bool(found)})
                done = number + 1
                if found:
                    keep(kind, number, found)
            for left in Path(folder).iterdir():
                left.unlink()
    facts = f"{total['files']} files, {total['read']} of them read, {total['found']} found, "
    facts += f"{total['crashes']} crashes of the HDF5 library, "
    most = f"at most {worst['seconds']:.1f} s and {worst['bytes'] / 1e6:.0f} MB"
    print(f"{kind}: {facts}{most}, {time.monotonic() - began:.0f} s", flush=True)
    return total["found"]


def keep(kind, number, found):
    """Keep a file that did harm, with what lies beside it."""
    folder = Path("build/fuzz")
    folder.mkdir(parents=True, exist_ok=True)
    data, beside = file_of(*kind, number)
    stem = f"{'crafted' if kind.crafted else 'mutated'}-{kind.seed}-{number}"
    (folder / f"{stem}.{kind.name}").write_bytes(data)
    if beside is not None:
        (folder / f"{stem}.{beside[0]}").write_bytes(beside[1])
    print(f"FOUND {stem}.{kind.name}: {found.strip()}", flush=True)


def main():
    """Try files of every format, or of those that are named; the status is 1 where something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing.mass", description=__doc__.splitlines()[0])
    parser.add_argument("formats", nargs="*", default=list(READERS), help=", ".join(READERS))
    parser.add_argument("--mutated", type=int, default=10_000, help="files per format")
    parser.add_argument("--crafted", type=int, default=2_000, help="files of all formats together")
    parser.add_argument("--seed", type=int, default=1, help="another one makes other files")
    words = parser.parse_args()
    found = 0
    with contextlib.suppress(BrokenPipeError):
        for name in words.formats:
            found += tried(Kind(name, False, words.seed), words.mutated)
            found += tried(Kind(name, True, words.seed), -(-words.crafted // len(words.formats)))
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
