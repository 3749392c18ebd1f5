"""The row route of JAX, which the small cases of the matrix do not take of their own accord."""

import numpy as np

from lcl_backends.jax_fast import Adapter
from lcl_backends.layers import _jax_rows
from tests.unit.test_torch_adapters import answers, assert_equal, golden, integers, random_spec


def test_rows_give_the_answers_of_the_reference(monkeypatch):
    monkeypatch.setattr(_jax_rows, "ROOM_BYTES", -1)
    draw = np.random.default_rng(3)
    for number in range(16):
        spec, batch = random_spec(draw), (1, 3, 0)[number % 3]
        operands = integers(spec, batch, number, "float32", largest=3)
        assert_equal(answers(Adapter(), spec, operands, "float32"), golden(spec, operands), "float32", spec.to_json())


def test_rows_are_taken_where_windows_are_many(monkeypatch):
    spec, calls = random_spec(np.random.default_rng(0)), []
    monkeypatch.setattr(_jax_rows, "_at_once", lambda *_: calls.append("at once"))
    x = np.zeros((1, *spec.input_size, spec.groups, spec.group_channels), np.float32)
    _jax_rows.product(spec, x, np.zeros(spec.weight_shape, np.float32))
    assert calls == ["at once"]
