"""The engine of TensorFlow: what all engines owe, its routes, derivatives, what XLA makes of it."""

import math
import re

import numpy as np
import pytest

import lcl_ref as lcl
from lcl_backends.support import tensorflow
from lcl_backends.tensorflow.fast import Adapter
from lcl_ref.core import reference
from lcl_ref.layers.engines import tensorflow as engine
from lcl_ref.layers.engines import tiling
from lcl_ref.suite.formats import DTYPES
from tests.support.engine_contract import EngineContract
from tests.support.layer_answers import assert_conforms, integers, random_spec
from tests.support.marks import quick

tf = tensorflow.load()

LAYER = lcl.Spec(input_size=(4, 3), in_channels=2, out_channels=2, kernel_size=(3, 2), padding=((0, 1), (1, 0)))


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(engine, "ROOM_BYTES", 0)
    monkeypatch.setattr(engine, "TILE_BYTES", 1000)


class TestContract(EngineContract):
    adapter, layers = Adapter(), 4  # XLA compiles each

    def make_tiles(self, monkeypatch, room):
        monkeypatch.setattr(engine, "ROOM_BYTES", 0)
        monkeypatch.setattr(engine, "TILE_BYTES", room)


@pytest.mark.parametrize(
    ("changes", "batch", "route"),
    [
        ({}, 1, "_at_once"),
        ({}, 10_000, "_output"),
        ({}, None, "_output"),
        ({"kernel_size": 1, "padding": 0}, 10_000, "_side_by_side"),
        ({"kernel_size": (4, 3), "padding": 0}, 10_000, "_side_by_side"),
        ({"kernel_size": (4, 1), "stride": (3, 1), "padding": 0}, None, "_side_by_side"),
    ],
)
def test_the_route_is_chosen_by_geometry(monkeypatch, changes, batch, route):
    spec = lcl.Spec.from_dict(LAYER.to_dict() | changes)
    for name in ("_at_once", "_side_by_side"):
        monkeypatch.setattr(engine, name, lambda *_, name=name: name)
    monkeypatch.setattr(engine, "_output", lambda _: lambda *_: "_output")
    x = tf.TensorSpec((batch, *spec.input_size, 1, spec.in_channels))
    assert engine._product(spec, x, None) == route


def operands_of(spec, batch):
    return [tf.constant(integers(spec, batch, 0, "float32")[name]) for name in ("x", "weight", "bias")]


def second_derivative(function, x, weight):
    """Of the sum of squares of the output, in the weight and then, along ones, in x and weight."""
    with tf.GradientTape() as outer:
        outer.watch([x, weight])
        with tf.GradientTape() as inner:
            inner.watch([x, weight])
            loss = tf.reduce_sum(function(x, weight) ** 2)
        total = tf.reduce_sum(tf.stack([tf.reduce_sum(part) for part in inner.gradient(loss, [x, weight])]))
    return [part.numpy() for part in outer.gradient(total, [x, weight])]


