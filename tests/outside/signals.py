"""Commands that are ended at random moments: ``python -m tests.outside.signals``, with the names of some if not all.

Whatever the signal and the moment, what stands in the place of a result is the old one or the new one, whole; no
process goes on; and nothing is left in the temporary folder but, after SIGKILL, what the next run removes.
"""

import argparse
import collections
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

import lcl_ref as lcl
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.report.document import SEAL, seal_of
from tests.support.programs import FOREGROUND, LCL, run

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
OLD = b"old"


class Command(NamedTuple):
    """What is ended: its words, what it writes, and whether what stands there is whole."""

    words: list[str]
    targets: list[str]
    is_whole: Callable[[Path], bool]
    prepare: Callable[[Path], object]


def sealed(path):
    """Return whether a report is the whole of one, or a page is."""
    if path.suffix == ".html":
        return path.read_text().rstrip().endswith("</html>")
    value = json.loads(path.read_text())
    return seal_of(value) == value[SEAL]


def readable(path):
    """Return whether the arrays are those of `weights`, or the document is whole."""
    if path.suffix == ".json":
        return json.loads(path.read_text())["layers"][0]["layout"] == "canonical"
    with np.load(path) as archive:
        return archive["local.weight"].sum() == 0 and archive["other"].sum() == archive["other"].size


def golden(folder):
    """Return whether every file of a golden set has its digest."""
    listed = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    names = {path.name for path in folder.iterdir()} - {"SHA256SUMS"}
    return names == {*listed} and all(
        hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest for name, digest in listed.items()
    )


def weights(folder):
    """Write a file of weights that takes a while to convert."""
    spec = lcl.Spec(input_size=(20, 20), in_channels=8, out_channels=8, kernel_size=3, bias="none")
    (folder / "spec.json").write_text(spec.to_json())
    other = np.ones((200, 1 << 14), np.float32)
    np.savez(folder / "m.npz", **{"local.weight": np.zeros(spec.weight_shape, np.float32), "other": other})


def reports(folder):
    """Write two reports to merge."""
    for name in "ab":
        backend = {"a": "numpy.matmul", "b": "torch.unfold"}[name]
        words = ["run", "-b", backend, "-c", "0d/*", "--json", folder / f"{name}.json"]
        run(*LCL, *words, check=True)


RUN = ["run", "-b", "numpy.matmul", "-b", "torch.unfold", "-c", "0d/linear/*", "--json", "r.json", "--html", "r.html"]
CONVERT = ["convert", "m.npz", "out.npz", "--spec", "spec.json", "--layer", "local", "--from", "canonical"]
COMMANDS = {
    "run": Command(RUN, ["r.json", "r.html"], sealed, lambda _: None),
    "convert": Command([*CONVERT, "--to", "canonical"], ["out.npz", "out.npz.spec.json"], readable, weights),
    "report": Command(["report", "merge", "a.json", "b.json", "-o", "m.json"], ["m.json"], sealed, reports),
    "page": Command(["report", "html", "a.json", "-o", "a.html"], ["a.html"], sealed, reports),
    "fixtures": Command(
        ["fixtures", "write", "--data", "data"],
        ["data"],
        golden,
        lambda folder: shutil.copytree(default_root(), folder / "data"),
    ),
}


