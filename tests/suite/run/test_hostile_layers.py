"""Layers that do harm, by mistake or not: each is that layer's outcome, and the others are judged as ever."""

import json

import pytest

from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.outcome import Outcome
from lcl_ref.suite.run.cells import make_plan
from lcl_ref.suite.run.loading import resolve
from lcl_ref.suite.run.matrix import MatrixRun
from lcl_ref.suite.run.settings import Settings
from tests.support.programs import run

LAYERS = r"""
import multiprocessing, os, subprocess, sys, time
import lcl_ref

right = lcl_ref.forward

def half_an_emoji(*given):
    raise ValueError("bad value \ud83d, \x1b[2J and " + "x" * 10**7)

class WithoutText(Exception):
    def __str__(self):
        return 3

def no_text(*given):
    raise WithoutText

def forks(*given):
    os.fork()
    return right(*given)

def detaches(*given):
    if not os.fork():
        os.setsid()
        if not os.fork():
            time.sleep(3600)
        os._exit(0)
    subprocess.Popen(["sleep", "3601"], start_new_session=True)
    return right(*given)

def forks_late(*given):
    if not os.fork():
        time.sleep(0.1)
    return right(*given)

def work(given):
    return right(*given)

def pools(*given):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(work, [given])[0]

def writes_to_the_channel(*given):
    for descriptor in range(3, 1024):
        try:
            os.write(descriptor, b"[1]\n")
        except OSError:
            pass
    return right(*given)

def sender():
    frame = sys._getframe()
    while "send" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["send"]

def answers_twice(*given):
    cell = ["0d/linear/no-bias", "forward", "float32"]
    sender()("answer", cell=cell, seconds=0, end={}, raised="", answers=[], again=[])
    return right(*given)

def answers_another(*given):
    sender()("answer", cell=["0d/linear/no-such", "forward", "float32"])
    return right(*given)

def says_nonsense(*given):
    sender()("no such event")
    return right(*given)

def announces_much(*given):
    send = sender()
    send._out.write(send._mark + b'{"event": "answer", "bytes": 99999999999999}\n')
    return right(*given)

def closes_descriptors(*given):
    os.closerange(0, 100)
    return right(*given)

def goes_elsewhere(*given):
    os.chdir("/proc")
    return right(*given)

def floods(*given):
    for _ in range(100):
        os.write(2, b"x" * (1 << 18))
    os._exit(3)

def looks_up(*given):
    frame = sys._getframe()
    while frame:
        for value in list(frame.f_locals.values()):
            if type(value).__name__ == "Task":
                return value.golden["y"].astype(value.dtype)
        frame = frame.f_back

def reads(*given):
    assert sys.stdin.read() == ""
    return right(*given)
"""

EXPECTED = {
    "right": ("pass", None, ""),
    "half_an_emoji": ("error", "exception", r"bad value \ud83d, \x1b[2J and xxx"),
    "no_text": ("error", "exception", "a WithoutText without text"),
    "forks": ("error", "exception", "a process that the layer started by fork came back from it"),
    "forks_late": ("error", "exception", "a process that the layer started by fork came back from it"),
    "detaches": ("pass", None, ""),
    "pools": ("pass", None, ""),
    "writes_to_the_channel": ("error", "malformed", "something else than the suite wrote to its channel: [1]"),
    "answers_twice": ("error", "malformed", "the process of the layer sent"),
    "answers_another": ("error", "malformed", "no-such"),
    "says_nonsense": ("error", "malformed", "no such event"),
    "announces_much": ("error", "malformed", "99999999999999 bytes"),
    "closes_descriptors": ("pass", None, ""),
    "goes_elsewhere": ("pass", None, ""),
    "floods": ("error", "crash", "exit status 3"),
    "looks_up": ("error", "exception", "KeyError: 'y'"),
    "reads": ("pass", None, ""),
}
"""Layer -> state, kind of error, and what its message says."""

CASES = ["0d/linear/no-bias", "0d/linear/position-bias"]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Return the outcomes of each layer, all asked in one run."""
    file = tmp_path_factory.mktemp("layers") / "layers.py"
    file.write_text(LAYERS)
    refs = resolve([f"{file}:{name}" for name in EXPECTED])
    plan = make_plan(refs, Store(default_root()), CASES, ["float32"], ["forward"])
    found = {name: [] for name in EXPECTED}
    with MatrixRun(plan, Settings(default_root(), 2, 30.0)) as matrix:
        for event in matrix:
            if isinstance(event, Outcome):
                found[event.backend.rpartition(":")[2]].append(event)
    assert not [line for line in run("ps", "-eo", "args").stdout.splitlines() if line == "sleep 3601"]
    return found


@pytest.mark.parametrize("name", EXPECTED)
def test_a_layer_gets_its_own_outcome_for_each_cell_once(outcomes, name):
    state, kind, words = EXPECTED[name]
    mine = outcomes[name]
    assert sorted(one.case for one in mine) == CASES
    if state == "pass":
        assert {one.state for one in mine} == {"pass"}, mine
        return
    wrong = [one for one in mine if one.state == "error"]
    assert wrong, mine
    assert {one.error_kind for one in wrong} == {kind}, mine
    assert words in wrong[0].message


def test_every_message_can_be_written_and_is_short(outcomes):
    for one in (one for mine in outcomes.values() for one in mine):
        assert len(one.message) < 5000
        json.dumps(one.to_dict(), ensure_ascii=False, allow_nan=False).encode()
        assert one.message.isprintable()
