"""The layers of mlx.nn: what users of MLX expect of a module, compared with the reference on integers."""

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
import pytest
from mlx import nn
from mlx.utils import tree_flatten

import lcl_ref as lcl
from lcl_ref.core import reference
from lcl_ref.layers.engines import mlx as engine
from lcl_ref.layers.mlx import BlockLinear, LocallyConnected1d, LocallyConnected2d, LocallyConnected3d

LAYERS = {
    "1d": (LocallyConnected1d, (4, 6, 9, 3), {"stride": 2, "padding": 1}, (9, 4)),
    "2d": (LocallyConnected2d, (4, 6, (7, 6), (3, 2)), {"groups": 2, "padding": "same_upper"}, (7, 6, 4)),
    "2d dilated": (LocallyConnected2d, (2, 3, 8, 2), {"dilation": 3, "bias": "channel"}, (8, 8, 2)),
    "2d tiled": (LocallyConnected2d, (2, 3, (6, 4), (3, 2)), {"stride": (3, 2)}, (6, 4, 2)),
    "2d shifted": (
        LocallyConnected2d,
        (2, 3, (6, 4), (3, 2)),
        {"stride": (3, 2), "padding": ((1, 1), (1, 1))},
        (6, 4, 2),
    ),
    "2d shared": (LocallyConnected2d, (2, 3, (5, 6), 2), {"shared": (True, False), "bias": False}, (5, 6, 2)),
    "3d": (LocallyConnected3d, (2, 3, (4, 3, 5), 2), {"padding": ((0, 1), (1, 0), (0, 0))}, (4, 3, 5, 2)),
    "block": (BlockLinear, (6, 9, 3), {}, (6,)),
}


def whole_numbers(seed, shape, dtype=mx.float32):
    """Small integers, on which every order of summation has the same bits."""
    return mx.array(np.random.default_rng(seed).integers(-3, 4, shape)).astype(dtype)


def made(name, dtype=mx.float32):
    """A layer with small integers as parameters, and an input of two samples."""
    cls, arguments, settings, sample = LAYERS[name]
    layer = cls(*arguments, **settings)
    layer.update({key: whole_numbers(len(key), held.shape, dtype) for key, held in layer.parameters().items()})
    return layer, whole_numbers(7, (2, *sample), dtype)


def numpy(array):
    return None if array is None else np.array(array)


def want(layer, x):
    return reference.forward(layer.spec, numpy(x), *map(numpy, layer.canonical()))


@pytest.fixture(params=["all windows at once", "tiles"])
def route(request, monkeypatch):
    if request.param == "tiles":
        monkeypatch.setattr(engine, "_small", lambda *_: False)


@pytest.mark.usefixtures("route")
@pytest.mark.parametrize("name", LAYERS)
def test_layer_computes_what_the_reference_does(name):
    layer, x = made(name)
    assert np.array_equal(numpy(layer(x)), want(layer, x))
    assert layer(x[:0]).shape == layer.spec.y_shape(0)


@pytest.mark.usefixtures("route")
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_value_and_grad_compiled_or_not(name, compiled):
    layer, x = made(name)
    y = layer(x)
    dy = whole_numbers(3, y.shape)

    def loss(x):
        return (layer(x) * dy).sum()

    gradient = nn.value_and_grad(layer, loss)
    function = mx.compile(gradient, inputs=layer.state, outputs=layer.state) if compiled else gradient
    value, grads = function(x)
    operands = [numpy(x), *map(numpy, layer.canonical())]
    dx, dw, db = reference.vjp(layer.spec, *operands[:2], numpy(dy))
    assert value.item() == (want(layer, x) * numpy(dy)).sum()
    assert np.array_equal(numpy(grads["weight"]), dw)
    assert ("bias" in grads) == (db is not None)
    assert db is None or np.array_equal(numpy(grads["bias"]), db)
    assert np.array_equal(numpy(mx.grad(loss)(x)), dx)


