"""Diagnosis names mistakes made by hand, finds two at once, leaves right layers alone, and never guesses."""

from __future__ import annotations

import json
import textwrap
import time
from functools import cache

import numpy as np
import pytest

from lcl_ref.core import batched
from lcl_ref.suite.cases.catalogue import select
from lcl_ref.suite.cases.tiers import in_tier
from lcl_ref.suite.diagnosis.deviations import COMPUTED, Refused, find, results
from lcl_ref.suite.diagnosis.diagnose import diagnose
from lcl_ref.suite.diagnosis.hypothesis_search import find_explanations, reproduces
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.observation import Observation, rejected
from lcl_ref.suite.judge.tasks import cell_exists, load_task
from lcl_ref.suite.run.user_layer import as_adapter
from tests.support.broken_layers import BROKEN, RIGHT, Gradients, Loops
from tests.support.broken_torch_layers import IN_TORCH, TorchUnfold
from tests.support.marks import quick
from tests.support.paths import SUPPORT
from tests.support.programs import lcl, python

STORE = Store(default_root())
LIMIT_SECONDS = 20
tiers = pytest.mark.parametrize("tier", ["core", pytest.param("full", marks=pytest.mark.slow)])


def named(layer, tier="core"):
    return diagnose(as_adapter("layer", layer), STORE, in_tier(tier))


@tiers
@pytest.mark.parametrize("name", quick(BROKEN, every=6))
def test_mistake_made_by_hand_is_named_first(name, tier):
    began = time.process_time()
    diagnosis = named(BROKEN[name], tier)
    assert diagnosis.findings[0].deviations == (name,)
    assert time.process_time() - began < LIMIT_SECONDS
    assert all(one.kind in ("deviation", "behaviour", "form") for one in diagnosis.findings)


@pytest.mark.parametrize("name", quick(IN_TORCH, *list(IN_TORCH)[:1]))
def test_mistake_in_torch_is_named_with_its_gradients(name):
    diagnosis = named(IN_TORCH[name], "full")
    (finding,) = diagnosis.findings
    assert finding.deviations == (name,)
    assert finding.ops == ("forward", "vjp")
    assert finding.explained == diagnosis.counts["fail"] > 20  # so many in core, which is asked whole on any machine


def test_enough_mistakes_are_made_by_hand():
    assert len({*BROKEN, *IN_TORCH}) >= 25
    assert not any(
        "deviations" in line for line in (SUPPORT / "broken_layers.py").read_text().splitlines() if "import" in line
    )


class Engine:
    """One of the reference's own routes as a user's layer."""

    def __init__(self, module):
        self.module = module

    def forward(self, spec, x, weight, bias):
        with np.errstate(invalid="ignore"):
            return self.module.forward(spec, x, weight, bias)

    def vjp(self, spec, x, weight, bias, dy):
        return self.module.vjp(spec, x, weight, dy)

    def transpose(self, spec, y, weight):
        return self.module.transpose(spec, y, weight)


RIGHT |= {"unfold": TorchUnfold(), "fast": Engine(batched)}


@tiers
@pytest.mark.parametrize("layer", quick(RIGHT.values(), every=2), ids=RIGHT)
def test_right_layer_is_not_diagnosed(layer, tier):
    diagnosis = named(layer, tier)
    assert diagnosis.findings == ()
    assert diagnosis.line.startswith(f"nothing to diagnose: all {diagnosis.counts['pass']} answers are right")
    assert diagnosis.counts["fail"] == diagnosis.counts["error"] == 0


@cache
def tasks(tier):
    return [
        (case.id, op, load_task(STORE, case.id, dtype))
        for case in select(in_tier(tier))
        for dtype in (("float32", "float64") if case.values == "rounded" else ("float32",))
        for op in ("forward", "vjp", "transpose")
        if case.id in STORE.entries and cell_exists(STORE.entries[case.id], op, dtype)
    ]


def observations(hypothesis, tier="core"):
    """What a layer with these deviations answers."""
    seen = []
    for case, op, task in tasks(tier):
        try:
            answer = results(task.spec, task.operands, hypothesis, op)
        except Refused:
            seen.append(Observation(case, op, task, "error", {}))
            continue
        stored = {name: array.astype(FORMATS[task.dtype].dtype) for name, array in answer.items()}
        wrong = rejected(task, op, {name: array.astype(float) for name, array in stored.items()})
        seen.append(Observation(case, op, task, "fail" if wrong else "pass", stored))
    return seen


def same_layer(left, right, tier):
    """Return whether two hypotheses answer every cell alike, where both answer."""
    for _, op, task in tasks(tier):
        try:
            one, other = (results(task.spec, task.operands, hypothesis, op) for hypothesis in (left, right))
        except Refused:
            continue
        if any(not np.array_equal(one[name], other[name], equal_nan=True) for name in one):
            return False
    return True


