"""Complex cases: exact, without conjugation, and told from what people compute instead (SPEC 14.9)."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.core import dense_oracle, reference
from lcl_ref.suite.adapter import OPS
from lcl_ref.suite.cases.catalogue import CASES
from lcl_ref.suite.formats import ALL_DTYPES, DTYPES, from_parts, in_parts
from lcl_ref.suite.golden import results
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge import conjugation
from lcl_ref.suite.judge.compare import Malformed, Mismatch, check, same_numbers
from lcl_ref.suite.judge.evaluate import Evaluator
from lcl_ref.suite.judge.outcome import Cell
from lcl_ref.suite.judge.tasks import COMPLEX, cell_exists, load_task
from lcl_ref.suite.run.registered import registered
from lcl_ref.suite.run.user_layer import FunctionLayer, UserAdapter

STORE = Store(default_root())
COMPLEX_CASES = [case for case in CASES if case.values == "complex"]
each_case = pytest.mark.parametrize("case", COMPLEX_CASES, ids=lambda case: case.id)

DECLARING = [name for name, point in registered().items() if COMPLEX in point.load().declaration.capabilities.dtypes]


def expected(case):
    """The golden result of forward, as answers are compared with it."""
    task = load_task(STORE, case.id, COMPLEX)
    (one,) = task.expected("forward", None)
    return task, one


def test_every_rank_has_complex_cases_and_they_are_asked_in_complex64_only():
    assert {case.spec.rank for case in COMPLEX_CASES} == {0, 1, 2, 3}
    assert set(ALL_DTYPES) - set(DTYPES) == {COMPLEX}
    for case in CASES:
        asked = {(op, COMPLEX) for op in OPS if cell_exists(STORE.entries[case.id], op, COMPLEX)}
        assert asked == ({("forward", COMPLEX)} if case in COMPLEX_CASES else set())
        if case in COMPLEX_CASES:
            assert not any(cell_exists(STORE.entries[case.id], op, dtype) for op in OPS for dtype in DTYPES)


@each_case
def test_golden_results_are_four_real_layers(case):
    """``(a + bi)(c + di)``: each part by the reference in integers."""
    stored = {name: array.astype(np.int64) for name, array in STORE.arrays(case.id).items()}
    real, imaginary = ({name: array[..., part] for name, array in stored.items()} for part in (0, 1))
    zero = None if case.spec.bias_shape is None else np.zeros(case.spec.bias_shape, np.int64)

    def product(x, weight):
        return lcl.forward(case.spec, x, weight, zero)

    re = product(real["x"], real["weight"]) - product(imaginary["x"], imaginary["weight"]) + real.get("bias", 0)
    im = product(real["x"], imaginary["weight"]) + product(imaginary["x"], real["weight"]) + imaginary.get("bias", 0)
    assert np.array_equal(stored["y"], np.stack([re, im], axis=-1))


@each_case
def test_the_certificate_bounds_every_part_of_every_partial_sum(case):
    peak = STORE.entries[case.id]["certificate"]["y"]
    parts = {name: np.abs(array.astype(np.int64)).sum(-1) for name, array in STORE.arrays(case.id).items()}
    y = lcl.forward(case.spec, parts["x"], parts["weight"], parts.get("bias"))
    assert y.max() == peak <= 2**11
    assert np.abs(STORE.arrays(case.id)["y"].astype(int)).max() <= peak


@each_case
def test_no_part_of_an_operand_is_zero_and_both_parts_differ(case):
    operands = results.complex_operands(case)
    for array in operands.values():
        assert array.real.all()
        assert array.imag.all()
        assert not np.array_equal(array.real, array.imag)
    for route in (reference, dense_oracle):
        y = route.forward(case.spec, operands["x"], operands["weight"], operands.get("bias"))
        assert np.array_equal(y, from_parts(STORE.arrays(case.id)["y"]))


@pytest.mark.parametrize("mistake", conjugation.MISTAKES)
@each_case
def test_every_mistake_is_seen_by_every_case(case, mistake):
    task, one = expected(case)
    operands = [task.operands["x"], task.operands["weight"], task.operands.get("bias")]
    right = lcl.forward(case.spec, *operands)
    assert check(one, right).error_ratio == 0
    wrong = conjugation.MISTAKES[mistake](lambda *arrays: lcl.forward(case.spec, *arrays), *operands)
    with pytest.raises(Mismatch, match=r"part=[01]\] got .* every bit must agree"):
        check(one, wrong.astype(np.complex64))


def test_one_low_bit_of_an_imaginary_part_is_seen():
    task, one = expected(COMPLEX_CASES[0])
    answer = lcl.forward(task.spec, task.operands["x"], task.operands["weight"], task.operands["bias"])
    answer[0, 1] = complex(answer[0, 1].real, np.nextafter(answer[0, 1].imag, np.float32(np.inf)))
    with pytest.raises(Mismatch, match="part=1"):
        check(one, answer.astype(np.complex64))
    with pytest.raises(Malformed, match="complex128, expected complex64"):
        check(one, answer.astype(np.complex128))


def test_numbers_are_compared_part_by_part():
    numbers = np.array([1 + 2j, -3j])
    assert np.array_equal(from_parts(in_parts(numbers)), numbers)
    assert same_numbers(numbers, numbers.astype(np.complex64))
    assert not same_numbers(numbers, numbers.conj())
    assert same_numbers(np.array([np.nan, -0.0]), np.array([np.nan, 0.0]))


def test_many_frameworks_declare_complex_numbers():
    assert {name.split(".")[0] for name in DECLARING} >= {"numpy", "torch", "jax", "mlx", "tensorflow", "keras3"}


@pytest.mark.parametrize("name", ["numpy.loop", "numpy.fast", "torch.unfold", "jax.patches", "mlx.windows"])
def test_adapters_are_exact(name):
    evaluator = Evaluator(registered()[name].load()(), STORE)
    outcomes = [evaluator.judge(Cell(name, case.id, "forward", COMPLEX)) for case in COMPLEX_CASES]
    assert [(outcome.state, outcome.error_ratio) for outcome in outcomes] == [("pass", 0.0)] * len(COMPLEX_CASES)


def test_a_layer_of_ones_own_is_judged_in_complex64():
    right, wrong = FunctionLayer(lcl.forward), FunctionLayer(lambda spec, x, w, b: lcl.forward(spec, x, w.conj(), b))
    states = [
        Evaluator(UserAdapter("mine", layer), STORE).judge(Cell("mine", COMPLEX_CASES[0].id, "forward", COMPLEX)).state
        for layer in (right, wrong)
    ]
    assert states == ["pass", "fail"]


@pytest.mark.parametrize("mistake", conjugation.MISTAKES)
def test_the_mistake_is_named_in_the_outcome(mistake):
    def layer(spec, x, weight, bias):
        right = partial(lcl.forward, spec)
        return conjugation.MISTAKES[mistake](right, x, weight, bias).astype(COMPLEX)

    evaluator = Evaluator(UserAdapter("mine", FunctionLayer(layer)), STORE)
    # Without a bias, both operands conjugated is the result conjugated.
    for case in (case for case in COMPLEX_CASES if case.spec.bias_shape is not None):
        found = evaluator.judge(Cell("mine", case.id, "forward", COMPLEX))
        assert (found.state, mistake in found.message) == ("fail", True), found.message


def test_implementation_3_of_tf_keras_conjugates_its_inputs():
    """Why `keras.local3` does not declare complex numbers."""
    case = next(case for case in COMPLEX_CASES if case.id == "1d/complex/plain")
    task, one = expected(case)
    adapter = registered()["keras.local3"].load()()
    layer = adapter.prepare(case.spec, task.operands["weight"], task.operands["bias"], COMPLEX)
    answer = np.asarray(layer.forward(task.operands["x"]))
    with pytest.raises(Mismatch):
        check(one, answer)
    conjugated = lcl.forward(case.spec, task.operands["x"].conj(), task.operands["weight"], task.operands["bias"])
    assert same_numbers(answer, conjugated)
