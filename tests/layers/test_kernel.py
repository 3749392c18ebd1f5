"""The compiled kernel against the reference, on layers drawn at random; without it everything works as well."""

import ctypes
import functools
import os
import re
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path

import jax
import jax.export
import numpy as np
import pytest
import torch

import lcl_ref as lcl
from lcl_ref.core import batched
from lcl_ref.layers.engines import jax as jax_engine
from lcl_ref.layers.engines import jax_kernel, torch_kernel
from lcl_ref.layers.engines import kernel as engine
from lcl_ref.layers.engines import numpy as on_numpy
from lcl_ref.suite.formats import FORMATS
from tests.support.layer_answers import random_spec
from tests.support.optional import absent

HALVES = ("float16", "bfloat16")

CALL = "custom_call @lcl_"
"""How a program of XLA names the kernel."""

NARROWED = "stablehlo.convert"
"""What it says where operands of half types are widened, and results rounded, around a call."""

IN_JAX = {
    "table": lcl.Spec(input_size=(40, 31), in_channels=8, out_channels=9, kernel_size=3, channel_table=((2, 1),) * 9),
    "bias of channels": lcl.Spec(input_size=(40, 31), in_channels=8, out_channels=9, kernel_size=3, bias="channel"),
    "blocks": lcl.Spec(input_size=(), in_channels=96, out_channels=64, kernel_size=(), groups=8),
}


@pytest.fixture
def library():
    """The loaded kernel; machines that test every commit have a compiler, and must have it."""
    found = engine.library()
    if found is None:
        absent("the kernel is not installed: `make kernel` builds it, with a C compiler")
    yield found
    found.lcl_vector_bytes(64)


@pytest.fixture
def without(monkeypatch):
    """The process as it is where the kernel is not installed."""
    monkeypatch.setattr(on_numpy, "kernel_of", lambda _: None)


def drawn(spec, batch, dtype, seed):
    """Whole numbers: x, weight, bias and dy."""
    draw = np.random.default_rng(seed)
    shapes = spec.x_shape(batch), spec.weight_shape, spec.bias_shape, spec.y_shape(batch)
    form = FORMATS[dtype].dtype
    return [None if shape is None else draw.integers(-3, 4, shape).astype(form) for shape in shapes]


def answers(spec, x, weight, bias, dy):
    """Y, dx, dw and db by the engine of NumPy."""
    return [on_numpy.forward(spec, x, weight, bias), *on_numpy.vjp(spec, x, weight, dy)]


def expected(spec, x, weight, bias, dy):
    """The same by the batched form of the reference; of half types, which are summed in float32 and rounded once."""
    form, wide = x.dtype, np.promote_types(x.dtype, np.float32)
    x, weight, bias, dy = [None if array is None else array.astype(wide) for array in (x, weight, bias, dy)]
    right = [batched.forward(spec, x, weight, bias), *batched.vjp(spec, x, weight, dy)]
    return [None if array is None else array.astype(form) for array in right]


def tails(draw):
    """A layer whose channels are no multiple of any vector, and span several."""
    settings = {
        "groups": int(draw.integers(1, 3)),
        "padding": int(draw.integers(0, 3)),
        "dilation": int(draw.integers(1, 3)),
    }
    channels = {name: settings["groups"] * int(draw.integers(1, 40)) for name in ("in_channels", "out_channels")}
    return lcl.Spec(
        input_size=(7, 5), kernel_size=(3, 2), shared=(False, bool(draw.integers(2))), **channels, **settings
    )


@pytest.mark.parametrize("width", [16, 32, 64])
@pytest.mark.parametrize("dtype", list(engine.FORMATS))
def test_random_layers_have_the_answers_of_the_reference(library, dtype, width):
    library.lcl_vector_bytes(width)
    draw = np.random.default_rng(width)
    for number in range(24):
        spec = tails(draw) if number % 2 else random_spec(draw)
        operands = drawn(spec, (3, 33, 0, 1)[number % 4], dtype, number)
        for found, right in zip(answers(spec, *operands), expected(spec, *operands), strict=True):
            assert np.array_equal(found, right), spec


