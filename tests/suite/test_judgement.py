"""`lcl_ref.testing.judge`: one call from a layer to its verdict, the same as that of a run."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lcl_ref.api import forward
from lcl_ref.core import batched
from lcl_ref.errors import AdapterError, LclError
from lcl_ref.suite.diagnosis.deviations import COMPUTED, results
from lcl_ref.testing import judge
from tests.support.broken_layers import BROKEN
from tests.support.paths import EXAMPLES, SUPPORT
from tests.support.programs import lcl

SMOKE_SECONDS, CORE_SECONDS = 0.3, 3.0


class Right:
    """A right NumPy layer."""

    def forward(self, spec, x, weight, bias):
        return batched.forward(spec, x, weight, bias)

    def vjp(self, spec, x, weight, bias, dy):
        return batched.vjp(spec, x, weight, dy)

    def transpose(self, spec, y, weight):
        return batched.transpose(spec, y, weight)


class Deviating(Right):
    """A NumPy layer with one known deviation."""

    def __init__(self, deviation):
        self.deviation = deviation

    def results(self, spec, op, **operands):
        given = {name: array for name, array in operands.items() if array is not None}
        found = results(spec, given, (self.deviation,), op)
        return {name: array.astype(operands["weight"].dtype) for name, array in found.items()}

    def forward(self, spec, x, weight, bias):
        return self.results(spec, "forward", x=x, weight=weight, bias=bias)["y"]

    def vjp(self, spec, x, weight, bias, dy):
        found = self.results(spec, "vjp", x=x, weight=weight, bias=bias, dy=dy)
        return found["dx"], found["dw"], found.get("db")

    def transpose(self, spec, y, weight):
        return self.results(spec, "transpose", weight=weight, dy=y)["dx"]


def seconds_of(tier):
    """The least processor time of three calls after the first."""
    judge(Right(), tier=tier, seed=0)
    taken = []
    for seed in range(3):
        began = time.process_time()
        assert judge(Right(), tier=tier, seed=seed).conforms
        taken.append(time.process_time() - began)
    return min(taken)


def test_smoke_takes_a_moment():
    assert seconds_of("smoke") <= SMOKE_SECONDS


@pytest.mark.slow
def test_core_takes_seconds():
    assert seconds_of("core") <= CORE_SECONDS


def test_a_right_layer_conforms_and_has_no_diagnosis():
    found = judge(Right(), tier="smoke", seed=5)
    assert found.conforms
    assert found.diagnosis is None
    assert found.not_seen == ()
    assert found.counts["pass"] == len(found.outcomes) > 30
    said = json.loads(found.to_json())
    assert said["format"] == "lcl-judgement/1"
    assert (said["conforms"], said["seed"], said["diagnosis"]) == (True, 5, None)
    assert said["outcomes"] == [one.to_dict() for one in found.outcomes]


def test_a_wrong_layer_is_diagnosed_when_it_is_asked_for():
    found = judge(BROKEN["groups/reversed"], tier="full", cases=["*/groups/*"], seed=0)
    assert not found.conforms
    assert found.diagnosis.findings[0].deviations == ("groups/reversed",)
    assert json.loads(found.to_json())["diagnosis"]["findings"][0]["deviations"] == ["groups/reversed"]


def test_a_check_that_fails_is_the_diagnosis():
    class Buffered(Right):
        kept = np.zeros(0)

        def forward(self, spec, x, weight, bias):
            y = batched.forward(spec, x, weight, bias)
            if self.kept.shape == y.shape and self.kept.dtype == y.dtype:
                self.kept[...] = y
            else:
                self.kept = y
            return self.kept

    found = judge(Buffered(), cases=["state/shared-buffer"], ops=["forward"], seed=0)
    assert {one.case for one in found.outcomes} == {"state/shared-buffer"}
    assert found.diagnosis.findings[0].deviations == ("state/shared-buffer",)


def test_a_narrow_layer_is_told_what_was_not_seen():
    class Plain(Right):
        def supports(self, spec, dtype, op):
            return True if spec.rank == 0 else "rank 0 only"

    assert "bias/dropped" not in judge(Plain(), tier="core", seed=0).not_seen
    assert judge(Plain(), tier="smoke", seed=0).not_seen


def test_words_are_asked_in_a_process_of_their_own():
    asked = {"tier": "smoke", "seed": 0}
    file = f"{SUPPORT / 'misbehaving.py'}:"
    died = judge(f"{file}dies", **asked)
    assert not died.conforms
    assert {one.error_kind for one in died.outcomes if one.state == "error"} == {"crash"}
    here = judge(str(EXAMPLES / "my_layer.py"), in_process=True, **asked)
    assert here.conforms
    assert _verdicts(here) == _verdicts(judge(str(EXAMPLES / "my_layer.py"), **asked))


@pytest.mark.parametrize(
    ("layer", "asked", "words"),
    [
        ("nowhere.py", {}, "no such file"),
        ("numpy.*", {}, "one layer"),
        (3, {}, "no function `forward`"),
        (Right(), {"tier": "huge"}, "one of smoke, core, full"),
        (Right(), {"ops": ["backward"]}, "one of forward, vjp, transpose"),
        (Right(), {"dtypes": ["float8"]}, "float16"),
        (Right(), {"cases": ["nothing/*"]}, "nothing/*"),
    ],
)
def test_wrong_use_is_refused(layer, asked, words):
    with pytest.raises((AdapterError, LclError), match=words.replace("*", r"\*")):
        judge(layer, **asked)


def _verdicts(found):
    return [(one.case, one.op, one.dtype, one.state, one.error_ratio) for one in found.outcomes]


CANDIDATES = """
import sys
sys.path.insert(0, {root!r})
from lcl_ref.suite.diagnosis.deviations import COMPUTED
from tests.suite.test_judgement import Deviating

