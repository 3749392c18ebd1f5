"""Layers whose positions share their weights by regions: every framework computes the extension, gradients included."""

import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.extensions import regions
from tests.extensions.arrays import integers
from tests.support.child import run
from tests.support.paths import SUPPORT

FREE = (np.arange(20).reshape(4, 5) * 7 % 4).tolist()
SETTINGS = {"input_size": (5, 6), "kernel_size": 2, "groups": 2}
SPEC = lcl.Spec(in_channels=4, out_channels=6, **SETTINGS)  # 4 x 5 positions
each_map = pytest.mark.parametrize("where", [2, (2, 3), FREE], ids=["count", "counts", "map"])


def operands(where, spec=SPEC):
    stored = regions.shapes(spec, where)
    shapes = [spec.x_shape(2), *stored.values(), spec.y_shape(2)]
    return [integers(*shape, seed=seed, largest=3).astype(np.float32) for seed, shape in enumerate(shapes)]


def wanted(where, x, kernels, bias, dy):
    """The answer and the gradients of x, kernels and bias."""
    found = (
        regions.forward(SPEC, where, x, kernels, bias),
        *regions.vjp(SPEC, where, x, kernels, bias, dy),
    )
    return [array.astype(np.float32) for array in found]


def equal(found, want):
    return all(np.array_equal(np.asarray(one), other) for one, other in zip(found, want, strict=True))


# torch 2.13's tracer of autograd functions warns of what it does itself.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@each_map
def test_torch(where):
    import torch

    from lcl_ref.layers.torch import LocallyConnected2d

    x, kernels, bias, dy = operands(where)
    layer = LocallyConnected2d(4, 6, **SETTINGS, regions=where)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(kernels))
        layer.bias.copy_(torch.from_numpy(bias))
    first = torch.from_numpy(x).movedim(-1, 1).requires_grad_()
    want = wanted(where, x, kernels, bias, dy)
    compiled = [torch.compile(layer, fullgraph=True, backend="aot_eager")] if where == FREE else []
    for call in (layer, *compiled):
        y = call(first).movedim(1, -1)
        dx, dw, db = torch.autograd.grad(y, (first, layer.weight, layer.bias), torch.from_numpy(dy))
        assert equal((y.detach(), dx.movedim(1, -1), dw, db), want)
    assert f"{len(kernels)} regions" in repr(layer)
    twin = LocallyConnected2d.from_canonical(SPEC, *layer.canonical(), regions=where)
    assert torch.equal(twin(first), layer(first))
    assert torch.equal(twin.weight, layer.weight)
    other = LocallyConnected2d(4, 6, **SETTINGS, regions=np.sort(regions.as_map(SPEC, where).ravel()).reshape(4, 5))
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(first), layer(first)), "weights travel with their map"
    assert torch.equal(torch.export.export(layer, (first,)).module()(first), layer(first))
    half = LocallyConnected2d.from_canonical(SPEC, *(part.bfloat16() for part in layer.canonical()), regions=where)
    assert torch.equal(half.weight.float(), layer.weight)


@each_map
def test_mlx(where):
    import mlx.core as mx
    from mlx import nn
    from mlx.utils import tree_flatten

    from lcl_ref.layers.mlx import LocallyConnected2d

    x, kernels, bias, dy = operands(where)
    layer = LocallyConnected2d(4, 6, **SETTINGS, regions=where)
    layer.load_weights([("weight", mx.array(kernels)), ("bias", mx.array(bias))])
    y, _, dw, db = wanted(where, x, kernels, bias, dy)
    assert equal([layer(mx.array(x))], [y])
    assert [name for name, _ in tree_flatten(layer.parameters())] == ["weight", "bias"]
    _, gradients = nn.value_and_grad(layer, lambda x: (layer(x) * mx.array(dy)).sum())(mx.array(x))
    assert equal([gradients["weight"], gradients["bias"]], [dw, db])
    twin = LocallyConnected2d.from_canonical(SPEC, *layer.canonical(), regions=where)
    assert equal([twin.weight, twin(mx.array(x))], [kernels, y])
    assert f"{len(kernels)} regions" in repr(layer)


@pytest.mark.slow
def test_flax():
    import jax
    from flax import nnx

    from lcl_ref.layers import flax_linen, flax_nnx

    x, kernels, bias, dy = operands(FREE)
    want = wanted(FREE, x, kernels, bias, dy)
    linen = flax_linen.LocallyConnected(SPEC, regions=np.array(FREE))
    assert hash(linen) == hash(flax_linen.LocallyConnected(SPEC, regions=FREE))
    y, pull_back = jax.vjp(
        lambda kernel, bias: linen.apply({"params": {"kernel": kernel, "bias": bias}}, x), kernels, bias
    )
    assert equal([y, *pull_back(dy)], [want[0], *want[2:]])
    weight, spread = regions.expand(SPEC, FREE, kernels, bias)
    module = flax_nnx.LocallyConnected.from_canonical(SPEC, weight, spread, regions=FREE)
    assert equal([module(x), module.kernel[...], *module.canonical()], [want[0], kernels, weight, spread])
    graph, state = nnx.split(module)
    assert equal([nnx.merge(graph, state)(x)], [want[0]])
    for counts in (2, (2, 3)):
        fresh = flax_nnx.LocallyConnected(SPEC, rngs=nnx.Rngs(0), regions=counts)
        shapes = jax.eval_shape(flax_linen.LocallyConnected(SPEC, regions=counts).init, jax.random.key(0), x)["params"]
        expected = regions.shapes(SPEC, counts)
        assert fresh.kernel.shape == shapes["kernel"].shape == expected["kernels"]
        assert fresh.bias.shape == shapes["bias"].shape == expected["bias"]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch", "tensorflow"])
def test_keras(backend, tmp_path):
    assert run(SUPPORT / "keras_regions.py", tmp_path / "net.keras", backend=backend).split()[-1] == "6"


def test_weights_that_differ_inside_a_region_are_refused():
    from lcl_ref.layers.torch import LocallyConnected2d

    weight, bias = integers(*SPEC.weight_shape), integers(*SPEC.bias_shape)
    with pytest.raises(lcl.LayoutError, match=r"a weight that differs between positions \(0, 0\) and \(0, 1\)"):
        LocallyConnected2d.from_canonical(SPEC, weight, bias, regions=2)
    weight[...] = 1
    with pytest.raises(lcl.LayoutError, match="a bias that differs"):
        LocallyConnected2d.from_canonical(SPEC, weight, bias, regions=2)
    with pytest.raises(lcl.SpecError, match="got 5 regions, expected 1 to 4"):
        LocallyConnected2d(4, 6, **SETTINGS, regions=5)