@pytest.mark.parametrize("width", [16, 32, 64])
@pytest.mark.parametrize("dtype", HALVES)
def test_every_half_number_is_widened_as_it_is_and_products_are_rounded_once(library, dtype, width):
    """Subnormal numbers, overflow and NaN among them. No result is a sum here: products are exact in float32."""
    library.lcl_vector_bytes(width)
    form = FORMATS[dtype].dtype
    every = np.arange(1 << 16, dtype=np.uint16).view(form)
    with np.errstate(all="ignore"):
        some = np.concatenate([[1, 3.140625, 2.0**-14], np.random.default_rng(0).lognormal(0, 9, 10)]).astype(form)
        right = (every.astype(np.float32)[:, None] * some.astype(np.float32)).astype(form).astype(np.float32)
    to_many, from_many, outer = (
        lcl.Spec(input_size=(), kernel_size=(), in_channels=inputs, out_channels=outputs, bias="none")
        for inputs, outputs in ((1, 13), (13, 1), (1 << 16, 13))
    )
    y = on_numpy.forward(to_many, every[:, None], some[None], None)
    dx = on_numpy.transpose(from_many, every[:, None], some[:, None])
    _, dw, _ = on_numpy.vjp(outer, every[None], np.zeros(outer.weight_shape, form), some[None])
    for found in (y, dx, dw):
        assert np.array_equal(found.astype(np.float32), right, equal_nan=True)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("dtype", HALVES)
def test_half_gradients_of_inputs_larger_than_what_is_summed_at_a_time(dtype):
    spec = lcl.Spec(input_size=20000, in_channels=12, out_channels=8, kernel_size=2, stride=50, bias="none")
    batch = 1 + engine.SUMS // (4 * 12 * 20000)
    operands = drawn(spec, 2 * batch, dtype, 1)
    assert np.array_equal(on_numpy.transpose(spec, operands[3], operands[1]), expected(spec, *operands)[1])


@pytest.mark.usefixtures("library")
def test_half_types_that_the_kernel_leaves_to_other_routes():
    spec = lcl.Spec(input_size=8, in_channels=4, out_channels=8, kernel_size=2)
    shared, thin = replace(spec, shared=True), replace(spec, groups=4)
    huge = replace(spec, input_size=1 << 20, shared=True, kernel_size=1)
    served = {}
    for name, layer in {"plain": spec, "shared": shared, "thin": thin, "huge": huge}.items():
        kernel, half = engine.kernel_of(layer), engine.FORMATS["bfloat16"]
        served[name] = kernel.serves(half), kernel.serves(half, weight_gradient=True)
    assert served == {"plain": (True, True), "shared": (True, False), "thin": (False, False), "huge": (False, False)}
    shapes = shared.x_shape(1), shared.weight_shape, shared.y_shape(1)
    x, weight, dy = (torch.zeros(shape, dtype=torch.bfloat16) for shape in shapes)
    assert torch_kernel.output(shared.to_json(), x, weight, None) is not None
    assert torch_kernel.weight_gradient(shared.to_json(), x, dy) is None


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "spec",
    [
        lcl.Spec(input_size=(23, 9), in_channels=5, out_channels=11, kernel_size=(4, 3), padding=1),
        lcl.Spec(input_size=7, in_channels=3, out_channels=300, kernel_size=3),
        lcl.Spec(input_size=2, in_channels=6, out_channels=600, kernel_size=1, groups=2),
    ],
    ids=["image", "wide", "blocks"],
)
def test_bits_do_not_depend_on_the_number_of_threads(monkeypatch, dtype, spec):
    monkeypatch.setattr(engine, "PRODUCTS_PER_THREAD", 1)
    draw = np.random.default_rng(5)
    operands = [draw.standard_normal(shape, np.float32) for shape in (spec.x_shape(9), spec.weight_shape)]
    operands += [draw.standard_normal(shape, np.float32) for shape in (spec.bias_shape, spec.y_shape(9))]
    operands, found = [operand.astype(FORMATS[dtype].dtype) for operand in operands], []
    for count in (1, 2, 7):
        monkeypatch.setattr(on_numpy, "cores", lambda count=count: count)
        found.append(answers(spec, *operands))
    for parts in zip(*found, strict=True):
        assert all(np.array_equal(part, parts[0]) for part in parts)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("order", ["one element off", "reversed", "batch last"])
def test_operands_in_any_order_of_memory(order):
    spec = lcl.Spec(input_size=(6, 5), in_channels=3, out_channels=9, kernel_size=3)
    operands = drawn(spec, 4, "float32", 1)
    moved = [_moved(array, order) for array in operands]
    for found, right in zip(answers(spec, *moved), expected(spec, *operands), strict=True):
        assert np.array_equal(found, right)


