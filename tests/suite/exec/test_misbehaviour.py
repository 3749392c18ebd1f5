"""Programs that misbehave (`exec_programs.py`): each gets its own outcome, in time, and leaves nothing behind."""

import contextlib
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import tracemalloc

import pytest

from lcl_ref.outside import scratch
from lcl_ref.suite.exec.adapter import Limits
from lcl_ref.suite.exec.program import MAX_LINE, Program
from lcl_ref.suite.exec.protocol_check import Checker
from lcl_ref.suite.golden.fixtures import default_root, verify
from lcl_ref.suite.judge.outcome import Fault, Outcome
from lcl_ref.suite.run.cells import make_plan
from lcl_ref.suite.run.loading import resolve
from lcl_ref.suite.run.matrix import MatrixRun
from lcl_ref.suite.run.settings import Settings
from tests.support.exec_programs import PROGRAMS
from tests.support.paths import SUPPORT
from tests.support.programs import FOREGROUND, LCL, run
from tests.support.tables import table

FILE = SUPPORT / "exec_programs.py"
CASE = "0d/linear/position-bias"
CASE_SECONDS, START_SECONDS = 2.0, 6.0
MOST_SECONDS = 25.0
"""What a run may take in all: starting the worker and the program, a time limit, and stopping, on a busy machine."""


EXPECTED = table(__file__, "misbehaviour.toml")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Send all temporary files of the test to a folder of its own, and the programs' process ids to a file."""
    with scratch.folder():  # this process has its own folder from here on, and not in that of the test
        (tmp_path / "tmp").mkdir()
    (tmp_path / "pids").touch()
    monkeypatch.setenv("PIDS", str(tmp_path / "pids"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path


def word(name):
    """Return the word for ``-b`` of one program; -S makes Python start faster."""
    return f"exec:{shlex.join([sys.executable, '-S', str(FILE), name])}"


def ask(folder, name, cases=CASE):
    """Return the outcomes of one program, after checking that it took not too long and left nothing behind."""
    plan = make_plan(resolve([word(name)]), verify(default_root()), [cases], ["float32"], ["forward"])
    began = time.monotonic()
    with MatrixRun(plan, Settings(default_root(), 1, CASE_SECONDS, START_SECONDS)) as matrix:
        outcomes = [event for event in matrix if isinstance(event, Outcome)]
    assert time.monotonic() - began < MOST_SECONDS
    assert_nothing_left(folder)
    return [outcome for outcome in outcomes if outcome.state != "unsupported"]


def pids(folder):
    return [int(line) for line in (folder / "pids").read_text().split()]


def alive(pid):
    """Return whether a process runs; a zombie, which waits for a parent that is not ours, does not."""
    listed = run("ps", "-o", "stat=", "-p", pid).stdout
    return bool(listed.strip()) and not listed.startswith("Z")


def assert_no_process(folder):
    assert pids(folder) != []
    wait_until(lambda: not any(map(alive, pids(folder))))


def assert_nothing_left(folder):
    assert_no_process(folder)
    assert list((folder / "tmp").iterdir()) == []


def wait_until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_good_program_conforms(folder):
    (outcome,) = ask(folder, "Good")
    assert (outcome.state, outcome.message) == ("pass", "")


def test_it_is_said_of_each_what_becomes_of_it():
    losing = {"DiesEveryThirdQuestion", "AlwaysDies"}
    assert PROGRAMS.keys() == {"Good", *EXPECTED["at_start"], *EXPECTED["in_a_cell"], *losing}
    assert len(EXPECTED["at_start"]) >= 7
    assert len(EXPECTED["in_a_cell"]) >= 20


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name == "IsSilent" else name for name in EXPECTED["at_start"]],
)
def test_at_start(folder, name):
    kind, message = EXPECTED["at_start"][name]
    outcomes = ask(folder, name, "0d/linear/*")
    assert len(outcomes) > 5
    assert {(outcome.state, outcome.error_kind) for outcome in outcomes} == {("error", kind)}
    assert message in outcomes[0].message
    assert len(pids(folder)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED["in_a_cell"])
def test_in_a_cell(folder, name):
    expected, message = EXPECTED["in_a_cell"][name]
    (outcome,) = ask(folder, name)
    assert (outcome.error_kind or outcome.state) == expected
    assert message in outcome.message


def test_one_that_dies_every_third_question_loses_only_those_cells(folder):
    outcomes = ask(folder, "DiesEveryThirdQuestion", "0d/linear/*")
    # Every cell is asked twice: the third question is the first of the second cell, and a fresh program follows.
    assert len(outcomes) >= 6
    assert [outcome.state for outcome in outcomes] == (["pass", "error"] * len(outcomes))[: len(outcomes)]
    assert {outcome.error_kind for outcome in outcomes} == {None, "crash"}


def test_one_that_always_dies_is_given_up_after_three_cells(folder):
    outcomes = ask(folder, "AlwaysDies", "0d/linear/*")
    assert [outcome.state for outcome in outcomes] == ["error"] * 3 + ["not_run"] * (len(outcomes) - 3)
    assert len(outcomes) > 5
    assert len(pids(folder)) == 3


def test_a_malformed_result_does_not_end_the_program(folder):
    outcomes = ask(folder, "LeavesOutAResult", "0d/linear/*")
    assert {outcome.error_kind for outcome in outcomes} == {"malformed"}
    assert len(pids(folder)) == 1


def test_a_flood_does_not_fill_the_memory(folder):
    program = Program(shlex.split(word("FloodsOneLine").removeprefix("exec:")))
    program.ask(b'{"id": 0, "command": "start"}\n', 60.0)
    tracemalloc.start()
    with pytest.raises(Fault, match="more than"):
        program.ask(b'{"id": 1, "command": "run"}\n', 60.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    program.kill()
    assert 1 << 24 == MAX_LINE < peak < 3 * MAX_LINE
    assert_nothing_left(folder)


def check(name):
    """Return what `lcl protocol-check` finds broken, as {rule: what was seen}."""
    argv = shlex.split(word(name).removeprefix("exec:"))
    findings = list(Checker(argv, Limits(START_SECONDS, CASE_SECONDS)).findings())
    assert findings != []
    return {finding.rule: finding.seen for finding in findings if not finding.kept}


def test_the_protocol_check_passes_a_good_program_and_a_wrong_layer(folder):
    assert check("Good") == {}
    assert check("SwapsBytes") == {}
    assert_nothing_left(folder)


@pytest.mark.parametrize("name", EXPECTED["protocol_check"])
def test_the_protocol_check_names_the_rule_that_is_broken(folder, name):
    rule, seen = EXPECTED["protocol_check"][name]
    broken = check(name)
    assert (rule in broken) == bool(seen)
    assert seen in broken.get(rule, "")
    assert_nothing_left(folder)


@pytest.fixture
def hanging_run(folder):
    """Start ``lcl run`` on a program that hangs, and wait until it does."""
    command = [*FOREGROUND, *LCL, "run", "-b", word("HangsWithAChild"), "-c", CASE, "--dtype", "float32"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: len(pids(folder)) == 2, 60.0)
        yield process
        with contextlib.suppress(ProcessLookupError):
            process.kill()


def test_an_interrupted_run_leaves_nothing(folder, hanging_run):
    hanging_run.send_signal(signal.SIGINT)
    assert hanging_run.wait(30) == 130
    assert_nothing_left(folder)


def test_a_killed_run_leaves_no_process(folder, hanging_run):
    hanging_run.kill()
    assert_no_process(folder)
