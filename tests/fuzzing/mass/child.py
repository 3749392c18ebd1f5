"""The process that tries a row of files: ``python -m tests.fuzzing.mass.child FORMAT CRAFTED SEED FIRST COUNT FOLDER``.

It says ``begin`` and a number before each file, and ``end``, the seconds it took and what was found after it.
"""

import contextlib
import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from random import Random
from typing import ClassVar

import numpy as np

from lcl_ref import cli
from lcl_ref.errors import LclError
from lcl_ref.files import STORED, convert_file, open_weights
from lcl_ref.files.hdf5 import process, reader, stored
from tests.fuzzing.mass import independent
from tests.fuzzing.mass.crafting import crafted
from tests.fuzzing.mass.mutating import mutated
from tests.fuzzing.readers import READERS, WEIGHTS

MOST_MEMORY = 500 << 20
"""Bytes beyond the length of a file."""

SECONDS = 10
"""Of the processor: a busy machine is no finding."""

LISTED = 5
"""One in so many mutated files is listed, too, and every crafted one."""

PATIENCE = 60
"""Seconds of the clock in which a file that only waits is a finding, too."""


class Found(Exception):  # noqa: N818 -- a finding
    """Something that must not be."""


class Forked:
    """The process that reads an HDF5 file, forked from this one where the product starts a new one."""

    peak = 0
    ends: ClassVar = []

    def __init__(self, command, **_):
        (given, self._to), (self._from, out) = os.pipe(), os.pipe()
        self._errors = os.memfd_create("errors")
        self.pid = os.fork()
        if self.pid == 0:
            for number, place in enumerate((given, out, self._errors)):
                os.dup2(place, number)
            os.closerange(3, self._errors + 1)
            _serve(command)
        for place in (given, out):
            os.close(place)
        self.stdin, self.stdout, self.returncode = os.fdopen(self._to, "wb"), os.fdopen(self._from, "rb"), None

    def kill(self):
        """End it; what it took is known before."""
        if self.returncode is None:
            Forked.peak = max(Forked.peak, status_of(self.pid)["VmHWM"])
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def wait(self):
        """Return how it ended; one of our own that ends by an exception is a finding."""
        if self.returncode is None:
            _, status = os.waitpid(self.pid, 0)
            self.returncode = os.waitstatus_to_exitcode(status)
            said = os.pread(self._errors, 1 << 20, 0).decode(errors="replace")
            os.close(self._errors)
            Forked.ends.append((self.returncode, said))
        return self.returncode


def _serve(command):
    """Be the reader."""
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w", errors="replace")
    sys.argv = command[command.index("-m") + 1 :]
    low_water()
    code = 1
    try:
        reader.main()
        code = 0
    except BaseException:  # noqa: BLE001 -- that is what is looked for
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)


def low_water():
    """Let the kernel count the peak of memory anew."""
    Path("/proc/self/clear_refs").write_text("5")


def status_of(pid):
    """Return the peak of a process's memory, what it has now, and what of that is its own, in bytes; 0 of one gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        lines = []
    found = {"VmHWM": 0, "VmRSS": 0, "RssAnon": 0}
    return found | {line.split(":")[0]: int(line.split()[1]) << 10 for line in lines if line.startswith(tuple(found))}


def in_a_child(function):
    """Return what a function gives in a forked process that may crash, hang or fill its memory; None if it does."""
    given, out = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(given)
        resource.setrlimit(resource.RLIMIT_DATA, (1 << 31, 1 << 31))
        signal.alarm(5)
        with contextlib.suppress(BaseException), np.errstate(all="ignore"), os.fdopen(out, "w") as file:
            json.dump(function(), file)
        os._exit(0)
    os.close(out)
    with os.fdopen(given) as file:
        said = file.read()
    os.waitpid(pid, 0)
    try:
        return json.loads(said)
    except ValueError:
        return None


def theirs_of(path):
    """Return what another reader makes of a file."""
    return in_a_child(lambda: independent.arrays(path, path.suffix))


def check_weights(path, beside, *, listing=True):
    """Read a weight file whole, convert it and, where asked for, list it; numbers must be what another reader finds.

    Return whether both read it.
    """
    spec = beside if path.suffix == ".weights" else None
    ours = theirs = None
    with contextlib.suppress(LclError):
        with open_weights(path, spec) as file:
            ours = {name: tensor.read() for name, tensor in file.tensors.items()}
        theirs = theirs_of(path)
    if ours is not None and theirs is not None:
        compare(path, ours, theirs)
        convert(path, spec, ours)
    if not listing:
        return ours is not None and theirs is not None
    listed = said("inspect", path, *(["--spec", spec] if spec else []))
    if any(not character.isprintable() for line in listed.split("\n") for character in line):
        raise Found(f"control characters: {listed[:200]!r}")
    return ours is not None and theirs is not None


def compare(path, ours, theirs):
    """Require that whatever we read is what is there."""
    if path.suffix == ".weights":
        flat = np.concatenate([array.reshape(-1) for array in ours.values()]) if ours else np.zeros(0, "f4")
        ours = {"": flat}
    for name, array in ours.items():
        if theirs.get(name, "nothing") != independent.digest(array):
            raise Found(f"array {name!r}: {independent.digest(array)}, another reader finds {theirs.get(name)}")


def convert(path, spec, ours):
    """Require that a conversion carries every other array along as it is."""
    target = path.with_name("converted.npz")
    with contextlib.suppress(LclError):
        report = convert_file(path, target, source=STORED, target="canonical", spec=spec)
        with np.load(target) as new:
            for name in report.carried:
                if independent.digest(new[name]) != independent.digest(ours[name]):
                    raise Found(f"carried array {name!r} is another")
    for left in (target, path.with_name("converted.npz.spec.json")):
        left.unlink(missing_ok=True)


def said(*words):
    """Return what a command prints, run in this process; a status it cannot end with is a finding."""
    out = io.StringIO()
    sys.argv = ["lcl", *map(str, words)]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        status = cli._status()
    text = out.getvalue()
    if status not in (0, 2) or "Traceback" in text or " (at " in text:
        raise Found(f"status {status}: {text[-300:]}")
    return text


def clocks():
    """Return the seconds of the processor, children's included, and of the clock."""
    return sum(os.times()[:4]), time.monotonic()


