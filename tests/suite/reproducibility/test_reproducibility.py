"""Classes of reproducibility: for each a layer that is in all of them, and one that is not in this one alone."""

import json
import os
import random

import numpy as np
import pytest

from lcl_ref.core import batched
from lcl_ref.suite.reproducibility.answering import answers_to
from lcl_ref.suite.reproducibility.classes import CLASSES, agreement, measured
from lcl_ref.suite.reproducibility.questions import VARIANTS, questions
from lcl_ref.suite.run.user_layer import as_adapter
from tests.support.programs import lcl
from tools import reproducibility_page

ASKED = [question for question in questions("float32") if question.case == "1d/padding/uneven-pair"]


class Layer:
    """The layer, each sample apart and in float64: the same bits under any circumstance."""

    def forward(self, spec, x, weight, bias):
        y = np.stack([batched.forward(spec, sample[None].astype(np.float64, "C"), weight, bias)[0] for sample in x])
        return (y + self.added(x)).astype(np.float32)

    def added(self, _x):
        return 0.0


class Drawn(Layer):
    def added(self, x):
        return random.random()  # noqa: S311 -- its mistake


class InABatch(Layer):
    def added(self, x):
        return float(len(x) > 1)


class OfTheFirst(Layer):
    def added(self, x):
        return float(np.array_equal(x[0], ASKED[0].operands["x"][-1])) if len(x) > 1 else 0.0


class ByCores(Layer):
    def added(self, _x):
        return float(os.environ["OMP_NUM_THREADS"] != "1")


class ByMemory(Layer):
    def added(self, x):
        return float(not x.flags.c_contiguous)


def found(layer, monkeypatch):
    """Return what is measured of a layer in this process."""
    adapter, answers = as_adapter("layer", layer), {}
    for circumstance, variant, cores in (
        *((name, name, "1") for name in VARIANTS),
        ("second process", "plain", "1"),
        ("every core", "plain", "4"),
    ):
        monkeypatch.setenv("OMP_NUM_THREADS", cores)
        (question,) = ASKED
        reply = answers_to(adapter, question, "forward", variant, "float32", [])
        assert not reply.end
        answers[circumstance] = {(question.case, "forward", name): array for name, array in reply.answers.items()}
    return measured("layer", "float32", answers)


def test_a_layer_whose_bits_hang_on_nothing_is_in_every_class(monkeypatch):
    assert dict(found(Layer, monkeypatch).classes) == dict.fromkeys(CLASSES)


@pytest.mark.parametrize(
    ("layer", "name"),
    [(InABatch, "alone"), (OfTheFirst, "order"), (ByCores, "threads"), (ByMemory, "memory")],
    ids=["alone", "order", "threads", "memory"],
)
def test_a_layer_is_out_of_the_class_of_what_its_bits_hang_on(layer, name, monkeypatch):
    classes = found(layer, monkeypatch).classes
    assert [one for one, witness in classes.items() if witness] == [name]


def test_a_layer_that_draws_is_in_no_class(monkeypatch):
    assert all(found(Drawn, monkeypatch).classes.values())


def test_a_witness_names_two_numbers(monkeypatch):
    witness = found(InABatch, monkeypatch).classes["alone"]
    assert (witness.case, witness.dtype, witness.op, witness.result) == (ASKED[0].case, "float32", "forward", "y")
    plain, alone = ASKED[0], witness.position
    assert witness.plain != witness.other
    assert str(witness).startswith(f"alone: {plain.case} forward float32, y[{', '.join(map(str, alone))}]: ")
    assert witness.differing == witness.of


def test_agreement_counts_results_with_the_same_bits():
    one, other = {("a", "forward", "y"): np.ones(3), ("b", "forward", "y"): np.ones(3)}, {}
    other[("a", "forward", "y")], other[("b", "forward", "y")] = np.ones(3), -np.ones(3)
    assert agreement({"one": one, "other": other, "none": {}}) == {
        "one": {"other": (1, 2)},
        "other": {"one": (1, 2)},
        "none": {},
    }


def test_the_command_measures_and_judges_nothing(tmp_path):
    (tmp_path / "layer.py").write_text(
        "import os\nimport lcl_ref\n\ndef forward(spec, x, weight, bias):\n"
        "    y = lcl_ref.forward(spec, x, weight, bias)\n"
        "    return y if len(x) > 1 else y + os.getpid() % 7 + 1\n\n"
        "def supports(spec, dtype, op):\n"
        "    return True if spec.rank == 0 and spec.in_channels < 99 else 'small ones only'\n"
    )
    done = lcl("reproducibility", "-b", tmp_path / "layer.py", "--json", tmp_path / "found.json")
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "found.json").read_text())
    assert document["format"] == "lcl-reproducibility/1"
    (one,) = document["backends"]
    assert {name: entry["same_bits"] for name, entry in one["classes"].items()} == {
        "run to run": True,
        "alone": False,
        "order": True,
        "threads": True,
        "memory": True,
    }
    assert "alone: 0d/linear/position-bias forward float32, y[" in done.stdout


def test_the_page_says_in_which_formats_a_class_is_left():
    one, other = ({("a", "forward", "y"): np.full(3, value)} for value in (1.0, 2.0))
    documents = []
    for dtype, alone in (("float16", one), ("float32", other)):
        found = measured("layer", dtype, {"plain": one, "alone": alone, "backwards": other})
        facts = {"dtype": dtype, "cores": 2, "machine": {"system": "Linux", "machine": "x86_64"}, "classes": CLASSES}
        documents.append(facts | {"backends": [found.to_dict()]})
    page = reproducibility_page.tables(documents)
    assert "| `layer` | 2 | - | differs in float32 | differs | - | - | - |" in page
    assert "| `layer` | alone | `a` | forward float32, y[0] | 1.0 | 2.0 |" in page