LAYERS = [Deviating(one) for one in COMPUTED]
globals().update({{f"layer{{number}}": one for number, one in enumerate(LAYERS)}})
"""


def runs(folder, numbers, tier):
    """The verdicts of `lcl run` about deviating layers."""
    (folder / "candidates.py").write_text(CANDIDATES.format(root=str(SUPPORT.parents[1])))
    words = [word for number in numbers for word in ("-b", f"candidates.py:layer{number}")]
    options = ("--tier", tier, "--seed", "7", "--no-diagnose", "--json", "report.json")
    done = lcl("run", *words, *options, cwd=folder, timeout=3000)
    assert done.returncode == 1, done.stderr
    found = {number: [] for number in numbers}
    for one in json.loads((folder / "report.json").read_text())["outcomes"]:
        number = int(one["backend"].removeprefix("candidates.py:layer"))
        found[number].append((one["case"], one["op"], one["dtype"], one["state"], one["error_ratio"]))
    return found


@pytest.mark.parametrize("many", [3, pytest.param(200, marks=pytest.mark.slow)])
def test_a_loop_over_wrong_layers_says_what_a_run_says(tmp_path, many):
    """In one process, one after the other: no layer changes what is said of the next."""
    numbers = [number % len(COMPUTED) for number in range(many)]
    expected = runs(tmp_path, sorted(set(numbers)), "smoke")
    for number in numbers:
        found = judge(Deviating(COMPUTED[number]), tier="smoke", seed=7)
        assert _verdicts(found) == expected[number], COMPUTED[number].id
        assert not found.conforms


def test_a_thread_may_ask_for_a_verdict():
    """What only the main thread may set is left as it is."""
    with ThreadPoolExecutor(1) as threads:
        found = threads.submit(judge, forward, cases=["state/global-*"], seed=1, in_process=True).result()
    assert {one.state for one in found.outcomes} == {"pass", "unsupported"}
