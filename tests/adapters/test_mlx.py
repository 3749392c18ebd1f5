"""The MLX routes against the readable reference, and the traps they stand in."""

import ml_dtypes
import mlx.core as mx
import numpy as np
import pytest

import lcl_ref as lcl
from lcl_backends.mlx import einsum, reshape, windows
from lcl_backends.support import mlx
from lcl_ref import layouts
from tests.support.adapter_contract import AdapterContract
from tests.support.layer_answers import integers

ADAPTERS = {module.Adapter.declaration.name: module.Adapter() for module in (reshape, einsum, windows)}

TILED = lcl.Spec(input_size=(6, 4), in_channels=3, out_channels=5, kernel_size=(3, 2), stride=(3, 2))


class TestContract(AdapterContract):
    adapters, frameworks, batches = tuple(ADAPTERS.values()), ("mlx",), (1, 3)

    def test_no_layer_that_is_drawn_is_refused(self, adapter):
        draw, capabilities = np.random.default_rng(0), adapter.declaration.capabilities
        for spec in (self.make(adapter, draw) for _ in range(self.layers)):
            assert capabilities.refusal(spec, "float32", "vjp") is None, spec.to_json()


def prepare(name, spec, given, dtype="float32"):
    return ADAPTERS[name].prepare(spec, given["weight"], given["bias"], dtype)


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


def test_blocks_are_the_layout_of_the_issue():
    spec = lcl.Spec(input_size=6, in_channels=2, out_channels=4, kernel_size=3, stride=3)
    given = integers(spec, 1, 0, "float32")
    stored, _ = layouts.convert(spec, given["weight"], given["bias"], source="canonical", target="mlx/issue1881")
    blocks = mlx.kernel_blocks(spec, given["weight"])
    np.testing.assert_array_equal(blocks.reshape(stored.shape), stored)
    np.testing.assert_array_equal(mlx.kernel_from_blocks(spec, blocks), given["weight"])


def test_the_einsum_is_the_published_one():
    assert einsum.equation(TILED).replace("g", "").replace("d", "h") == "bhmwnc,ohwmnc->bhwo"
    given = integers(TILED, 2, 0, "float32")
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
    given = integers(TILED, 0, 0, "float32")
    layer = prepare("mlx.windows", TILED, given)
    assert layer.forward(given["x"]).shape == TILED.y_shape(0)
    with pytest.raises(ValueError, match="scatter"):
        layer.vjp(given["x"], given["dy"])


def test_the_default_device_stays():
    before = mx.default_device()
    given = integers(TILED, 2, 0)
    prepare("mlx.windows", TILED, given, "float64").forward(given["x"])
    assert mx.default_device() == before
