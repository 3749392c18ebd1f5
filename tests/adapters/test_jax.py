"""The JAX and Flax routes against the readable reference, and the traps they stand in."""

import subprocess
import sys

import jax
import numpy as np
import pytest
from flax import linen
from jax import lax

import lcl_ref as lcl
from lcl_backends.flax import conv_local
from lcl_backends.jax import local, patches
from lcl_backends.support import jax as support
from lcl_ref import layouts
from lcl_ref.core import reference
from lcl_ref.suite.formats import DTYPES, FORMATS

MODULES = (local, patches, conv_local)
ADAPTERS = {module.Adapter.declaration.name: module.Adapter() for module in MODULES}
EVERY = sorted(ADAPTERS)

IMAGE = lcl.Spec(
    input_size=(6, 7), in_channels=3, out_channels=4, kernel_size=(3, 2), stride=(1, 2), padding=((0, 2), (1, 0))
)
LAYERS = {
    "image": IMAGE,
    "block": lcl.Spec(input_size=(), in_channels=6, out_channels=4, kernel_size=(), groups=2),
    "line": lcl.Spec(
        input_size=11, in_channels=2, out_channels=3, kernel_size=3, stride=2, dilation=2, padding="causal"
    ),
    "volume": lcl.Spec(
        input_size=(3, 4, 5), in_channels=2, out_channels=3, kernel_size=(2, 1, 3), padding="same_upper"
    ),
    "groups": lcl.Spec(input_size=(4, 5), in_channels=6, out_channels=9, kernel_size=(2, 3), groups=3, bias="channel"),
    "table": lcl.Spec(
        input_size=7, in_channels=4, out_channels=3, kernel_size=2, channel_table=((3, 0), (1, 3), (2, 3)), bias="none"
    ),
    "convolution": lcl.Spec(
        input_size=(5, 4), in_channels=2, out_channels=3, kernel_size=2, shared=True, bias="channel"
    ),
    "half shared": lcl.Spec(
        input_size=(5, 6), in_channels=4, out_channels=2, kernel_size=(3, 2), groups=2, shared=(True, False)
    ),
    "no bias": lcl.Spec(input_size=(5, 4), in_channels=3, out_channels=2, kernel_size=(2, 3), bias="none"),
    "only padding": lcl.Spec(input_size=3, in_channels=3, out_channels=2, kernel_size=2, padding=((4, 3),)),
}


def operands(spec, batch, dtype="float32", seed=0):
    draw = np.random.default_rng(seed)
    shapes = {"x": spec.x_shape(batch), "weight": spec.weight_shape, "bias": spec.bias_shape, "dy": spec.y_shape(batch)}
    return {
        name: None if shape is None else draw.integers(-1, 2, shape).astype(FORMATS[dtype].dtype)
        for name, shape in shapes.items()
    }


def prepare(name, spec, given, dtype="float32"):
    return ADAPTERS[name].prepare(spec, given["weight"], given["bias"], dtype)


def answers(layer, given):
    dx, dw, db = layer.vjp(given["x"], given["dy"])
    return {"y": layer.forward(given["x"]), "dx": dx, "dw": dw, "db": db, "xt": layer.transpose(given["dy"])}


def golden(spec, given):
    x, weight, bias, dy = (None if array is None else array.astype(np.int64) for array in given.values())
    dx, dw, db = reference.vjp(spec, x, weight, dy)
    return {"y": reference.forward(spec, x, weight, bias), "dx": dx, "dw": dw, "db": db, "xt": dx}


def assert_answers(layer, spec, given, dtype="float32"):
    got, want = answers(layer, given), golden(spec, given)
    for name, truth in want.items():
        if truth is None:
            assert got[name] is None, name
            continue
        answer = np.asarray(got[name])
        assert answer.dtype == FORMATS[dtype].dtype, name
        np.testing.assert_array_equal(answer.astype(np.int64), truth, err_msg=name)


def supported():
    for name, adapter in ADAPTERS.items():
        for number, (title, spec) in enumerate(LAYERS.items()):
            if adapter.declaration.capabilities.refusal(spec, "float32", "vjp") is None:
                yield pytest.param(name, spec, DTYPES[number % len(DTYPES)], number % 3, id=f"{name}-{title}")