@pytest.mark.parametrize("name", LAYERS)
def test_vmap_and_gradients_per_sample(name):
    layer, x = made(name)
    assert mx.array_equal(mx.vmap(lambda sample: layer(sample[None])[0])(x), layer(x))
    held = layer.parameters()

    def loss(held, x):
        layer.update(held)
        return layer(x).square().sum()

    each = mx.vmap(mx.grad(lambda held, sample: loss(held, sample[None])), in_axes=(None, 0))(held, x)
    together = mx.grad(loss)(held, x)
    assert all(mx.array_equal(each[key].sum(0), together[key]) for key in together)


@pytest.mark.parametrize("name", LAYERS)
def test_second_derivatives(name):
    """The layer is affine in x, so the second derivative of its square is twice its adjoint after its linear part."""
    layer, x = made(name)
    y, tangent = mx.jvp(layer, [x], [x])
    bias = layer.get("bias", mx.array(0.0))
    assert mx.array_equal(tangent[0], y[0] - bias)  # affine in x
    direction = whole_numbers(9, x.shape)
    slope = lambda x: (mx.grad(lambda x: (layer(x) ** 2).sum())(x) * direction).sum()  # noqa: E731
    linear = type(layer).from_canonical(layer.spec, *layer.canonical())(direction) - bias
    dx, _, _ = reference.vjp(layer.spec, numpy(x), numpy(layer.weight), 2 * numpy(linear))
    assert np.array_equal(numpy(mx.grad(slope)(x)), dx)


@pytest.mark.parametrize("name", LAYERS)
def test_exported_function_needs_nothing_of_this_package(name, tmp_path):
    layer, x = made(name)
    mx.export_function(str(tmp_path / "layer.mlxfn"), layer, x)
    (y,) = mx.import_function(str(tmp_path / "layer.mlxfn"))(x)
    assert np.array_equal(numpy(y), want(layer, x))


def test_mixed_types_promote_as_in_mlx():
    layer, x = made("2d")
    assert layer(x.astype(mx.float16)).dtype == nn.Conv2d(4, 2, 3)(x.astype(mx.float16)).dtype == mx.float32
    layer.set_dtype(mx.float16)
    assert layer(x.astype(mx.float16)).dtype == mx.float16


@pytest.mark.parametrize("name", LAYERS)
def test_saved_weights_travel(name, tmp_path):
    """Into a model of its own, under the names that MLX gives."""
    layer, x = made(name)
    nn.Sequential(layer, nn.ReLU()).save_weights(str(tmp_path / "model.safetensors"))
    cls, arguments, settings, _ = LAYERS[name]
    fresh = nn.Sequential(cls(*arguments, **settings), nn.ReLU())
    assert not mx.array_equal(fresh(x), nn.relu(layer(x)))
    fresh.load_weights(str(tmp_path / "model.safetensors"))
    assert mx.array_equal(fresh(x), nn.relu(layer(x)))
    stored = mx.load(str(tmp_path / "model.safetensors"))
    shapes = {"layers.0.weight": layer.spec.weight_shape, "layers.0.bias": layer.spec.bias_shape}
    assert {key: held.shape for key, held in stored.items()} == {key: shape for key, shape in shapes.items() if shape}


def test_weights_that_do_not_fit_are_refused(tmp_path):
    layer, _ = made("2d")
    other = LocallyConnected2d(4, 6, (7, 5), (3, 2), groups=2, padding="same_upper")
    layer.save_weights(str(tmp_path / "layer.safetensors"))
    with pytest.raises(ValueError, match="shape"):
        other.load_weights(str(tmp_path / "layer.safetensors"))


@pytest.mark.parametrize("name", LAYERS)
def test_canonical_weights_in_and_out(name):
    layer, x = made(name)
    weight, bias = map(numpy, layer.canonical())
    twin = type(layer).from_canonical(layer.spec, weight, bias)
    assert mx.array_equal(twin(x), layer(x))
    assert repr(twin) == repr(layer)
    weight[...] = 0
    assert mx.array_equal(twin(x), layer(x))