def attempt(name, data, beside, folder, *, listing=True):
    """Give one file to whoever reads it; return seconds, memory, crashes, whether it was read, and what was found."""
    path = folder / f"m.{name}"
    path.write_bytes(data)
    if beside is not None:
        named = folder / beside[0]
        named.write_bytes(beside[1])
    Forked.peak, Forked.ends[:] = 0, []
    before, began, found, answered = status_of(os.getpid()), clocks(), "", False
    low_water()
    try:
        if name in WEIGHTS:
            answered = check_weights(path, folder / beside[0] if beside else None, listing=listing)
        else:
            with contextlib.suppress(READERS[name].refused):
                READERS[name].read(path)
                answered = True
    except Found as one:
        found = str(one)
    except Exception:  # noqa: BLE001 -- that is what is looked for
        found = traceback.format_exc()
    processor, wall = (now - then for now, then in zip(clocks(), began, strict=True))
    found = found or ("slow" if processor > SECONDS or wall > PATIENCE else "")
    memory = max(status_of(os.getpid())["VmHWM"] - before["VmRSS"], Forked.peak - before["RssAnon"])
    wrong = [text for code, text in Forked.ends if code == 1]
    found = found or (f"the reader of HDF5 ended: {wrong[0]}" if wrong else "")
    if memory > MOST_MEMORY + len(data):
        found = found or f"{memory >> 20} MB for a file of {len(data)} bytes"
    known = {path.name, *([beside[0]] if beside else [])}
    left = sorted(one.name for one in folder.iterdir() if one.name not in known)
    found = found or (f"left behind: {left}" if left else "")
    for one in folder.iterdir():
        one.unlink()
    crashes = sum(code < 0 and code != -signal.SIGKILL for code, _ in Forked.ends)
    return processor, memory, crashes, answered, found


def file_of(name, is_crafted, seed, number):
    """Return the bytes of a file and what lies beside it: the same for the same words."""
    random = Random(f"{name} {is_crafted} {seed} {number}")  # noqa: S311 -- no secret
    if is_crafted:
        return crafted(name, number, random)
    good, beside = random.choice(READERS[name].samples)
    if beside is None or random.random() < 0.8:
        return mutated(good, name, random), beside
    return good, (beside[0], mutated(beside[1], beside[0], random))


def main():
    """Try the files."""
    name, is_crafted, seed, first, count, folder = sys.argv[1:]
    process.subprocess = type("Forking", (), {**vars(subprocess), "Popen": Forked})
    stored.library()
    if name not in WEIGHTS:
        READERS[name].warm()
    os.environ["COLUMNS"] = "132"
    for number in range(int(first), int(first) + int(count)):
        print("begin", number, flush=True)
        data, beside = file_of(name, is_crafted == "1", int(seed), number)
        result = attempt(name, data, beside, Path(folder), listing=is_crafted == "1" or number % LISTED == 0)
        print("end", json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
