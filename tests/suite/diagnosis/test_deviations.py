"""The catalogue: the unedited plan is the layer, edits compose, and derivatives are those of the edited layer."""

from __future__ import annotations

import re
from itertools import combinations, islice
from pathlib import Path

import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.suite.adapter import OPS
from lcl_ref.suite.cases.catalogue import CASES
from lcl_ref.suite.diagnosis.deviations import CATALOGUE, COMPUTED, Refused, find, result, results
from lcl_ref.suite.diagnosis.deviations.deviation import LAYER, changed_fields, edited
from lcl_ref.suite.diagnosis.deviations.hooks import Linear, Move, back, forth
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.bounds import gamma
from lcl_ref.suite.judge.tasks import cell_exists, load_task

STORE = Store(default_root())
ALL_ROUNDINGS = 10_000
"""More than any sum of these small layers has."""

SPEC = lcl.Spec(
    input_size=(6, 5), in_channels=4, out_channels=6, kernel_size=(3, 2), stride=(2, 1), dilation=(1, 2),
    padding=((1, 2), (2, 0)), groups=2, shared=(False, False), bias="position",
)  # fmt: skip
SHARED = lcl.Spec(
    input_size=(7, 5),
    in_channels=3,
    out_channels=4,
    kernel_size=(3, 2),
    stride=2,
    padding=1,
    shared=True,
    bias="channel",
)


def operands(spec, batch=3, seed=0):
    stream = np.random.Generator(np.random.Philox(seed))
    shapes = {"x": spec.x_shape(batch), "weight": spec.weight_shape, "dy": spec.y_shape(batch), "bias": spec.bias_shape}
    return {name: stream.integers(-9, 10, shape).astype(float) for name, shape in shapes.items() if shape is not None}


def test_catalogue_is_complete_data():
    assert len({deviation.id for deviation in CATALOGUE}) == len(CATALOGUE) >= 45
    clauses = set(re.findall(r"^\*\*(\d+\.\d+)\*\*", Path("SPEC.md").read_text(), re.MULTILINE))
    for deviation in CATALOGUE:
        assert re.fullmatch(r"[a-z]+/[a-z0-9-]+(\[[xyz]\])?", deviation.id)
        assert all((deviation.sentence, deviation.fix, deviation.needs)), deviation.id
        assert deviation.clause in clauses, deviation.id
        assert deviation.ops
        assert (deviation.edit is None) == (deviation.kind == "behaviour")


def test_unknown_id_names_the_nearest():
    assert find("taps/flipped[y]").id == "taps/flipped[y]"
    with pytest.raises(lcl.AdapterError, match="did you mean 'taps/flipped'"):
        find("tap/flipped")


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.values != "rounded" and not case.generated], ids=lambda case: case.id
)
def test_unedited_plan_is_the_layer(case):
    task = load_task(STORE, case.id, "float64")
    for op in OPS:
        if cell_exists(STORE.entries[case.id], op, "float64"):
            for name, array in results(task.spec, task.operands, (), op).items():
                np.testing.assert_array_equal(array, task.golden[name].astype(float))


@pytest.mark.parametrize(
    "deviation", [one for one in COMPUTED if one.kind == "layer" and one.parts == LAYER], ids=lambda one: one.id
)
@pytest.mark.parametrize("spec", [SPEC, SHARED], ids=["unshared", "shared"])
def test_derivatives_are_those_of_the_edited_layer(deviation, spec):
    """The layer is bilinear: <dy, y(v)> - <dy, y(0)> = <d, v> holds exactly, for x, weight and bias."""
    given, hypothesis = operands(spec), (deviation,)
    try:
        whole = result(spec, given, hypothesis, "y")
        parts = {part: result(spec, given, hypothesis, part) for part in ("dx", "dw", "db")}
    except Refused:
        assert deviation.id.endswith(("-resized", "output/ceil"))
        return
    for operand, part in (("x", "dx"), ("weight", "dw"), ("bias", "db")):
        without = result(spec, given | {operand: 0 * given[operand]}, hypothesis, "y")
        left, right = np.vdot(given["dy"], whole - without), np.vdot(parts[part], given[operand])
        size = np.vdot(abs(given["dy"]), abs(whole) + abs(without)) + np.vdot(abs(parts[part]), abs(given[operand]))
        assert (
            abs(left - right) <= gamma(ALL_ROUNDINGS, FORMATS["float64"].unit_roundoff) * size
        )  # means are no integers