def _moved(array, order):
    if order == "one element off":
        return np.concatenate([np.zeros(1, array.dtype), array.ravel()])[1:].reshape(array.shape)
    return array[::-1].copy()[::-1] if order == "reversed" else np.moveaxis(np.moveaxis(array, 0, -1).copy(), -1, 0)


@pytest.mark.usefixtures("library")
def test_shapes_that_do_not_fit_never_reach_the_kernel():
    spec = lcl.Spec(input_size=4, in_channels=2, out_channels=8, kernel_size=2)
    x, weight, bias, _ = drawn(spec, 2, "float32", 0)
    assert on_numpy._kernel(spec, (x, spec.x_shape(2))) is not None
    assert on_numpy._kernel(spec, (x[:, :2], spec.x_shape(2))) is None
    tensors = [torch.tensor(array) for array in (x[:, :2], weight, bias)]
    assert torch_kernel.output(spec.to_json(), *tensors) is None


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("dtype", ["float32", *HALVES])
@pytest.mark.parametrize("name", IN_JAX)
def test_jax_calls_the_kernel_but_in_what_it_exports(name, dtype):
    """Half types go in as they are, but where there is a table."""
    spec = IN_JAX[name]
    operands = drawn(spec, 9, dtype, 1)
    layer = jax.jit(functools.partial(jax_engine.local, spec))
    assert jax_kernel.registered()
    assert CALL in (text := layer.lower(*operands[:3]).as_text())
    assert (NARROWED in text) == (dtype != "float32" and name == "table")
    assert CALL not in jax.export.export(layer)(*operands[:3]).mlir_module()
    y, back = jax.vjp(layer, *operands[:3])
    for found, right in zip((y, *back(operands[3])), expected(spec, *operands), strict=True):
        assert np.array_equal(found, right)


@pytest.mark.usefixtures("library")
def test_jax_keeps_sums_wide_where_the_kernel_leaves_a_gradient_of_half_types_to_xla():
    """Of shared weights and a bias of channels: sums of so many equal terms that a half type would skip some."""
    spec = lcl.Spec(input_size=2101, in_channels=4, out_channels=8, kernel_size=2, shared=True, bias="channel")
    for dtype in HALVES:
        ones = [np.ones(shape, FORMATS[dtype].dtype) for shape in (spec.x_shape(40), spec.weight_shape, (8,))]
        y, back = jax.vjp(functools.partial(jax_engine.local, spec), *ones)
        _, dw, db = back(np.full(y.shape, 2**-6, y.dtype))
        right = np.asarray(40 * 2100 / 64, y.dtype)
        assert np.array_equal(dw, np.full(dw.shape, right))
        assert np.array_equal(db, np.full(db.shape, right))


@pytest.mark.usefixtures("library")
@pytest.mark.slow
@pytest.mark.parametrize("name", IN_JAX)
def test_jax_transforms_what_the_kernel_computes(name, monkeypatch):
    """Forwards, twice, mapped, by part of the operands: as without the kernel, whole numbers to the last bit."""
    spec = IN_JAX[name]
    x, weight, bias, _ = drawn(spec, 9, "float32", 1)
    many = np.stack([x, -x, 2 * x])

    def answers(layer):
        slope = jax.grad(lambda weight: (jax.grad(lambda x: (layer(x, weight, bias) ** 2).sum())(x)).sum())
        yield jax.jvp(layer, (x, weight, bias), (x, weight, bias))
        yield jax.jvp(lambda bias: layer(x, weight, bias), (bias,), (bias,))
        yield jax.vmap(layer, (0, None, None))(many, weight, bias)
        yield jax.vmap(jax.grad(lambda x: layer(x, weight, None).sum()))(many)
        yield slope(weight)
        for number, operand in enumerate((x, weight, bias)):
            one = functools.partial(_of_one, layer, (x, weight, bias), number)
            yield jax.linear_transpose(one, operand)(layer(x, weight, bias))

    found = list(answers(jax.jit(functools.partial(jax_engine.local, spec))))
    monkeypatch.setattr(jax_kernel, "registered", lambda: False)
    plain = list(answers(jax.jit(lambda *operands: jax_engine.local(spec, *operands))))
    jax.tree.map(np.testing.assert_array_equal, found, plain)


def _of_one(layer, operands, number, one):
    return layer(*operands[:number], one, *operands[number + 1 :])