def test_weights_of_float64_stay_so():
    spec = lcl.Spec(input_size=4, in_channels=1, out_channels=1, kernel_size=2, bias="none")
    layer = LocallyConnected1d.from_canonical(spec, np.full(spec.weight_shape, 2.0**24 + 1))
    with mx.stream(mx.cpu):
        y = layer(mx.array(np.ones(spec.x_shape(1)), dtype=mx.float64))
        assert np.array_equal(numpy(y), np.full(spec.y_shape(1), 2.0**25 + 2))


def test_one_step_of_training_goes_where_the_gradient_says():
    layer, x = made("2d")
    weight, bias = map(numpy, layer.canonical())
    y = want(layer, x)
    target = whole_numbers(5, y.shape)
    _, dw, db = reference.vjp(layer.spec, numpy(x), weight, y - numpy(target))
    model = nn.Sequential(layer)
    _, grads = nn.value_and_grad(model, lambda x: nn.losses.mse_loss(model(x), target, reduction="sum") / 2)(x)
    optim.SGD(1.0).update(model, grads)
    assert np.array_equal(numpy(layer.weight), weight - dw)
    assert np.array_equal(numpy(layer.bias), bias - db)


def test_freezing_and_the_tree_of_parameters():
    layer, _ = made("2d")
    assert [name for name, _ in tree_flatten(layer.parameters())] == ["weight", "bias"]
    assert layer.freeze(keys="bias").trainable_parameters().keys() == {"weight"}
    assert LocallyConnected2d(2, 3, 5, 2, bias=False).parameters().keys() == {"weight"}


def test_initial_weights_are_bounded_by_the_inputs_one_output_sums():
    mx.random.seed(0)
    layer, blocks = LocallyConnected2d(3, 4, 20, 5), BlockLinear(400, 600, 4)
    for held, fan_in in ((layer.weight, 3 * 5 * 5), (blocks.weight, 100), (blocks.bias, 100)):
        largest, bound = abs(held).max().item(), fan_in**-0.5
        assert 0.99 * bound < largest <= np.nextafter(np.float32(bound), np.float32(1))
    assert not layer.bias.any().item()


def test_repr_reads_like_mlx():
    assert repr(LocallyConnected2d(4, 6, (7, 6), 3, stride=2, padding=1)) == (
        "LocallyConnected2d(4, 6, input_size=(7, 6), kernel_size=(3, 3), stride=(2, 2), padding=((1, 1), (1, 1)), "
        "dilation=(1, 1), groups=1, bias='position')"
    )
    assert repr(LocallyConnected1d(2, 3, 6, 2, shared=True)).endswith("bias='position', shared=(True,))")
    assert repr(BlockLinear(6, 9, 3, bias=False)) == "BlockLinear(input_dims=6, output_dims=9, groups=3, bias=False)"


def test_linear_layers_take_any_number_of_leading_axes():
    layer, x = made("block")
    more = mx.broadcast_to(x, (3, 4, *x.shape))
    assert mx.array_equal(layer(more), mx.broadcast_to(layer(x), (3, 4, 2, 9)))
    assert mx.array_equal(layer(x[0]), layer(x)[0])


def test_errors_say_what_was_expected():
    with pytest.raises(lcl.SpecError, match="output"):
        LocallyConnected1d(2, 3, 4, 5)
    with pytest.raises(lcl.SpecError, match="groups"):
        BlockLinear(7, 9, 3)
    with pytest.raises(lcl.SpecError, match="2 spatial axes"):
        LocallyConnected2d(2, 3, (4, 4, 4), 2)
    layer, x = made("2d")
    with pytest.raises(lcl.ShapeError, match=r"shape \(2, 6, 7, 4\).*\(n, 7, 6, 4\)"):
        layer(x.transpose(0, 2, 1, 3))
    with pytest.raises(lcl.ShapeError, match=r"\(\*, 6\)"):
        made("block")[0](mx.zeros((2, 5)))
    with pytest.raises(lcl.ShapeError, match=r"\(1, 2\)"):
        LocallyConnected2d.from_canonical(layer.spec, mx.zeros((1, 2)))
