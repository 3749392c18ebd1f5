"""The layers of flax.linen and flax.nnx against the reference, on integers."""

import jax
import numpy as np
import pytest
from flax import nnx

import lcl_ref as lcl
from lcl_ref.layers import flax_linen, flax_nnx
from tests.support.layer_answers import golden, integers, random_spec
from tests.support.marks import quick

BLOCKS = lcl.Spec(input_size=(), in_channels=6, out_channels=9, kernel_size=(), groups=3)


def specs():
    draw = np.random.default_rng(11)
    return [BLOCKS, *(random_spec(draw) for _ in range(5))]


@pytest.mark.parametrize("spec", quick(specs(), every=3), ids=str)
def test_layers_and_their_gradients_are_those_of_the_reference(spec):
    operands = integers(spec, 2, 0, "float32", largest=3)
    want = golden(spec, operands)
    params = {"kernel": operands["weight"]} | ({} if operands["bias"] is None else {"bias": operands["bias"]})
    linen = flax_linen.LocallyConnected(spec)
    y, pull = jax.vjp(lambda params, x: linen.apply({"params": params}, x), params, operands["x"])
    gradients, dx = pull(operands["dy"])
    assert np.array_equal(y, want["y"])
    assert np.array_equal(dx, want["dx"])
    assert np.array_equal(gradients["kernel"], want["dw"])
    module = flax_nnx.LocallyConnected.from_canonical(spec, operands["weight"], operands["bias"])
    assert np.array_equal(nnx.jit(module)(operands["x"]), want["y"])
    weight, bias = module.canonical()
    assert np.array_equal(weight, operands["weight"])
    assert (bias is None) == (operands["bias"] is None)
    loss = nnx.grad(lambda module, x: (module(x) * operands["dy"]).sum())(module, operands["x"])
    assert np.array_equal(loss["kernel"][...], want["dw"])


@pytest.mark.parametrize("rank", quick([0, 1, 2], 1))
def test_batch_axes_are_any_or_none(rank):
    """As `flax.linen.ConvLocal` takes them, under `vmap` over samples too."""
    spec = lcl.Spec(input_size=(6, 5)[:rank], in_channels=4, out_channels=6, kernel_size=(3, 2)[:rank], groups=2)
    operands = integers(spec, 6, 0, "float32", largest=3)
    want, x = golden(spec, operands)["y"], operands["x"]
    linen = flax_linen.LocallyConnected(spec)
    module = flax_nnx.LocallyConnected.from_canonical(spec, operands["weight"], operands["bias"])
    params = {"params": {"kernel": operands["weight"], "bias": operands["bias"]}}
    for call in (lambda x: linen.apply(params, x), module):
        assert np.array_equal(call(x[0]), want[0])
        assert np.array_equal(jax.vmap(call)(x), want)
        assert np.array_equal(call(x.reshape(2, 3, *x.shape[1:])), want.reshape(2, 3, *want.shape[1:]))
        assert call(x[:0].reshape(0, 3, *x.shape[1:])).shape == (0, 3, *want.shape[1:])


@pytest.mark.slow
def test_initial_weights_see_the_fan_of_one_position():
    spec = lcl.Spec(input_size=(12, 12), in_channels=4, out_channels=8, kernel_size=3)
    x = np.zeros(spec.x_shape(1), np.float32)
    linen = flax_linen.LocallyConnected(spec).init(jax.random.key(0), x)["params"]
    module = flax_nnx.LocallyConnected(spec, rngs=nnx.Rngs(0))
    for kernel, bias in ((linen["kernel"], linen["bias"]), module.canonical()):
        assert 0.98 < float(kernel.std()) * spec.fan_in**0.5 < 1.02
        assert not bias.any()


def test_inputs_of_another_size_are_refused():
    module = flax_nnx.LocallyConnected(BLOCKS, rngs=nnx.Rngs(0))
    with pytest.raises(lcl.ShapeError, match=r"shape \(2, 5\).*\(\*, 6\)"):
        module(np.zeros((2, 5), np.float32))
    with pytest.raises(lcl.ShapeError):
        flax_nnx.LocallyConnected.from_canonical(BLOCKS, np.zeros((2, 8), np.float32), np.zeros(9, np.float32))