def test_composition_is_one_after_the_other():
    given = operands(SPEC)
    flipped = given | {"weight": given["weight"][:, :, ::-1, ::-1]}
    both = results(SPEC, given, (find("taps/flipped"), find("bias/dropped")))["y"]
    expected = lcl.forward(SPEC, given["x"], flipped["weight"], 0 * given["bias"])
    np.testing.assert_array_equal(both, expected)
    np.testing.assert_array_equal(results(SPEC, given, (find("bias/dropped"), find("taps/flipped")))["y"], expected)


def test_order_matters_where_two_edit_the_same_array():
    given = operands(SPEC)
    first, second = find("taps/flipped[x]"), find("patch/channel-major")
    one, other = (results(SPEC, given, order)["y"] for order in ((first, second), (second, first)))
    assert (one != other).any()


@pytest.mark.parametrize("one_in", [8, pytest.param(1, marks=pytest.mark.slow)])
def test_every_pair_computes_or_refuses(one_in):
    """Edits never break each other: any two give arrays, or say that such a layer could not run."""
    computed = 0
    for pair in islice(combinations(COMPUTED, 2), 0, None, one_in):
        for op in OPS:
            try:
                computed += len(results(SPEC, operands(SPEC), pair, op)) > 0
            except Refused:
                continue
    assert computed > len(COMPUTED) ** 2 / one_in


def test_moves_have_the_adjoint_of_what_they_do():
    stream = np.random.Generator(np.random.Philox(1))
    x, dy = stream.integers(-9, 9, (2, 4, 3)).astype(float), stream.integers(-9, 9, (2, 4, 3)).astype(float)
    hooks = (
        Move(lambda a: a[:, ::-1]),
        Move(lambda a: np.broadcast_to(a[:, :1], a.shape)),
        Move(lambda a: np.where(np.arange(3) < 2, a, 0)),
        Linear(lambda a: 3 * a, lambda a: 3 * a),
    )
    assert np.vdot(forth(hooks, x), dy) == np.vdot(x, back(hooks, dy))


def test_derivative_deviations_leave_the_layer_right():
    given = operands(SHARED)
    for deviation in CATALOGUE:
        if deviation.kind == "derivative":
            np.testing.assert_array_equal(
                results(SHARED, given, (deviation,))["y"],
                lcl.forward(SHARED, given["x"], given["weight"], given["bias"]),
            )


def test_by_hand():
    """Two small results worked out on paper."""
    spec = lcl.Spec(input_size=3, in_channels=1, out_channels=1, kernel_size=2, padding=((1, 0),), bias="none")
    given = {
        "x": np.array([1, 2, 3.0]).reshape(1, 3, 1),
        "weight": np.array([[1, 10], [2, 20], [3, 30.0]]).reshape(3, 2, 1, 1),
        "dy": np.ones((1, 3, 1)),
    }
    right, flipped, edge, other = (
        results(spec, given, tuple(map(find, ids)))["y"].ravel().tolist()
        for ids in ((), ("taps/flipped",), ("padding/edge",), ("padding/sides-swapped",))
    )
    assert right == [10, 2 + 40, 6 + 90]
    assert flipped == [1, 20 + 4, 60 + 9]
    assert edge == [1 + 10, 2 + 40, 6 + 90]
    assert other == [1 + 20, 4 + 60, 9]


def test_what_is_no_edit_is_known_to_be_none():
    plain = lcl.Spec(input_size=(5, 4), in_channels=1, out_channels=2, kernel_size=(3, 1), bias="none")
    for name in ("bias/dropped", "patch/channel-major", "taps/axes-swapped", "groups/reversed", "stride/ignored"):
        assert changed_fields(plain, 2, find(name)) == frozenset()
    assert changed_fields(plain, 2, find("taps/flipped")) == {"on_weight"}
    assert edited(plain, (find("windows/one-early"),), "y").axes[0].early == 1