class Trial:
    """One command in a folder of its own, ended again and again; what was seen is counted."""

    def __init__(self, name, folder, moments):
        self.command, self.folder, self.moments, self.seen = COMMANDS[name], folder, moments, collections.Counter()
        self.known = set()
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self.command.prepare(folder)
        self.given = {path.name for path in folder.iterdir()} | {*self.command.targets}
        began = time.monotonic()
        self.whole()
        self.seconds = time.monotonic() - began

    def started(self):
        """Start the command; its temporary folder is a mark that all of its processes bear."""
        return subprocess.Popen(
            [*FOREGROUND, *LCL, *self.command.words],
            cwd=self.folder,
            env=os.environ | {"TMPDIR": str(self.temporary)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def whole(self):
        """Let the command end by itself: everything is new, and nothing is left of those before."""
        with self.started() as program:
            said = program.communicate()[1]
        assert program.returncode == 0, said
        assert self.states() == ["whole"] * len(self.command.targets)
        assert not self.beside() + self.left()

    def once(self, number):
        """Start, end at some moment, and count what is not as it should be."""
        if self.moments.random() < 0.5:
            self.age()
        self.known = {*self.beside(), *self.left()}
        with self.started() as program:
            self.wait(program)
            program.send_signal(number)
            said = program.communicate(timeout=120)[1]
        self.seen["ended" if program.returncode else "done"] += 1
        self.seen.update(["traceback"] if b"Traceback" in said else [])
        if bad := [*self.orphans(), *self.broken(number)]:
            self.seen["wrong"] += 1
            print(f"{self.command.words[0]}, {number.name}: {', '.join(bad)}", flush=True)

    def wait(self, program):
        """Let some time pass: any, or until something is being written and a little more."""
        moment = time.monotonic() + self.moments.random() * self.seconds
        while program.poll() is None and time.monotonic() < moment:
            time.sleep(0.001)
        if self.moments.random() < 0.6:
            while program.poll() is None and self.known.issuperset(self.beside()):
                time.sleep(0.0005)
            time.sleep(self.moments.random() ** 2 * 0.05)

    def age(self):
        """Put an old result in the place, so that a new one is told from it."""
        for place in self.places():
            if place.is_file():
                place.write_bytes(OLD)

    def places(self):
        """Return where the results stand."""
        return [self.folder / name for name in self.command.targets]

    def beside(self):
        """Return what is being written, or was left of it."""
        return sorted({path.name for path in self.folder.iterdir()} - self.given)

    def left(self):
        """Return what is in the temporary folder."""
        return sorted(path.name for path in self.temporary.iterdir())

    def states(self):
        """Return what stands in each place."""
        return [self.state(place) for place in self.places()]

    def state(self, place):
        """Return whether a result is absent, old, whole or broken."""
        if not place.exists():
            return "absent"
        if place.is_file() and place.read_bytes() == OLD:
            return "old"
        try:
            return "whole" if self.command.is_whole(place) else "broken"
        except (OSError, ValueError, LookupError):
            return "broken"

    def orphans(self):
        """Yield the processes that go on, which have a few seconds to end."""
        deadline, found = time.monotonic() + 20, ["?"]
        while found and time.monotonic() < deadline:
            found = [path.parent.name for path in Path("/proc").glob("[0-9]*/environ") if self.bears_mark(path)]
            time.sleep(0.05)
        return [f"process {number} goes on" for number in found]

    def bears_mark(self, environment):
        """Return whether a process is one of ours."""
        try:
            return os.fsencode(f"TMPDIR={self.temporary}") in environment.read_bytes()
        except OSError:
            return False

    def broken(self, number):
        """Yield what is broken, or left where it must not be."""
        states, killed = self.states(), number == signal.SIGKILL
        if "broken" in states or ("absent" in states and not (killed and self.beside())):
            yield f"targets {states}"
        if not killed and len({*states}) > 1:
            yield f"one of a pair: {states}"
        if len(left := {*self.left()} - self.known) > killed:
            yield f"in the temporary folder {left}"
        if not killed and (beside := {*self.beside()} - self.known):
            yield f"beside the target {beside}"


def tried(name, times, seed):
    """End a command so many times by each signal; return how often something was wrong."""
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(name, Path(folder), random.Random(seed))  # noqa: S311 -- no secret
        for _ in range(times):
            for number in SIGNALS:
                trial.once(number)
        trial.whole()
    print(f"{name}: {times} times each of {', '.join(one.name for one in SIGNALS)}: {dict(trial.seen)}", flush=True)
    return trial.seen["wrong"]


def main():
    """End every command, or those that are named; the status is 1 where something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.outside.signals", description=__doc__.splitlines()[0])
    parser.add_argument("commands", nargs="*", default=list(COMMANDS), help=", ".join(COMMANDS))
    parser.add_argument("--times", type=int, default=20, help="times that each command is ended by each signal")
    parser.add_argument("--seed", type=int, default=1, help="another one ends them at other moments")
    words = parser.parse_args()
    return int(sum(tried(name, words.times, words.seed) for name in words.commands) > 0)


if __name__ == "__main__":
    sys.exit(main())
