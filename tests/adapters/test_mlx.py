"""The MLX routes against the readable reference, and the traps they stand in."""

import subprocess
import sys

import ml_dtypes
import mlx.core as mx
import numpy as np
import pytest

import lcl_ref as lcl
from lcl_backends.mlx import einsum, reshape, windows
from lcl_backends.support import mlx
from lcl_ref import layouts
from lcl_ref.core import reference
from lcl_ref.suite.formats import DTYPES, FORMATS

MODULES = (reshape, einsum, windows)
ADAPTERS = {module.Adapter.declaration.name: module.Adapter() for module in MODULES}
EVERY = sorted(ADAPTERS)

TILED = lcl.Spec(input_size=(6, 4), in_channels=3, out_channels=5, kernel_size=(3, 2), stride=(3, 2))


def random_spec(draw, tiling):
    """A layer of any rank; where `tiling`, of windows side by side."""
    rank, groups = int(draw.integers(4)), int(draw.integers(1, 4))
    inputs, outputs = (int(number) for number in draw.integers(1, 4, 2))

    def per_axis(least, most):
        return tuple(draw.integers(least, most + 1, rank).tolist())

    kernel, positions = per_axis(1, 3), per_axis(1, 3)
    arguments = {
        "input_size": tuple(k * o for k, o in zip(kernel, positions, strict=True)),
        "in_channels": groups * inputs,
        "out_channels": groups * outputs,
        "kernel_size": kernel,
        "stride": kernel,
        "groups": groups,
        "shared": tuple(number == 1 for number in per_axis(0, 2)),
        "bias": ("none", "channel", "position")[draw.integers(3)],
    }
    if not tiling:
        padding = tuple(zip(per_axis(0, 2), per_axis(0, 3), strict=True))
        arguments |= {"stride": per_axis(1, 3), "dilation": per_axis(1, 2), "padding": padding}
    if draw.random() < 0.2:
        table = [draw.permutation(groups * inputs)[:inputs].tolist() for _ in range(groups * outputs)]
        arguments |= {"groups": 1, "channel_table": table}
    try:
        return lcl.Spec(**arguments)
    except lcl.SpecError:
        return random_spec(draw, tiling)


def operands(spec, batch, dtype="float32", seed=0):
    draw = np.random.default_rng(seed)
    shapes = {"x": spec.x_shape(batch), "weight": spec.weight_shape, "bias": spec.bias_shape, "dy": spec.y_shape(batch)}
    return {
        name: None if shape is None else draw.integers(-1, 2, shape).astype(FORMATS[dtype].dtype)
        for name, shape in shapes.items()
    }


def prepare(name, spec, given, dtype="float32"):
    return ADAPTERS[name].prepare(spec, given["weight"], given["bias"], dtype)


def golden(spec, given):
    x, weight, bias, dy = (None if array is None else array.astype(np.int64) for array in given.values())
    dx, dw, db = reference.vjp(spec, x, weight, dy)
    return {"y": reference.forward(spec, x, weight, bias), "dx": dx, "dw": dw, "db": db, "xt": dx}


