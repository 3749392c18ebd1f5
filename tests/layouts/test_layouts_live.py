"""Layouts against the frameworks themselves: weights converted by the catalogue, the layer run on small integers.

Every product and partial sum is an integer below 2**24, so float32 results are exact in any order of summation.
"""

import numpy as np
import pytest

import lcl_ref as lcl


def integers(shape, seed):
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(np.float32)


def operands(spec, batch=2):
    bias = None if spec.bias == "none" else integers(spec.bias_shape, 2)
    return integers(spec.x_shape(batch), 0), integers(spec.weight_shape, 1), bias


def check(spec, x, weight, bias, y):
    expected = lcl.forward(spec, x, weight, bias)
    assert len(np.unique(expected)) > 10
    np.testing.assert_array_equal(np.asarray(y), expected)


def converted(spec, weight, bias, name):
    return lcl.layouts.convert(spec, weight, bias, source="canonical", target=name)


def channels_first(x):
    """The input as a tensor of torch, channels first."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)))


KERAS = [
    (rank, implementation, end, padding, stride)
    for rank in (1, 2)
    for implementation in (1, 2, 3)
    for end in ("last", "first")
    for padding in ("valid", "same")
    for stride in (1, 2)
    if implementation > 1 or padding == "valid"  # implementation 1 refuses padding same
]


@pytest.mark.parametrize(("rank", "implementation", "end", "padding", "stride"), KERAS)
def test_tf_keras(rank, implementation, end, padding, stride):
    import tf_keras

    sizes = {"input_size": (8, 7)[:rank], "in_channels": 3, "out_channels": 5, "kernel_size": (3, 4)[:rank]}
    spec = lcl.Spec(**sizes, stride=stride, padding="same_keras_local" if padding == "same" else "valid")
    x, weight, bias = operands(spec)
    layer = (tf_keras.layers.LocallyConnected1D, tf_keras.layers.LocallyConnected2D)[rank - 1](
        spec.out_channels, spec.kernel_size, stride, padding, f"channels_{end}", implementation=implementation
    )
    placed = np.moveaxis(x, -1, 1) if end == "first" else x
    layer.build(placed.shape)
    name = f"keras2/impl{implementation}/channels_{end}"
    stored = converted(spec, weight, bias, name)
    assert [array.shape for array in layer.get_weights()] == [array.shape for array in stored]
    layer.set_weights(stored)
    y = np.asarray(layer(placed))
    check(spec, x, weight, bias, np.moveaxis(y, 1, -1) if end == "first" else y)


def local(rank, padding=((1, 0), (2, 1), (0, 3))):
    """A layer of uneven settings; of padding in pairs those of its axes."""
    sizes = {"input_size": (6, 7, 5)[:rank], "kernel_size": (2, 3, 2)[:rank], "in_channels": 2, "out_channels": 4}
    padding = padding if isinstance(padding, str) else padding[:rank]
    return lcl.Spec(**sizes, stride=(2, 1, 2)[:rank], dilation=(1, 2, 1)[:rank], padding=padding)


@pytest.mark.parametrize("padding", ["valid", "same_upper", ((1, 0), (2, 1), (0, 3))])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_flax(rank, padding):
    from flax import linen

    spec = local(rank, padding)
    x, weight, bias = operands(spec)
    settings = {"strides": spec.stride, "kernel_dilation": spec.dilation, "padding": spec.padding}
    layer = linen.ConvLocal(spec.out_channels, spec.kernel_size, **settings)
    kernel, bias_stored = converted(spec, weight, bias, "flax/conv_local")
    check(spec, x, weight, bias, layer.apply({"params": {"kernel": kernel, "bias": bias_stored}}, x))


@pytest.mark.parametrize(
    "rhs_spec", ["WIO", "OIW", "IOW", "HWIO", "OIHW", "WHIO", "OWHI", "IHOW", "DHWIO", "OIDHW", "WIHDO"]
)
def test_jax(rhs_spec):
    import jax

    rank = len(rhs_spec) - 2
    letters, spec = {1: "W", 2: "HW", 3: "DHW"}[rank], local(rank)
    x, weight, bias = operands(spec)
    rhs, bias_stored = converted(spec, weight, bias, f"jax/local/{rhs_spec}")
    order = [letters.index(letter) for letter in rhs_spec if letter in letters]  # its arguments follow rhs_spec
    y = jax.lax.conv_general_dilated_local(
        x,
        rhs,
        [spec.stride[axis] for axis in order],
        [spec.padding[axis] for axis in order],
        [spec.kernel_size[axis] for axis in order],
        rhs_dilation=[spec.dilation[axis] for axis in order],
        dimension_numbers=(f"N{letters}C", rhs_spec, f"N{letters}C"),
    )
    check(spec, x, weight, bias, y + bias_stored)


IMAGE = lcl.Spec(input_size=(6, 8), in_channels=3, out_channels=5, kernel_size=(3, 3), stride=(1, 2))


@pytest.mark.parametrize("bias_kind", ["position", "channel"])
def test_torch_unfold(bias_kind):
    import torch

    spec = lcl.Spec(**{**IMAGE.to_dict(), "kernel_size": (2, 3), "padding": ((1, 1), (2, 2)), "bias": bias_kind})
    x, weight, bias = operands(spec)
    w, b = converted(spec, weight, bias, "torch/unfold")
    nchw = channels_first(x)
    patches = torch.nn.functional.unfold(nchw, spec.kernel_size, padding=(1, 2), stride=spec.stride)
    y = torch.einsum("nfp,cfp->ncp", patches, torch.from_numpy(w)) + torch.from_numpy(b.reshape(len(w), -1))
    check(spec, x, weight, bias, np.moveaxis(y.reshape(2, -1, *spec.output_size).numpy(), 1, -1))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_torch_forum_idiom(rank):
    import torch

    spec = lcl.Spec(input_size=(7, 8, 6)[:rank], in_channels=3, out_channels=5, kernel_size=(3, 2, 3)[:rank], stride=2)
    x, weight, bias = operands(spec)
    w, b = converted(spec, weight, bias, "torch/ptrblck")
    windows = channels_first(x)
    for axis, size in enumerate(spec.kernel_size):
        windows = windows.unfold(2 + axis, size, 2)
    windows = windows.reshape(*windows.shape[:-rank], -1)
    y = (windows.unsqueeze(1) * torch.from_numpy(w)).sum([2, -1]) + torch.from_numpy(b)
    check(spec, x, weight, bias, np.moveaxis(y.numpy(), 1, -1))


def test_mlx_reshape_and_batched_product():
    import mlx.core as mx

    spec = lcl.Spec(input_size=12, in_channels=3, out_channels=5, kernel_size=4, stride=4)
    x, weight, bias = operands(spec)
    w, b = converted(spec, weight, bias, "mlx/issue1881")
    windows = mx.array(x).reshape(2, 3, 1, 12)
    y = (windows @ mx.array(w).swapaxes(-1, -2)).squeeze(2) + mx.array(b)
    check(spec, x, weight, bias, y)


@pytest.mark.parametrize("name", ["torch/linear_list", "torch/bmm", "torch/grouped_conv", "torch/masked_linear"])
@pytest.mark.parametrize("rank", [1, 2])
def test_torch_routes(name, rank):
    import torch

    sizes = {"input_size": (6, 7)[:rank], "kernel_size": (3, 2)[:rank], "stride": (1, 2)[:rank]}
    spec = lcl.Spec(**sizes, in_channels=4, out_channels=6, groups=1 if name == "torch/masked_linear" else 2)
    x, weight, bias = operands(spec)
    w, b = map(torch.from_numpy, converted(spec, weight, bias, name))
    windows = torch.from_numpy(x)  # (n, i*, ci) -> (n, o*, ci, k*) -> (n, p, g, cg, k)
    for axis in range(rank):
        windows = windows.unfold(1 + axis, spec.kernel_size[axis], spec.stride[axis])
    windows = windows.reshape(2, -1, spec.groups, spec.group_channels, int(np.prod(spec.kernel_size)))
    blocks = windows.transpose(-1, -2).flatten(3).flatten(1, 2)  # (n, p*g, k*cg)
    y = {
        "torch/linear_list": lambda: torch.stack(
            [torch.nn.functional.linear(blocks[:, block], w[block], b[block]) for block in range(len(w))], 1
        ),
        "torch/bmm": lambda: torch.bmm(blocks.transpose(0, 1), w).transpose(0, 1) + b,
        "torch/grouped_conv": lambda: torch.nn.functional.conv1d(
            windows.reshape(2, -1, 1), w, b, groups=blocks.shape[1]
        ),
        "torch/masked_linear": lambda: torch.nn.functional.linear(torch.from_numpy(x).flatten(1), w, b),
    }[name]()
    check(spec, x, weight, bias, y.reshape(spec.y_shape(2)).numpy())


def test_mlx_einsum():
    import mlx.core as mx

    spec = lcl.Spec(input_size=(6, 8), in_channels=3, out_channels=5, kernel_size=(3, 2), stride=(3, 2))
    x, weight, bias = operands(spec)
    w, b = converted(spec, weight, bias, "mlx/einsum")
    windows = mx.array(x).reshape(2, 2, 3, 4, 2, 3)
    check(spec, x, weight, bias, mx.einsum("bhmwnc,ohwmnc->bhwo", windows, mx.array(w)) + mx.array(b))


def convolution(rank, groups):
    sizes = {"input_size": (6, 7, 5)[:rank], "kernel_size": (2, 3, 4)[:rank], "stride": (2, 1, 1)[:rank]}
    return lcl.Spec(**sizes, in_channels=4, out_channels=6, shared=True, groups=groups, bias="channel")


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_torch_convolution(rank, groups):
    import torch

    spec = convolution(rank, groups)
    x, weight, bias = operands(spec)
    w, b = converted(spec, weight, bias, "torch/conv")
    function = (torch.nn.functional.conv1d, torch.nn.functional.conv2d, torch.nn.functional.conv3d)[rank - 1]
    ncx = channels_first(x)
    y = function(ncx, torch.from_numpy(w), torch.from_numpy(b), spec.stride, groups=groups)
    check(spec, x, weight, bias, np.moveaxis(y.numpy(), 1, -1))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_fully_connected(rank):
    import torch

    size = (2, 3, 4)[:rank]
    spec = lcl.Spec(input_size=size, kernel_size=size, in_channels=4, out_channels=6, shared=True, bias="channel")
    x, weight, bias = operands(spec)
    image = torch.from_numpy(x)

    def stored(name):
        return map(torch.from_numpy, converted(spec, weight, bias, name))

    w, b = stored("torch/linear")
    flat = torch.nn.functional.linear(image.flatten(1), w, b)
    w, b = stored("torch/linear/channels_first")
    first = torch.nn.functional.linear(image.movedim(-1, 1).flatten(1), w, b)
    w, b = stored("torch/twodfc")
    product = (image[..., None] * w).sum(tuple(range(1, rank + 2))) + b
    for y in (flat, first, product):
        check(spec, x, weight, bias, y.numpy().reshape(spec.y_shape(len(x))))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_flax_convolution(rank, groups):
    from flax import linen

    spec = convolution(rank, groups)
    x, weight, bias = operands(spec)
    kernel, stored = converted(spec, weight, bias, "hwio")
    layer = linen.Conv(6, spec.kernel_size, spec.stride, padding="VALID", feature_group_count=groups)
    check(spec, x, weight, bias, layer.apply({"params": {"kernel": kernel, "bias": stored}}, x))


@pytest.mark.parametrize(("rank", "groups"), [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1)])
def test_mlx_convolution(rank, groups):
    import mlx.core as mx

    spec = convolution(rank, groups)
    x, weight, bias = operands(spec)
    w, b = converted(spec, weight, bias, "mlx/conv")
    function = (mx.conv1d, mx.conv2d, mx.conv3d)[rank - 1]
    stride = spec.stride[0] if rank == 1 else spec.stride
    check(spec, x, weight, bias, function(mx.array(x), mx.array(w), stride, groups=groups) + mx.array(b))


BLOCKS = lcl.Spec(input_size=(), in_channels=12, out_channels=15, kernel_size=(), groups=3)


@pytest.mark.parametrize(
    ("name", "equation"),
    [("block/h_in_out", "nhi,hio->nho"), ("block/h_out_in", "nhi,hoi->nho"), ("notears", "nhi,hio->nho")],
)
def test_block_diagonal_products(name, equation):
    x, weight, bias = operands(BLOCKS)
    w, b = lcl.layouts.convert(BLOCKS, weight, bias, source="canonical", target=name)
    y = np.einsum(equation, x.reshape(2, 3, 4), w)
    y = y + b if b.ndim == 2 else y.reshape(2, 15) + b
    check(BLOCKS, x, weight, bias, y.reshape(2, 15))
