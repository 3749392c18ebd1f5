"""Two ports in other languages, written from SPEC.md alone: they keep to the protocol and conform in every cell."""

import shlex
import shutil
from pathlib import Path

import pytest

from lcl_ref.suite.exec_backend import Limits
from lcl_ref.suite.fixtures import default_root, verify
from lcl_ref.suite.loading import EXEC, resolve
from lcl_ref.suite.outcome import Outcome
from lcl_ref.suite.plan import make_plan
from lcl_ref.suite.protocol_check import Checker
from lcl_ref.suite.runner import MatrixRun, Settings

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

MISTAKES = {
    "js": ("layer.js", " - padding[axis][0]);", ");", "*d/padding/*", "forward"),
    "c": ("layer.c", "+ tap * l->", "+ (l->kernel[a] - 1 - tap) * l->", "*d/plain/*", "forward"),
}
"""Port -> file, a line of it, the same with a mistake, and cases and operation that see it."""


def run(word, globs=(), **choice):
    """Return all outcomes of a backend."""
    plan = make_plan(resolve([word]), verify(default_root()), globs, **choice)
    with MatrixRun(plan, Settings(default_root(), 1, 60.0)) as matrix:
        return [event for event in matrix if isinstance(event, Outcome)]


def test_port_keeps_to_the_protocol(port, build):
    findings = list(Checker(shlex.split(build(port).removeprefix(EXEC)), Limits()).findings())
    assert [finding for finding in findings if not finding.kept] == []
    assert len(findings) >= 12


def test_port_conforms(port, build):
    outcomes = run(build(port), dtypes=["float32", "float64"])
    assert [outcome for outcome in outcomes if outcome.state != "pass"] == []
    assert len(outcomes) > 1000


def test_port_declares_what_it_lacks(port, build):
    outcomes = run(build(port), ["1d/plain/odd-kernel"], ops=["forward"])
    assert {(outcome.dtype, outcome.state) for outcome in outcomes} == {
        ("float16", "unsupported"),
        ("bfloat16", "unsupported"),
        ("float32", "pass"),
        ("float64", "pass"),
    }


@pytest.fixture
def mistaken(port, build, tmp_path):
    """Build a copy of the port with one line changed; also give the cases and operation that see it."""
    file, right, wrong, cases, op = MISTAKES[port]
    copy = tmp_path / port
    shutil.copytree(EXAMPLES / port, copy)
    text = (copy / file).read_text()
    assert text.count(right) == 1
    (copy / file).write_text(text.replace(right, wrong))
    return build(port, copy), cases, op


def test_a_mistake_in_a_port_is_found(mistaken):
    word, cases, op = mistaken
    outcomes = run(word, [cases], dtypes=["float32"], ops=[op])
    failed = [outcome for outcome in outcomes if outcome.state == "fail"]
    assert len(failed) >= 5
    assert {outcome.state for outcome in outcomes} <= {"pass", "fail"}