def assert_answers(name, spec, given, dtype):
    layer = prepare(name, spec, given, dtype)
    dx, dw, db = layer.vjp(given["x"], given["dy"])
    got = {"y": layer.forward(given["x"]), "dx": dx, "dw": dw, "db": db, "xt": layer.transpose(given["dy"])}
    for result, truth in golden(spec, given).items():
        if truth is None:
            assert got[result] is None, result
            continue
        assert got[result].dtype == FORMATS[dtype].dtype, result
        np.testing.assert_array_equal(got[result].astype(np.int64), truth, err_msg=f"{result} of {spec.to_json()}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EVERY)
def test_random_layers(name, dtype):
    capabilities = ADAPTERS[name].declaration.capabilities
    draw = np.random.default_rng(len(dtype))
    for number in range(40):
        spec = random_spec(draw, tiling=capabilities.stride == "kernel")
        assert capabilities.refusal(spec, dtype, "vjp") is None, spec.to_json()
        assert_answers(name, spec, operands(spec, (1, 3)[number % 2], dtype, number), dtype)


@pytest.mark.parametrize("name", EVERY)
def test_float64_is_float64(name):
    """Operands of 27 bits and sums of 50, forward and backward: nothing on the way is float32."""
    given = operands(TILED, 2, "float64")
    given["x"] *= 2**26 + 1
    given["dy"] *= 2**22 + 1
    given["weight"] *= 3
    assert_answers(name, TILED, given, "float64")
    if name == "mlx.windows":
        spec = lcl.Spec(
            input_size=(5, 6), in_channels=2, out_channels=3, kernel_size=(3, 2), padding=1, dilation=(1, 2)
        )
        given = operands(spec, 2, "float64")
        given["x"] *= 2**45 + 1
        assert_answers(name, spec, given, "float64")


def test_mlx_convolutions_compute_float64_in_float32():
    """Why no route here is a convolution."""
    x = mlx.from_numpy(np.full((1, 1, 1), 2.0**24 + 1))
    weight = mlx.from_numpy(np.ones((1, 1, 1)))
    with mx.stream(mx.cpu):
        convolved = mx.conv1d(x, weight)
        assert convolved.dtype == mx.float64
        assert convolved.item() == 2.0**24
        assert (x.reshape(1, 1) @ weight.reshape(1, 1)).item() == 2.0**24 + 1


def test_arrays_keep_their_dtype_on_the_way_in():
    double = np.array([2.0**24 + 1])
    assert mx.array(double).dtype == mx.float32
    assert mlx.from_numpy(double).dtype == mx.float64
    assert mlx.to_numpy(mlx.from_numpy(double))[0] == double[0]


def test_bfloat16_survives_both_ways():
    bits = np.array([0x0000, 0x8000, 0x0001, 0x3F80, 0x7F80, 0xFF80, 0x7FC0, 0xC2F7], np.uint16)
    there = mlx.from_numpy(bits.view(ml_dtypes.bfloat16))
    assert there.dtype == mx.bfloat16
    np.testing.assert_array_equal(mlx.to_numpy(there).view(np.uint16), bits)


def test_half_types_add_up_in_float32():
    """256 + 1 + 1: in bfloat16 each step would round back to 256."""
    spec = lcl.Spec(input_size=3, in_channels=1, out_channels=1, kernel_size=3, stride=3)
    one = np.ones(1, ml_dtypes.bfloat16)
    x = np.array([256, 1, 1], ml_dtypes.bfloat16).reshape(1, 3, 1)
    for name in EVERY:
        layer = ADAPTERS[name].prepare(
            spec, np.tile(one, 3).reshape(1, 3, 1, 1), np.zeros((1, 1), one.dtype), "bfloat16"
        )
        assert layer.forward(x).item() == 258


def test_blocks_are_the_layout_of_the_issue():
    spec = lcl.Spec(input_size=6, in_channels=2, out_channels=4, kernel_size=3, stride=3)
    given = operands(spec, 1)
    stored, _ = layouts.convert(spec, given["weight"], given["bias"], source="canonical", target="mlx/issue1881")
    blocks = mlx.kernel_blocks(spec, given["weight"])
    np.testing.assert_array_equal(blocks.reshape(stored.shape), stored)
    np.testing.assert_array_equal(mlx.kernel_from_blocks(spec, blocks), given["weight"])


def test_the_einsum_is_the_published_one():
    assert einsum.equation(TILED).replace("g", "").replace("d", "h") == "bhmwnc,ohwmnc->bhwo"
    given = operands(TILED, 2)
    weight = mx.array(np.moveaxis(given["weight"], -1, 0))
    windows = mx.array(given["x"]).reshape(2, 2, 3, 2, 2, 3)
    published = np.array(mx.einsum("bhmwnc,ohwmnc->bhwo", windows, weight) + mx.array(given["bias"]))
    np.testing.assert_array_equal(prepare("mlx.einsum", TILED, given).forward(given["x"]), published)


def test_the_einsum_drops_the_letters_of_shared_axes():
    spec = lcl.Spec(
        input_size=(6, 4), in_channels=3, out_channels=5, kernel_size=(3, 2), stride=(3, 2), shared=(True, False)
    )
    assert einsum.equation(spec) == "bhmwngc,gowmnc->bhwgo"


@pytest.mark.parametrize("name", ["mlx.reshape", "mlx.einsum"])
def test_windows_that_do_not_tile_are_refused_with_the_reason(name):
    sizes = {"in_channels": 3, "out_channels": 2, "kernel_size": 3}
    refusal = ADAPTERS[name].declaration.capabilities.refusal
    for settings in ({"input_size": 9, "stride": 2}, {"input_size": 10, "stride": 3}):
        assert "side by side" in refusal(lcl.Spec(**sizes, **settings), "float32", "forward")
    padded = lcl.Spec(**sizes, input_size=9, stride=3, padding=((1, 1),))
    assert "nothing to pad" in refusal(padded, "float32", "forward")


def test_mlx_refuses_the_gradient_of_strided_windows_of_an_empty_batch():
    given = operands(TILED, 0)
    layer = prepare("mlx.windows", TILED, given)
    assert layer.forward(given["x"]).shape == TILED.y_shape(0)
    with pytest.raises(ValueError, match="scatter"):
        layer.vjp(given["x"], given["dy"])


@pytest.mark.parametrize("name", EVERY)
def test_an_inf_reaches_only_its_window(name):
    given = operands(TILED, 2)
    given["weight"][...] = 1
    given["x"][1, 4, 2, 0] = np.inf
    want = reference.forward(TILED, given["x"], given["weight"], given["bias"])
    assert np.isinf(want).sum() == TILED.out_channels
    np.testing.assert_array_equal(prepare(name, TILED, given).forward(given["x"]), want)


@pytest.mark.parametrize("name", EVERY)
def test_weights_are_copied(name):
    given = operands(TILED, 2)
    layer, want = prepare(name, TILED, given), golden(TILED, given)["y"]
    given["weight"][...] = 0
    given["bias"][...] = 0
    np.testing.assert_array_equal(layer.forward(given["x"]), want)


def test_the_default_device_stays():
    before = mx.default_device()
    given = operands(TILED, 2, "float64")
    prepare("mlx.windows", TILED, given, "float64").forward(given["x"])
    assert mx.default_device() == before


def test_declarations_are_readable_without_mlx():
    names = [module.__name__ for module in MODULES]
    code = (
        "import sys, importlib; sys.modules['mlx'] = None\n"
        f"for name in {names}: print(importlib.import_module(name).Adapter.declaration.name)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == EVERY