@pytest.mark.usefixtures("small_tiles")
def test_second_derivatives():
    """Against TensorFlow's own derivatives of the same layer by one gather; whole numbers, so equal to the last bit."""
    x, weight, _ = operands_of(LAYER, 2)
    split = tf.reshape(x, (2, *LAYER.input_size, 1, LAYER.in_channels))
    by_tiles = second_derivative(engine._output(LAYER), split, weight)
    at_once = second_derivative(lambda *operands: engine._at_once(LAYER, *operands), split, weight)
    for got, want in zip(by_tiles, at_once, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.usefixtures("small_tiles")
def test_a_batch_size_known_at_the_call_only():
    _, weight, bias = operands_of(LAYER, 1)

    @tf.function(input_signature=[tf.TensorSpec((None, *LAYER.x_shape(1)[1:]))])
    def gradients(x):
        with tf.GradientTape() as tape:
            tape.watch([x, weight, bias])
            loss = tf.reduce_sum(engine.local(LAYER, x, weight, bias) ** 2)
        return tape.gradient(loss, [x, weight, bias])

    for batch in (1, 5):
        x = operands_of(LAYER, batch)[0]
        dy = 2 * reference.forward(LAYER, x.numpy(), weight.numpy(), bias.numpy())
        for got, want in zip(gradients(x), reference.vjp(LAYER, x.numpy(), weight.numpy(), dy), strict=True):
            np.testing.assert_array_equal(got.numpy(), want)


@pytest.mark.usefixtures("small_tiles")
def test_complex_gradients_are_those_of_tensorflow():
    x, weight, _ = (tf.cast(operand, tf.complex64) * (1 + 2j) for operand in operands_of(LAYER, 2))
    split = tf.reshape(x, (2, *LAYER.input_size, 1, LAYER.in_channels))

    def gradients(function):
        with tf.GradientTape() as tape:
            tape.watch([split, weight])
            loss = tf.reduce_sum(tf.math.real(function(split, weight)) ** 2)
        return tape.gradient(loss, [split, weight])

    plain = gradients(lambda *operands: engine._at_once(LAYER, *operands))
    for got, want in zip(gradients(engine._output(LAYER)), plain, strict=True):
        np.testing.assert_array_equal(got.numpy(), want.numpy())


@pytest.mark.usefixtures("small_tiles")
def test_compiled_once_per_batch_size(monkeypatch):
    traced = []
    run = engine._run_output
    monkeypatch.setattr(engine, "_run_output", lambda *operands: traced.append(len(operands[1])) or run(*operands))
    spec = lcl.Spec.from_dict(LAYER.to_dict() | {"in_channels": 3})
    for batch in (2, 2, 3, 2):
        engine.local(spec, *operands_of(spec, batch))
    assert traced == [2, 3]


WIDE = lcl.Spec(input_size=(40, 41), in_channels=8, out_channels=4, kernel_size=(7, 6), stride=(2, 1), bias="none")


def optimised(spec, batch):
    """Return the lines of the forward program that XLA runs, by how many elements the arrays on them have."""
    x, weight = (tf.constant(integers(spec, batch, 0, "float32")[name]) for name in ("x", "weight"))
    split = tf.reshape(x, (batch, *spec.input_size, 1, spec.in_channels))
    compiled = tf.function(lambda *operands: engine._run_output(spec, *operands), jit_compile=True)
    sizes = {}
    for line in compiled.experimental_get_compiler_ir(split, weight)(stage="optimized_hlo").splitlines():
        for shape in re.findall(r"f32\[([\d,]+)\]", line):
            sizes.setdefault(np.prod([int(length) for length in shape.split(",")]), []).append(line)
    return sizes


def test_weights_are_sliced_and_never_copied_whole():
    sizes = optimised(WIDE, 4)
    assert max(sizes) == WIDE.parameter_count
    assert not [line for line in sizes[max(sizes)] if re.search(r"\bcopy\(|kind=kLoop", line)]


@pytest.mark.parametrize("changes", [{}, {"in_channels": 1}, {"padding": (0, 1)}])
def test_the_input_is_copied_once(changes):
    spec = lcl.Spec.from_dict(WIDE.to_dict() | changes)
    sites = math.prod(tiling.padded_shape(spec, 16))
    made = [line for line in optimised(spec, 16)[sites] if re.match(r"  %\S+ = f32\[40,\S+ \w+\(.*kind=kLoop", line)]
    assert len(made) == 1


@pytest.mark.parametrize("dtype", quick(["float32", *DTYPES[:2]]))
def test_compiled_calls_give_the_answers_of_the_reference(monkeypatch, dtype):
    monkeypatch.setattr(tensorflow, "QUICK_PRODUCTS", 0)
    monkeypatch.setattr(engine, "ROOM_BYTES", 500)
    draw = np.random.default_rng(0)
    for number in range(6):
        assert_conforms(Adapter(), random_spec(draw), (1, 3)[number % 2], number, dtype, largest=1)


def test_calls_of_many_products_are_compiled_once_and_a_step_computes_the_output(monkeypatch):
    operands = {batch: integers(LAYER, batch, 0, "float32") for batch in (1, 2)}
    _, weight, bias, _ = operands[1].values()
    layer = Adapter().prepare(LAYER, weight, bias, "float32")
    monkeypatch.setattr(tensorflow, "QUICK_PRODUCTS", 2 * LAYER.connection_count - 1)
    for batch in (1, 2, 2):
        layer.forward(operands[batch]["x"])
        layer.vjp(operands[batch]["x"], operands[batch]["dy"])
    programs = layer._programs
    assert set(programs) == {(0, 2), (3, 2)}
    assert all(program.function_def.attr["_XlaMustCompile"].b for program in programs.values())
    x, dy = operands[2]["x"], operands[2]["dy"]
    y, *_ = programs[3, 2](*map(tf.constant, (dy, x, weight, bias)))
    np.testing.assert_array_equal(y.numpy(), reference.forward(LAYER, x, weight, bias))


@pytest.mark.parametrize("offset", [0, 4])
def test_a_tensor_is_on_the_memory_of_an_array_where_that_is_aligned(offset):
    memory = np.zeros(256 + 128, np.uint8)
    start = -memory.ctypes.data % 64 + offset
    array = memory[start : start + 256].view(np.float32).reshape(8, 8)
    array[:] = np.arange(64).reshape(8, 8)
    array.flags.writeable = False
    tensorflow.tensor(np.zeros(1))  # the first one of a process, which starts TensorFlow, is always a copy
    held = np.asarray(tensorflow.tensor(array))
    assert np.shares_memory(held, memory) == (offset == 0)
    np.testing.assert_array_equal(held, array)