@pytest.mark.slow
@tiers
@pytest.mark.parametrize("deviation", COMPUTED, ids=lambda one: one.id)
def test_every_deviation_explains_itself(deviation, tier):
    """No other one is named instead, unless the answers are the same."""
    seen = observations((deviation,), tier)
    (found,) = find_explanations(seen)
    candidates = (found.deviations, *found.same)
    assert (deviation,) in candidates
    assert found.deviations == (deviation,) or same_layer(found.deviations, (deviation,), tier)


@pytest.mark.slow
@tiers
def test_pairs_are_found(tier):
    """Of 50 random pairs that can be told from every smaller explanation, at least 45 are named."""
    right, drawn, slowest = 0, 0, 0.0
    for pair in random_pairs():
        if drawn == 50:
            break
        seen = observations(pair, tier)
        wrong = [one for one in seen if one.verdict == "fail"]
        began = time.process_time()
        found = find_explanations(seen)
        slowest = max(slowest, time.process_time() - began)
        assert_claims_hold(found, seen)
        if not wrong or any(len(one.deviations) == 1 and reproduces_all(one.deviations, seen) for one in found):
            continue  # one of them hides the other
        drawn += 1
        named_together = {name.id for one in found for name in one.deviations}
        hypotheses = [{name.id for name in pair_} for one in found for pair_ in (one.deviations, *one.same)]
        wanted = {name.id for name in pair}
        right += wanted in hypotheses or wanted == named_together
    assert right >= 45
    assert slowest < LIMIT_SECONDS


def random_pairs():
    stream = np.random.Generator(np.random.Philox(20))
    while True:
        yield tuple(COMPUTED[number] for number in stream.permutation(len(COMPUTED))[:2])


def reproduces_all(hypothesis, seen):
    return all(reproduces(hypothesis, one) for one in seen if one.verdict in ("pass", "fail"))


def assert_claims_hold(found, seen):
    """Whatever is claimed reproduces every answer of the operations it is claimed for."""
    for one in found:
        concerned = [each for each in seen if each.op in one.ops and each.verdict in ("pass", "fail")]
        assert one.explained == sum(each.verdict == "fail" for each in concerned)
        for hypothesis in (one.deviations, *one.same):
            assert all(reproduces(hypothesis, each) for each in concerned)


class TwoMistakes(type(BROKEN["patch/channel-major"])):
    """Drops the bias besides."""

    def bias(self, spec, bias, o):
        return 0


class ForwardAndBackward(Gradients):
    """Flips the taps forward, and overwrites overlaps backward: two mistakes in two operations."""

    def forward(self, spec, x, weight, bias):
        return BROKEN["taps/flipped"].forward(spec, x, weight, bias)

    def store(self, total, index, part):
        total[index] = part


def test_two_mistakes_by_hand():
    (finding,) = named(TwoMistakes()).findings
    assert set(finding.deviations) == {"patch/channel-major", "bias/dropped"}
    forward, vjp = named(ForwardAndBackward()).findings
    assert (forward.ops, forward.deviations) == (("forward",), ("taps/flipped",))
    assert (vjp.ops, vjp.deviations) == (("vjp",), ("dx/overlap-overwritten",))


class Rolled(Loops):
    """Nothing in the catalogue: weights of the next output channel."""

    def kernel(self, spec, weight, o):
        return np.roll(super().kernel(spec, weight, o), 1, axis=-1)


class Squared(Loops):
    def finish(self, spec, y):
        return y * y


class Shifted(Loops):
    def bias(self, spec, bias, o):
        return bias + 1


class Mixing(Loops):
    """Subtracts what all samples have in common."""

    def finish(self, spec, y):
        return y - y.sum(axis=0)


class SparseWindow(Loops):
    """Never reads the last tap of a window, and the first one twice."""

    def window(self, spec, xp, o):
        window = super().window(spec, xp, o).copy()
        if spec.rank and spec.kernel_size[0] > 1:
            window[:, -1] = window[:, 0]
        return window


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (Rolled(), "joined by another weight than specified; for example x["),
        (Squared(), "not linear in x"),
        (Shifted(), "with x = 0 the output should be the bias"),
        (Mixing(), "samples interact"),
        (SparseWindow(), "are not joined although the window holds them"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Loops) else "",
)
def test_what_is_unknown_is_described_and_not_named(layer, words):
    diagnosis = named(layer)
    assert diagnosis.line.startswith(f"no known deviation explains the {diagnosis.counts['fail']} wrong answers: ")
    assert "y is wrong" in diagnosis.line
    assert all(not finding.deviations for finding in diagnosis.findings)
    assert any(words in finding.text for finding in diagnosis.findings)


def test_almost_right_hypothesis_is_not_claimed():
    """One answer changed in its last bit, and the explanation of all the others is gone."""
    seen = observations((find("taps/flipped"),))
    place = next(number for number, one in enumerate(seen) if one.verdict == "fail" and one.op == "forward")
    y = seen[place].answers["y"].copy()
    y.reshape(-1)[-1] = np.nextafter(y.reshape(-1)[-1], np.inf)
    seen[place] = Observation(seen[place].case, "forward", seen[place].task, "fail", {"y": y})
    assert all("forward" not in one.ops for one in find_explanations(seen))