@pytest.mark.parametrize(("name", "spec", "dtype", "batch"), [*supported()])
def test_every_operation_equals_the_reference(name, spec, dtype, batch):
    given = operands(spec, batch, dtype)
    assert_answers(prepare(name, spec, given, dtype), spec, given, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EVERY)
def test_every_dtype(name, dtype):
    assert dtype in ADAPTERS[name].declaration.capabilities.dtypes
    given = operands(IMAGE, 2, dtype, seed=1)
    assert_answers(prepare(name, IMAGE, given, dtype), IMAGE, given, dtype)


@pytest.mark.parametrize("name", ["jax.local", "jax.patches"])
def test_large_layers_compile_each_operation_apart(name):
    spec = lcl.Spec(input_size=(30, 31), in_channels=8, out_channels=16, kernel_size=(4, 3), bias="channel")
    given = operands(spec, 1)
    layer = prepare(name, spec, given)
    wide = {key: array.astype(np.float64) for key, array in given.items()}
    y, xt = layer.forward(given["x"]), layer.transpose(given["dy"])
    np.testing.assert_array_equal(y, lcl.forward(spec, wide["x"], wide["weight"], wide["bias"]))
    np.testing.assert_array_equal(xt, lcl.transpose(spec, wide["dy"], wide["weight"]))
    compiled = [support.program(layer._apply, spec, count)._cache_size() for count in range(4)]
    assert compiled == [1, 1, 0, 0]  # forward, transpose; a vjp in three operands comes last
    for got, want in zip(layer.vjp(given["x"], given["dy"]), lcl.vjp(spec, *wide.values()), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", ["jax.patches", "jax.local"])
def test_small_layers_compile_once_whatever_their_weights(name):
    spec = lcl.Spec(input_size=(6, 5), in_channels=2, out_channels=3, kernel_size=(2, 3), bias="position")
    for seed in range(2):
        given = operands(spec, 2, seed=seed)
        layer = prepare(name, spec, given)
        assert_answers(layer, spec, given)
        assert support.program(layer._apply, spec, 0)._cache_size() == 0
        assert support.program(layer._apply, spec, 3, quick=True)._cache_size() == 1


def test_compiler_options_are_used_only_where_they_are_known():
    assert support.known(**support.QUICK) == support.QUICK
    assert support.known(xla_there_is_no_such_option=1) is None


@pytest.mark.parametrize("name", EVERY)
def test_weights_are_copied(name):
    given = operands(IMAGE, 2)
    layer, want = prepare(name, IMAGE, given), golden(IMAGE, given)["y"]
    given["weight"][...] = 0
    given["bias"][...] = 0
    np.testing.assert_array_equal(layer.forward(given["x"]), want)


def jax_op(spec, x, kernel, padding):
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated_local(
        x, kernel, spec.stride, padding, spec.kernel_size, dimension_numbers=numbers, precision=lax.Precision.HIGHEST
    )


def test_patch_order_is_channel_first():
    """The fused axis is (channel, taps); the canonical order has the same shape and gives other numbers."""
    given = operands(IMAGE, 2)
    truth = golden(IMAGE, given)["y"] - given["bias"].astype(np.int64)
    taps_first = given["weight"].reshape(*IMAGE.output_size, IMAGE.fan_in, IMAGE.out_channels)
    channel_first = support.fuse_kernel(IMAGE, given["weight"])[0]
    assert taps_first.shape == channel_first.shape
    np.testing.assert_array_equal(jax_op(IMAGE, given["x"], channel_first, IMAGE.padding), truth)
    assert not np.array_equal(jax_op(IMAGE, given["x"], taps_first, IMAGE.padding), truth)


@pytest.mark.parametrize("layout", ["jax/local/HWIO", "flax/conv_local"])
def test_fused_kernel_is_the_catalogued_layout(layout):
    given = operands(IMAGE, 1)
    stored, _ = layouts.convert(IMAGE, given["weight"], given["bias"], source="canonical", target=layout)
    np.testing.assert_array_equal(support.fuse_kernel(IMAGE, given["weight"])[0], stored)


@pytest.mark.parametrize("title", ["image", "groups", "half shared", "block", "volume"])
def test_unfusing_undoes_fusing(title):
    spec = LAYERS[title]
    weight = np.arange(np.prod(spec.weight_shape)).reshape(spec.weight_shape)
    np.testing.assert_array_equal(support.unfuse_kernel(spec, support.fuse_kernel(spec, weight)), weight)


def test_same_is_not_one_rule():
    """JAX's SAME is same_upper; the old Keras layer's rule pads otherwise as soon as there is a stride."""
    names = {"same_upper": "SAME", "same_lower": "SAME_LOWER"}
    size = {"input_size": (8, 9), "in_channels": 3, "out_channels": 2, "kernel_size": (3, 4), "stride": (2, 3)}
    specs = {name: lcl.Spec(**size, padding=name) for name in (*names, "same_keras_local")}
    assert len({spec.padding for spec in specs.values()}) == 3
    assert len({spec.weight_shape for spec in specs.values()}) == 1
    given = operands(specs["same_upper"], 2)
    for name, spec in specs.items():
        want = golden(spec, given)["y"]
        for adapter in EVERY:
            np.testing.assert_array_equal(prepare(adapter, spec, given).forward(given["x"]), want)
        for rule, jax_name in names.items():
            y = jax_op(spec, given["x"], support.fuse_kernel(spec, given["weight"])[0], jax_name) + given["bias"]
            assert np.array_equal(y, want) == (rule == name)


def test_an_integer_kernel_size_makes_flax_read_rows_as_samples():
    image = np.zeros((1, 6, 6, 2), np.float32)

    def parameters(module):
        return jax.tree.map(np.shape, jax.eval_shape(module.init, jax.random.key(0), image)["params"])

    assert parameters(linen.ConvLocal(4, 3, padding="VALID"))["kernel"] == (4, 3 * 2, 4)
    spec = lcl.Spec(input_size=(6, 6), in_channels=2, out_channels=4, kernel_size=3)
    ours = conv_local.module(spec, np.dtype("float32"), use_bias=True)
    assert parameters(ours) == {"kernel": (4, 4, 2 * 3 * 3, 4), "bias": (4, 4, 4)}
    given = operands(spec, 3)
    assert_answers(prepare("flax.conv_local", spec, given), spec, given)


def test_limits_of_the_flax_module_are_its_own():
    x = np.zeros((1, 6, 4), np.float32)
    with pytest.raises(NotImplementedError, match="feature_group_count"):
        linen.ConvLocal(4, (3,), feature_group_count=2).init(jax.random.key(0), x)
    with pytest.raises(TypeError, match="integer"):
        linen.ConvLocal(4, (), ()).init(jax.random.key(0), x[:, 0])


@pytest.mark.parametrize("name", EVERY)
def test_float64_is_float64_and_leaves_no_trace(name):
    """Sums that need 50 bits, while the rest of the process stays at 32-bit types."""
    given = operands(IMAGE, 2, "float64")
    given["x"] *= 2**45 + 1
    assert_answers(prepare(name, IMAGE, given, "float64"), IMAGE, given, "float64")
    assert jax.config.jax_enable_x64 is False
    assert jax.numpy.ones(1).dtype == np.float32
    assert jax.numpy.asarray(given["x"]).dtype == np.float32


@pytest.mark.parametrize("name", EVERY)
def test_64_bit_types_switched_on_by_the_user_change_nothing(name):
    given = operands(IMAGE, 2)
    with jax.enable_x64(True):
        assert_answers(prepare(name, IMAGE, given), IMAGE, given)
        assert jax.numpy.ones(1).dtype == np.float64


@pytest.mark.parametrize("name", EVERY)
def test_an_inf_stays_an_inf_where_declared(name):
    """The patch convolution multiplies the inf by the zeros of its kernel, which makes NaN of the other taps."""
    spec = lcl.Spec(input_size=6, in_channels=2, out_channels=3, kernel_size=2)
    given = operands(spec, 1)
    given["weight"][...] = 1
    given["x"][0, 3, 1] = np.inf
    want = reference.forward(spec, given["x"], given["weight"], given["bias"])
    assert np.isinf(want).sum() == 2 * spec.out_channels
    got = np.asarray(prepare(name, spec, given).forward(given["x"]))
    declared = ADAPTERS[name].declaration.capabilities.nonfinite
    assert np.array_equal(got, want) == declared
    assert np.isnan(got).any() != declared


@pytest.mark.parametrize("framework", ["jax", "flax"])
def test_declarations_are_readable_without_the_framework(framework):
    names = [module.__name__ for module in MODULES]
    code = (
        f"import sys, importlib; sys.modules[{framework!r}] = None\n"
        f"for name in {names}: print(importlib.import_module(name).Adapter.declaration.name)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == EVERY