@pytest.mark.usefixtures("library")
def test_torch_gives_the_kernel_its_own_threads(monkeypatch):
    """Bits do not depend on whose threads compute, and torch's are found where it has an OpenMP."""
    monkeypatch.setattr(engine, "PRODUCTS_PER_THREAD", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert torch_kernel.pool() or not torch.backends.openmp.is_available()
    spec = lcl.Spec(input_size=(23, 9), in_channels=6, out_channels=10, kernel_size=(4, 3), padding=1, groups=2)
    draw, found = torch.Generator().manual_seed(3), []
    x, weight, dy = (
        torch.randn(shape, generator=draw) for shape in (spec.x_shape(9), spec.weight_shape, spec.y_shape(9))
    )
    for pool in (torch_kernel.pool(), None):
        monkeypatch.setattr(torch_kernel, "pool", lambda pool=pool: pool)
        y = torch_kernel.output(spec.to_json(), x, weight, None)
        dx = torch_kernel.input_gradient(spec.to_json(), dy, weight)
        found.append([y, dx, torch_kernel.weight_gradient(spec.to_json(), x, dy)])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


MOVES = Path("/proc/thread-self/sched")
"""Where Linux, if built so, counts how often a thread was moved to another core."""


def test_a_thread_on_the_core_of_another_is_moved_and_may_use_all_cores_afterwards(library):
    """A pool of one thread, which comes twice, stands for two that were woken on one core."""
    spec = lcl.Spec(input_size=4, in_channels=2, out_channels=8, kernel_size=2)
    x, weight, _, _ = drawn(spec, 9, "float32", 0)
    affinity = getattr(os, "sched_getaffinity", lambda _: {0})
    allowed, y = affinity(0), np.empty(spec.y_shape(9), np.float32)

    def moves():
        return int(re.search(r"nr_migrations\s*:\s*(\d+)", MOVES.read_text("ascii"))[1]) if MOVES.is_file() else None

    @ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 2, *[ctypes.c_uint] * 2)
    def pool(work, data, threads, _):
        for _ in range(threads):
            ctypes.CFUNCTYPE(None, ctypes.c_void_p)(work)(data)

    kernel, at = engine.Kernel(spec, library), [array.ctypes.data for array in (x, weight, y)]
    kernel.threads, before = lambda *_: 2, moves()
    address = ctypes.cast(pool, ctypes.c_void_p).value
    kernel.output(engine.FORMATS["float32"], 9, *at[:2], None, at[2], 2, address, position=False)
    assert before is None or len(allowed) == 1 or moves() > before
    assert affinity(0) == allowed
    assert np.array_equal(y, expected(spec, x, weight, None, y)[0])


def test_a_kernel_of_another_interface_is_left_unused(monkeypatch):
    older = types.ModuleType("lcl_ref_kernel")
    older.__file__ = "/elsewhere/lcl_ref_kernel/__init__.py"
    monkeypatch.setitem(sys.modules, "lcl_ref_kernel", older)
    with pytest.warns(
        RuntimeWarning, match=rf"/elsewhere/lcl_ref_kernel has interface 1, .* expects {engine.INTERFACE}"
    ):
        assert engine.library.__wrapped__() is None


@pytest.mark.parametrize("why", ["switched off", "not installed"])
def test_without_the_kernel_there_is_no_library(monkeypatch, why):
    if why == "switched off":
        monkeypatch.setenv(engine.SWITCH, "0")
    else:
        monkeypatch.setitem(sys.modules, "lcl_ref_kernel", None)
    assert engine.library.__wrapped__() is None


@pytest.mark.usefixtures("without")
@pytest.mark.parametrize("dtype", ["float32", *HALVES])
def test_without_the_kernel_numpy_answers_the_same(dtype):
    spec = lcl.Spec(input_size=(6, 5), in_channels=3, out_channels=9, kernel_size=3, padding=1)
    operands = drawn(spec, 4, dtype, 1)
    for found, right in zip(answers(spec, *operands), expected(spec, *operands), strict=True):
        assert np.array_equal(found, right)


@pytest.mark.usefixtures("library")
@pytest.mark.slow
@pytest.mark.parametrize("switch", ["0", "1"])
def test_the_suite_passes_with_the_kernel_and_without_it(switch):
    command = [sys.executable, "-m", "lcl_ref", "run", "-b", "numpy.fast", "-b", "torch.fast", "--tier", "core"]
    environment = os.environ | {engine.SWITCH: switch}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
