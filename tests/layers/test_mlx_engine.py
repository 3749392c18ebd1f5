"""The engine of MLX: what all engines owe, its routes, its products, memory."""

import math
from functools import partial

import mlx.core as mx
import numpy as np
import pytest

import lcl_ref as lcl
from lcl_backends.mlx.fast import Adapter
from lcl_ref.bench.workloads import WORKLOADS
from lcl_ref.core import reference
from lcl_ref.layers.engines import mlx as engine
from lcl_ref.layers.engines import mlx_tiles, tiling
from lcl_ref.layers.engines.mlx import local
from lcl_ref.layers.engines.mlx_sum import Sum
from tests.support.engine_contract import EngineContract
from tests.support.layer_answers import assert_conforms, integers, random_spec

LARGE = lcl.Spec(input_size=(40, 41), in_channels=8, out_channels=4, kernel_size=(7, 6), stride=(2, 1), padding=1)
"""Windows of 32 samples: 29 MB."""


def make_tiles(monkeypatch, room=mlx_tiles.TILE_BYTES):
    monkeypatch.setattr(engine, "_small", lambda *_: False)
    monkeypatch.setattr(mlx_tiles, "TILE_BYTES", room)
    monkeypatch.setattr(tiling, "PADDED_BYTES", room)


class TestContract(EngineContract):
    adapter, layers = Adapter(), 40

    def make_tiles(self, monkeypatch, room):
        make_tiles(monkeypatch, room)


@pytest.mark.parametrize(
    ("changes", "batch", "at_once"),
    [({}, 1, True), ({}, 4, True), ({}, 5, False), ({"kernel_size": (42, 43), "stride": 1}, 32, True)],
)
def test_the_route_is_chosen_by_geometry(changes, batch, at_once):
    """Windows of a sample of `LARGE` take 0.9 MB; a single position has no windows that overlap."""
    assert engine._small(lcl.Spec.from_dict(LARGE.to_dict() | changes), batch, 4) is at_once


@pytest.mark.parametrize("wide", [1, 1000])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_either_order_of_the_factors_gives_the_answers_of_the_reference(monkeypatch, dtype, wide):
    make_tiles(monkeypatch)
    monkeypatch.setattr(mlx_tiles, "WIDE", wide)
    draw = np.random.default_rng(wide)
    for number in range(20):
        assert_conforms(Adapter(), random_spec(draw), 2, number, dtype, largest=1)


def test_slight_windows_give_the_cotangent_of_the_weight_in_one_product(monkeypatch):
    monkeypatch.setattr(mlx_tiles, "TILE_BYTES", 1)
    spec = lcl.Spec(input_size=(5, 4), in_channels=2, out_channels=48, kernel_size=(3, 2), stride=(2, 1), padding=1)
    pieces = []
    monkeypatch.setattr(Sum, "put", lambda *given, **_: pieces.append(given[-1].shape))
    for batch in (1, 4, 5):
        given = arrays(spec, batch)
        mlx_tiles._weight_gradient(spec, given["x"], given["dy"])
    monkeypatch.undo()
    assert pieces[:2] == [spec.weight_shape] * 2
    assert len(pieces) == 2 + math.prod(spec.output_size)
    assert_conforms(Adapter(), spec, 4)


def arrays(spec, batch):
    return {name: mx.array(array) for name, array in integers(spec, batch, 0, "float32").items()}


def loss(x, weight, bias):
    return (local(LARGE, x, weight, bias) ** 2).sum()


@pytest.mark.slow
def test_compiled_gradients_are_those_of_the_reference(monkeypatch):
    make_tiles(monkeypatch)
    given = arrays(LARGE, 2)
    operands = [given[name] for name in ("x", "weight", "bias")]
    gradients = mx.compile(mx.grad(loss, argnums=(0, 1, 2)))(*operands)
    x, weight, bias = (np.array(operand).astype(np.int64) for operand in operands)
    dy = 2 * reference.forward(LARGE, x, weight, bias)
    for got, want in zip(gradients, reference.vjp(LARGE, x, weight, dy), strict=True):
        np.testing.assert_array_equal(np.array(got).astype(np.int64), want)


def test_the_second_derivative_is_that_of_a_bilinear_map(monkeypatch):
    """Along a direction v, d/dw <dx(w), v> is the gradient of the weight with v for x."""
    make_tiles(monkeypatch)
    given = arrays(LARGE, 1)
    direction = mx.array(np.random.default_rng(1).integers(-1, 2, LARGE.x_shape(1)).astype(np.float32))

    def slope(weight):
        dx = mx.grad(lambda x: (local(LARGE, x, weight) * given["dy"]).sum())(given["x"])
        return (dx * direction).sum()

    want = reference.vjp(LARGE, *(np.array(array) for array in (direction, given["weight"], given["dy"])))[1]
    np.testing.assert_array_equal(np.array(mx.grad(slope)(given["weight"])), want)


def beyond_the_result(product, *operands):
    """How many bytes MLX holds at most, of what it has not held before and does not return; the least of three times.

    MLX allocates ahead of what it computes: on a busy machine, where its other thread waits, further ahead.
    """
    mx.eval(*operands)
    found = []
    for _ in range(3):
        before = mx.get_active_memory()
        mx.reset_peak_memory()
        result = product(*operands)
        mx.eval(result)
        found.append(mx.get_peak_memory() - before - result.nbytes)
        del result
    return min(found)


MEASURED = {"strided and padded": (LARGE, 32)} | {each.name: (each.spec, each.batch) for each in WORKLOADS}
LONG = ("deepface-l4", "yolov1-local")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in MEASURED])
def test_memory_beyond_the_result_is_a_tenth_of_the_weights_or_16_mb(name):
    spec, batch = MEASURED[name]
    shapes = spec.x_shape(batch), spec.weight_shape, spec.y_shape(batch)
    x, weight, dy = (mx.random.normal(shape) for shape in shapes)
    allowed = max(16_000_000, weight.nbytes // 10)
    for product, operands in (
        (mlx_tiles._output, (x, weight)),
        (mlx_tiles._input_gradient, (dy, weight)),
        (mlx_tiles._weight_gradient, (x, dy)),
    ):
        assert beyond_the_result(partial(product, spec), *operands) <= allowed, product.__name__
