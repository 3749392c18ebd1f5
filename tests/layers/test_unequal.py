"""Layers of unequal blocks: every block computes with its own weight, and gradients reach it."""

import jax
import mlx.core as mx
import numpy as np
import pytest
import torch
from flax import nnx
from mlx import nn
from mlx.utils import tree_flatten

import lcl_ref as lcl
from lcl_ref.layers import flax_linen, flax_nnx
from lcl_ref.layers import mlx as of_mlx
from lcl_ref.layers import torch as of_torch
from tests.extensions.arrays import integers
from tests.support.child import run
from tests.support.paths import SUPPORT

SIZES = [(2, 3), (4, 1), (1, 5)]
WEIGHTS = [integers(*size, seed=seed).astype(np.float32) for seed, size in enumerate(SIZES)]
X, BIAS, DY = (integers(*shape, seed=7).astype(np.float32) for shape in ((2, 3, 7), (9,), (2, 3, 9)))
PARTS = np.split(X, [2, 6], -1)
Y = np.concatenate([part @ weight for part, weight in zip(PARTS, WEIGHTS, strict=True)], -1) + BIAS
DW = [np.einsum("abi,abo->io", part, dy) for part, dy in zip(PARTS, np.split(DY, [3, 4], -1), strict=True)]


def test_torch():
    layer = of_torch.UnequalBlockLinear.from_blocks(WEIGHTS, BIAS)
    y = layer(torch.from_numpy(X))
    np.testing.assert_array_equal(y.detach(), Y)
    found = torch.autograd.grad(y, list(layer.weights), torch.from_numpy(DY))
    for gradient, expected in zip(found, DW, strict=True):
        np.testing.assert_array_equal(gradient, expected)
    fresh = of_torch.UnequalBlockLinear(SIZES)
    assert not torch.equal(fresh(torch.from_numpy(X)), y)
    fresh.load_state_dict(layer.state_dict())
    assert torch.equal(fresh(torch.from_numpy(X)), y)
    assert f"{SIZES}, bias=True" in repr(layer)
    bare = of_torch.UnequalBlockLinear.from_blocks(WEIGHTS)
    np.testing.assert_array_equal(bare(torch.from_numpy(X)).detach(), Y - BIAS)


def test_mlx():
    layer = of_mlx.UnequalBlockLinear.from_blocks(WEIGHTS, BIAS)
    np.testing.assert_array_equal(np.array(layer(mx.array(X))), Y)
    assert [name for name, _ in tree_flatten(layer.parameters())] == [*(f"weights.{n}" for n in range(3)), "bias"]
    _, gradients = nn.value_and_grad(layer, lambda x: (layer(x) * mx.array(DY)).sum())(mx.array(X))
    for gradient, expected in zip(gradients["weights"], DW, strict=True):
        np.testing.assert_array_equal(np.array(gradient), expected)
    bare = of_mlx.UnequalBlockLinear.from_blocks(WEIGHTS)
    np.testing.assert_array_equal(np.array(bare(mx.array(X))), Y - BIAS)


def test_linen():
    layer = flax_linen.UnequalBlockLinear(SIZES)
    variables = layer.init(jax.random.key(0), X)
    assert {name: array.shape for name, array in variables["params"].items()} == {
        **{f"kernel_{number}": size for number, size in enumerate(SIZES)},
        "bias": (9,),
    }
    params = {f"kernel_{number}": weight for number, weight in enumerate(WEIGHTS)} | {"bias": BIAS}
    y, pull = jax.vjp(lambda params, x: layer.apply({"params": params}, x), params, X)
    gradients, _ = pull(DY)
    np.testing.assert_array_equal(y, Y)
    for number, expected in enumerate(DW):
        np.testing.assert_array_equal(gradients[f"kernel_{number}"], expected)
    bare = flax_linen.UnequalBlockLinear(SIZES, use_bias=False)
    assert "bias" not in bare.init(jax.random.key(0), X)["params"]
    with pytest.raises(lcl.SpecError, match="sizes"):
        flax_linen.UnequalBlockLinear([(2, 0)])
    with pytest.raises(lcl.ShapeError, match=r"\(\*, 7\)"):
        layer.apply(variables, X[..., 1:])


def test_nnx():
    layer = flax_nnx.UnequalBlockLinear.from_blocks(WEIGHTS, BIAS)
    np.testing.assert_array_equal(nnx.jit(layer)(X), Y)
    gradients = nnx.grad(lambda layer, x: (layer(x) * DY).sum())(layer, X)
    for number, expected in enumerate(DW):
        np.testing.assert_array_equal(gradients["kernels"][number][...], expected)
    bare = flax_nnx.UnequalBlockLinear.from_blocks(WEIGHTS)
    np.testing.assert_array_equal(bare(X[0, 0]), (Y - BIAS)[0, 0])
    with pytest.raises(lcl.SpecError, match="sizes"):
        flax_nnx.UnequalBlockLinear([(2, 0)], rngs=nnx.Rngs(0))
    with pytest.raises(lcl.ShapeError, match="bias"):
        flax_nnx.UnequalBlockLinear.from_blocks(WEIGHTS, BIAS[1:])


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "tensorflow", "torch"])
def test_keras(tmp_path, backend):
    assert run(SUPPORT / "keras_unequal.py", tmp_path / "net.keras", backend=backend).split()[-1] == "done"


@pytest.mark.parametrize("layers", [of_torch, of_mlx], ids=["torch", "mlx"])
def test_what_does_not_fit_is_refused(layers):
    with pytest.raises(lcl.SpecError, match="sizes"):
        layers.UnequalBlockLinear([(2, 0)])
    with pytest.raises(lcl.ShapeError, match=r"bias: got shape \(8,\), expected \(9,\), 3\+1\+5"):
        layers.UnequalBlockLinear.from_blocks(WEIGHTS, BIAS[1:])
    layer = layers.UnequalBlockLinear(SIZES)
    start = np.concatenate([np.ravel(weight.detach() if layers is of_torch else weight) for weight in layer.weights])
    assert 0 < np.abs(start).max() <= 1
    assert np.abs(start[:6]).max() <= np.sqrt(0.5).astype(np.float32) + 2**-20
    with pytest.raises(lcl.ShapeError, match=r"\(\*, 7\)"):
        layer(torch.from_numpy(X[..., 1:]) if layers is of_torch else mx.array(X[..., 1:]))