def write(folder, body):
    """Write a layer file that takes its layer from the broken ones."""
    imports = "from broken_torch_layers import *" if "TORCH" in body else "from broken_layers import *"
    text = f"import sys\nsys.path.insert(0, {str(SUPPORT)!r})\n{imports}\n{textwrap.dedent(body)}"
    (folder / "layer.py").write_text(text)


def run_diagnose(folder, *words):
    return lcl("diagnose", "--tier", "core", *(words or ("-b", "layer.py")), cwd=folder)


@pytest.mark.parametrize(
    ("body", "attribute", "deviation"),
    [
        pytest.param("forward = BROKEN['taps/flipped'].forward", "", "taps/flipped", marks=pytest.mark.slow),
        ("class Mine(type(BROKEN['bias/dropped'])): pass", ":Mine", "bias/dropped"),
        pytest.param(
            *("def mine(*given): return BROKEN['windows/one-late'].forward(*given)", ":mine", "windows/one-late"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "mine = IN_TORCH['input/reshaped-from-channels-first']",
            ":mine",
            "input/reshaped-from-channels-first",
            marks=pytest.mark.slow,
        ),
        *[
            pytest.param(f"mine = BROKEN[{name!r}]", ":mine", name, marks=pytest.mark.slow)
            for name in ("dw/batch-averaged", "groups/ignored", "padding/sides-swapped")
        ],
    ],
)
def test_command_names_the_mistake_with_a_program_that_shows_it(tmp_path, body, attribute, deviation):
    write(tmp_path, body)
    done = run_diagnose(tmp_path, "-b", f"layer.py{attribute}", "--json", "found.json")
    assert done.returncode == 1, done.stderr
    assert f"deviation: {deviation}\n" in done.stdout
    (diagnosis,) = json.loads((tmp_path / "found.json").read_text())["diagnoses"]
    (finding,) = diagnosis["findings"]
    assert finding["deviations"] == [deviation]
    program = finding["program"]
    assert len(program.splitlines()) <= 24
    assert "lcl_ref" not in program
    shown = python("-c", program, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "differs: [[" in shown.stdout


def test_program_calls_a_right_layer_right(tmp_path):
    """The program's own loops are right: they find nothing in a layer that is."""
    write(tmp_path, "class Mine(Gradients): pass\nmine = BROKEN['dw/batch-averaged']")
    run_diagnose(tmp_path, "-b", "layer.py:mine", "--tier", "smoke", "--json", "found.json")
    program = json.loads((tmp_path / "found.json").read_text())["diagnoses"][0]["findings"][0]["program"]
    right = program.replace("layer = layer.mine", "layer = layer.Mine()")
    shown = python("-c", right, cwd=tmp_path)
    assert "is right" in shown.stdout
    assert "differs" not in shown.stdout


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ("forward = Loops().forward", 0, "nothing to diagnose: all"),
        ("def forward(*arrays): raise RuntimeError('no\\nway')", 1, "cannot diagnose: "),
        ("def forward(*arrays): sys.exit()", 1, "cannot diagnose: "),
        (
            "import os\ndef forward(*arrays): os._exit(7)",
            1,
            "forward: crash: the process was ended with exit status 7",
        ),
        (
            "forward = Loops().forward\ndef supports(*asked): return 'not today'",
            3,
            "cells are declared unsupported (not today)",
        ),
    ],
    ids=["right", "raises", "exits", "dies", "supports nothing"],
)
def test_wrong_use_is_one_clear_line(tmp_path, body, status, words):
    write(tmp_path, body)
    done = run_diagnose(tmp_path, "-b", "layer.py", "--tier", "smoke")
    assert done.returncode == status, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert words in done.stdout


def test_layer_that_dies_now_and_then_is_diagnosed_from_the_rest(tmp_path):
    write(
        tmp_path,
        """
        import os
        class Mine(type(BROKEN["taps/flipped"])):
            def forward(self, spec, x, weight, bias):
                if spec.rank == 3 and spec.groups == 2:
                    os._exit(7)
                return super().forward(spec, x, weight, bias)
        """,
    )
    done = run_diagnose(tmp_path, "-b", "layer.py:Mine")
    assert done.returncode == 1
    assert "deviation: taps/flipped\n" in done.stdout
    assert "crash: the process was ended with exit status 7" in done.stdout


def test_backend_that_is_none_is_one_line(tmp_path):
    for word in ("nowhere.py", "no.such.backend"):
        done = run_diagnose(tmp_path, "-b", word)
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) == 1


def test_registered_backend_conforms():
    done = run_diagnose(SUPPORT, "-b", "torch.unfold", "--tier", "smoke")
    assert done.returncode == 0
    assert done.stdout.startswith("torch.unfold: nothing to diagnose")
