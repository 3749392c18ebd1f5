"""What becomes of layers that misbehave: a clear outcome for their own cells, and nothing left behind."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from lcl_ref.suite.golden.fixtures import default_root
from tests.support.marks import quick
from tests.support.paths import SUPPORT
from tests.support.programs import FOREGROUND, LCL, run
from tests.support.tables import table

EXPECTED = table(__file__, "outcomes.toml")

SLEEP = f"600.{os.getpid()}"
"""Seconds that a layer which hangs sleeps: a number that no other test run has."""

ENVIRONMENT = os.environ | {"LCL_TEST_SLEEP": SLEEP}
CASES = ["-c", "1d/stride/two-even", "-c", "2d/stride/two-even", "-c", "0d/linear/no-bias", "--dtype", "float32"]


def lcl(*words, cwd=SUPPORT):
    done = run(*LCL, *words, cwd=cwd, env=ENVIRONMENT)
    return done.returncode, done.stdout, done.stderr


def outcomes_of(name, tmp_path, *more):
    report = tmp_path / "report.json"
    status, out, err = lcl("run", "-b", f"misbehaving.py:{name}", *CASES, *more, "--no-diagnose", "--json", str(report))
    assert report.exists(), out + err
    answers = json.loads(report.read_text())["outcomes"]
    return status, {(answer["case"], answer["op"]): answer for answer in answers}, out


@pytest.mark.parametrize("name", quick(["right", "prints", "Prepares", "Stateful", "Declares"], "prints", "Stateful"))
def test_a_right_layer_conforms_whatever_it_prints(name, tmp_path):
    status, answers, _ = outcomes_of(name, tmp_path)
    states = {answer["state"] for (_, op), answer in answers.items() if op == "forward"}
    assert (status, states) == (0, {"pass"})


@pytest.mark.parametrize("name", EXPECTED["misbehaving"])
def test_each_misbehaviour_has_its_outcome(name, tmp_path):
    state, kind, words = EXPECTED["misbehaving"][name]
    status, answers, _ = outcomes_of(name, tmp_path)
    assert status == 1
    for (_, op), answer in answers.items():
        if op == "forward":
            assert (answer["state"], answer["error_kind"]) == (state, kind or None)
            assert words in answer["message"]


def test_a_layer_that_flips_a_bit_now_and_then_is_nondeterministic(tmp_path):
    status, answers, _ = outcomes_of("ChangesItsMind", tmp_path)
    assert status == 1
    messages = {answer["message"] for (_, op), answer in answers.items() if op == "forward"}
    assert messages == {"nondeterministic: y differs between two calls with the same input"}


@pytest.mark.parametrize(
    ("name", "how"), [("dies", "exit status 7"), ("exits", "exit status 0"), ("crashes", "SIGSEGV")]
)
def test_a_process_that_ends_is_a_crash(name, how, tmp_path):
    status, answers, _ = outcomes_of(name, tmp_path)
    crash = answers["1d/stride/two-even", "forward"]
    assert (status, crash["state"], crash["error_kind"]) == (1, "error", "crash")
    assert how in crash["message"]


def test_a_crash_touches_its_own_cell_only(tmp_path):
    status, answers, _ = outcomes_of("dies_on_two_axes", tmp_path)
    states = {case: answer["state"] for (case, op), answer in answers.items() if op == "forward"}
    assert status == 1
    assert states == {"0d/linear/no-bias": "pass", "1d/stride/two-even": "pass", "2d/stride/two-even": "error"}


def test_a_layer_that_never_returns_is_a_timeout_and_its_children_end(tmp_path):
    status, answers, _ = outcomes_of("hangs", tmp_path, "--timeout", "1")
    hung = answers["0d/linear/no-bias", "forward"]
    assert (status, hung["state"], hung["error_kind"]) == (1, "error", "timeout")
    assert hung["message"] == "no answer within 1 s"
    assert f"sleep {SLEEP}" not in commands_running()


def test_three_losses_in_a_row_end_a_backend(tmp_path):
    report = tmp_path / "report.json"
    lcl("run", "-b", "misbehaving.py:dies", "-c", "1d/*", "--json", str(report))
    summary = json.loads(report.read_text())["summary"]
    assert summary["error"] == 3
    assert summary["pass"] == 0
    assert summary["not_run"] > 50


def commands_running():
    """Return the command lines of all processes, from /proc or, where there is none, from ps."""
    proc = Path("/proc")
    if not proc.is_dir():
        return run("ps", "-Ao", "command", check=True).stdout
    lines = []
    for entry in proc.glob("[0-9]*/cmdline"):
        try:
            lines.append(entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return "\n".join(lines)


def test_ctrl_c_ends_every_process_and_leaves_no_file(tmp_path):
    report = tmp_path / "report.json"
    words = [*FOREGROUND, *LCL, "run", "-b", "misbehaving.py:hangs", *CASES, "--json", str(report)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = subprocess.Popen(words, cwd=SUPPORT, start_new_session=True, env=ENVIRONMENT, **pipes)
    deadline = time.monotonic() + 60
    while f"sleep {SLEEP}" not in commands_running() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert f"sleep {SLEEP}" in commands_running()
    os.kill(running.pid, signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert b"interrupted" in err
    assert f"sleep {SLEEP}" not in commands_running()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("words", "message"), quick(EXPECTED["wrong_words"].items(), every=2))
def test_wrong_words_are_one_clear_message_and_exit_status_two(words, message):
    status, out, err = lcl("run", *words.split())
    assert (status, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_a_file_that_does_not_parse_is_wrong_input(tmp_path):
    (tmp_path / "broken.py").write_text("def forward(:\n")
    status, _, err = lcl("run", "-b", "broken.py", cwd=tmp_path)
    assert status == 2
    assert "SyntaxError" in err


def test_nothing_run_is_exit_status_three():
    status, _, _ = lcl("run", "-b", "misbehaving.py:Declares", "-c", "1d/stride/two-even", "--dtype", "float64")
    assert status == 3


def test_damaged_golden_data_stops_the_run(tmp_path):
    data = tmp_path / "data"
    shutil.copytree(default_root(), data)
    path = data / "1d-stride.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    status, out, err = lcl("run", "-b", "numpy.loop", "--data", str(data))
    assert (status, out) == (2, "")
    assert "1d-stride.safetensors, array 1d/stride/" in err


def test_what_is_required_and_missing_fails():
    words = ["run", "-b", "numpy.loop", "-c", "0d/linear/*", "--require"]
    assert lcl(*words, "numpy")[0] == 0
    status, out, _ = lcl(*words, "torch")
    assert status == 1
    assert "required, but not present: torch" in out
