"""The JAX and Flax routes against the readable reference, and the traps they stand in."""

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
from lcl_ref.suite.formats import DTYPES
from tests.support.adapter_contract import AdapterContract
from tests.support.layer_answers import answers, assert_conforms, assert_equal, golden, integers, supported

ADAPTERS = {module.Adapter.declaration.name: module.Adapter() for module in (local, patches, conv_local)}
EVERY = sorted(ADAPTERS)

IMAGE = lcl.Spec(
    input_size=(6, 7), in_channels=3, out_channels=4, kernel_size=(3, 2), stride=(1, 2), padding=((0, 2), (1, 0))
)


class TestContract(AdapterContract):
    adapters, frameworks, layers = tuple(ADAPTERS.values()), ("jax", "flax"), 2

    def test_every_dtype_is_declared(self, adapter):
        assert set(DTYPES) <= set(adapter.declaration.capabilities.dtypes)


def operands(spec, batch, dtype="float32", seed=0):
    return {name: array.copy() for name, array in integers(spec, batch, seed, dtype).items()}


def prepare(name, spec, given, dtype="float32"):
    return ADAPTERS[name].prepare(spec, given["weight"], given["bias"], dtype)


def assert_answers(name, spec, given, dtype="float32"):
    assert_equal(answers(ADAPTERS[name], spec, given, dtype), golden(spec, given), dtype, name)


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
        assert_answers(name, spec, given)
        assert support.program(layer._apply, spec, 0)._cache_size() == 0
        assert support.program(layer._apply, spec, 3, quick=True)._cache_size() == 1


def test_compiler_options_are_used_only_where_they_are_known():
    assert support.known(**support.QUICK) == support.QUICK
    assert support.known(xla_there_is_no_such_option=1) is None


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


@pytest.mark.parametrize("seed", range(5))
def test_unfusing_undoes_fusing(seed):
    spec = supported(np.random.default_rng(seed), ADAPTERS["jax.patches"].declaration.capabilities)
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
    assert_conforms(ADAPTERS["flax.conv_local"], spec, 3)


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
    assert_answers(name, IMAGE, given, "float64")
    assert jax.config.jax_enable_x64 is False
    assert jax.numpy.ones(1).dtype == np.float32
    assert jax.numpy.asarray(given["x"]).dtype == np.float32


@pytest.mark.parametrize("name", EVERY)
def test_64_bit_types_switched_on_by_the_user_change_nothing(name):
    with jax.enable_x64(True):
        assert_conforms(ADAPTERS[name], IMAGE, 2)
        assert jax.numpy.ones(1).dtype == np.float64
