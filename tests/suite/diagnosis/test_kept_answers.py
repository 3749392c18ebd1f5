"""A failing run is diagnosed from its own answers: no question of the golden data is asked a second time."""

import json
from collections import Counter

import pytest

from tests.support.paths import SUPPORT
from tests.support.programs import lcl

LAYER = f"""
import hashlib, os, sys
sys.path.insert(0, {str(SUPPORT)!r})
from broken_layers import BROKEN

class Logged(type(BROKEN["taps/flipped"])):
    def forward(self, spec, x, weight, bias):
        question = hashlib.sha256(spec.to_json().encode() + x.tobytes() + weight.tobytes()).hexdigest()
        with open("questions", "a") as log:
            log.write(f"{{spec.rank}} {{question}}\\n")
        return super().forward(spec, x, weight, bias)

class Dying(Logged):
    def forward(self, spec, x, weight, bias):
        y = super().forward(spec, x, weight, bias)
        return os._exit(7) if spec.rank == 0 else y
"""


def asked(folder, *words):
    """Run a command over the smoke tier; return how often each question was asked, and its report."""
    (folder / "layer.py").write_text(LAYER)
    (folder / "questions").unlink(missing_ok=True)
    done = lcl(*words, "--tier", "smoke", "--json", "report.json", cwd=folder)
    assert done.returncode == 1, done.stderr
    return Counter((folder / "questions").read_text().splitlines()), json.loads((folder / "report.json").read_text())


def test_a_failing_run_asks_nothing_again_to_name_the_mistake(tmp_path):
    alone, _ = asked(tmp_path, "run", "-b", "layer.py:Logged", "--no-diagnose")
    named, report = asked(tmp_path, "run", "-b", "layer.py:Logged")
    assert {outcome["diagnosis"] for outcome in report["outcomes"] if outcome["state"] == "fail"} == {"taps/flipped"}
    assert {question: named[question] for question in alone} == alone


@pytest.mark.parametrize("command", ["run", "diagnose"])
def test_a_question_that_ended_a_process_is_asked_once(tmp_path, command):
    questions, _ = asked(tmp_path, command, "-b", "layer.py:Dying")
    assert [count for question, count in questions.items() if question.startswith("0 ")] == [1]


def test_a_diagnosis_asks_each_question_once(tmp_path):
    questions, report = asked(tmp_path, "diagnose", "-b", "layer.py:Logged")
    (diagnosis,) = report["diagnoses"]
    assert diagnosis["findings"][0]["deviations"] == ["taps/flipped"]
    assert max(count for question, count in questions.items() if question.startswith("1 ")) == 1
