"""The laws: which systems compute the same, through which map of their tensors. Data only; `lcl laws` prints them."""

from __future__ import annotations

import math
from collections.abc import Iterator

from lcl_ref.core.spec import Spec
from lcl_ref.suite.identities import maps
from lcl_ref.suite.identities.identity import Law
from lcl_ref.suite.identities.maps import Maps


def changed(spec: Spec, **fields: object) -> Spec:
    """Return the layer with some fields set anew."""
    return Spec.from_dict(spec.to_dict() | fields)


BLOCKS = Spec(input_size=(), in_channels=12, out_channels=20, kernel_size=(), groups=4)
FIGURE = Spec(input_size=(), in_channels=4, out_channels=6, kernel_size=(), groups=2)
TILES = Spec(input_size=12, in_channels=2, out_channels=5, kernel_size=3, stride=3)
IMAGE_TILES = Spec(input_size=(6, 8), in_channels=3, out_channels=5, kernel_size=(3, 2), stride=(3, 2))
OVERLAPPING = Spec(input_size=(9, 8), in_channels=3, out_channels=5, kernel_size=(3, 4), stride=2)
TIED = Spec(input_size=12, in_channels=1, out_channels=5, kernel_size=3, stride=3, shared=True, bias="channel")
DENSE = Spec(input_size=(4, 6), in_channels=3, out_channels=5, kernel_size=(4, 6), bias="channel")
CONV = Spec(input_size=(7, 6), in_channels=3, out_channels=5, kernel_size=(3, 2), shared=True, bias="channel")
GROUPED = changed(CONV, in_channels=6, out_channels=4, groups=2)
FORMULA = changed(CONV, in_channels=12, out_channels=4, groups=4)
DEPTHWISE = changed(CONV, in_channels=4, out_channels=4, groups=4)
WINDOWS = [[0, 1, 2], [2, 3, 4], [3, 4, 5], [5, 0, 1], [1, 3, 5]]
DEALT = [[0, 2, 4], [0, 2, 4], [1, 3, 5], [1, 3, 5]]
OVERLAPPING_CHANNELS = changed(CONV, in_channels=6, out_channels=5, channel_table=WINDOWS)
BOTH = changed(OVERLAPPING, in_channels=6, out_channels=4, groups=2)  # local in space and in channels


def as_groups(spec: Spec) -> Spec:
    """Return the block-diagonal map whose blocks are the positions of a layer with windows side by side."""
    count = math.prod(spec.output_size)
    inputs, outputs = count * spec.fan_in, count * spec.out_channels
    return Spec(input_size=(), kernel_size=(), in_channels=inputs, out_channels=outputs, groups=count)


def _equal(topic: str, spec: Spec, left: str, rights: dict[str, str]) -> Iterator[Law]:
    """Yield laws between one system and others on the same layer."""
    for right, says in rights.items():
        name = right.replace(".", "-").replace("_", "-")
        yield Law(id=f"{topic}/{name}", says=says, left=left, right=right, spec=spec)


_TO_GROUPS = Maps(x=maps.reshaped_x, weight=maps.positions_to_groups, bias=maps.positions_to_bias, y=maps.reshaped_y)
_TO_POSITIONS = Maps(x=maps.reshaped_x, weight=maps.groups_to_positions, bias=maps.positions_to_bias, y=maps.reshaped_y)
_UNTIED = Maps(weight=maps.repeated_weight)
_ZEROS = Maps(weight=maps.groups_to_zeros)

LAWS: tuple[Law, ...] = (
    *_equal(
        "blocks",
        BLOCKS,
        "torch.loop",
        {
            "torch.masked": "a loop of Linear is one masked Linear",
            "torch.grouped_conv": "a loop of Linear is a grouped convolution of kernel size 1",
            "torch.unfold": "a loop of Linear is one batched matrix product",
            "torch.vmap": "a loop of Linear is one Linear mapped over blocks",
            "torch.two_grouped_convs": "two grouped convolutions with the same groups are one",
            "jax.grouped_conv": "a loop of Linear is a convolution with feature_group_count",
            "flax.vmap_dense": "a loop of Linear is Dense mapped over blocks",
            "keras3.grouped_conv": "a loop of Linear is Conv1D of Keras with groups",
            "mlx.einsum": "a loop of Linear is an einsum of MLX",
            "numpy.loop": "a loop of Linear is the formula",
        },
    ),
    Law(
        id="blocks/mlx-grouped-conv",
        says="a loop of Linear is a grouped convolution of MLX, which computes float32 only",
        left="torch.loop",
        right="mlx.grouped_conv",
        spec=BLOCKS,
        dtypes=("float32",),
    ),
    Law(
        id="figure/one-channel",
        says="two blocks of 2 -> 3 are the 1-D layer on four elements of one channel, windows of two",
        left="torch.masked",
        right="mlx.reshape",
        spec=FIGURE,
        right_spec=Spec(input_size=4, in_channels=1, out_channels=3, kernel_size=2, stride=2),
        maps=_TO_POSITIONS,
    ),
    Law(
        id="figure/two-channels",
        says="two blocks of 2 -> 3 are the 1-D layer on two elements of two channels, windows of one",
        left="torch.masked",
        right="mlx.reshape",
        spec=FIGURE,
        right_spec=Spec(input_size=2, in_channels=2, out_channels=3, kernel_size=1),
        maps=_TO_POSITIONS,
    ),
    Law(
        id="tied/loop",
        says="the tied layer is a loop with one weight in every block",
        left="torch.tied_conv",
        right="torch.loop",
        spec=TIED,
        right_spec=as_groups(TIED),
        maps=_TO_GROUPS,
    ),
    *_equal(
        "tied",
        TIED,
        "torch.tied_conv",
        {
            "torch.tied_linear": "the tied layer is one Linear on the reshaped input",
            "torch.tied_conv.interleaved": "perfect shuffles around the interleaved layer give the tied one",
        },
    ),
    Law(
        id="tied/kernel-one",
        says="the tied layer is a convolution of kernel size 1 with blocks for sites and a block's inputs for channels",
        left="torch.tied_conv",
        right="torch.conv",
        spec=TIED,
        right_spec=Spec(input_size=4, in_channels=3, out_channels=5, kernel_size=1, shared=True, bias="channel"),
        maps=Maps(x=maps.reshaped_x, weight=maps.reshaped_weight),
    ),
    *_equal(
        "tiles-1d",
        TILES,
        "mlx.reshape",
        {
            "mlx.windows": "the reshaped 1-D layer is the general one with stride = kernel",
            "torch.unfold": "the reshaped 1-D layer is unfold and a batched product",
            "torch.grouped_conv": "the reshaped 1-D layer is unfold and a grouped convolution",
        },
    ),
    Law(
        id="tiles-1d/loop",
        says="the reshaped 1-D layer is a loop of Linear, one per window, on windows of taps times channels",
        left="mlx.reshape",
        right="torch.loop",
        spec=TILES,
        right_spec=as_groups(TILES),
        maps=_TO_GROUPS,
    ),
    *_equal(
        "tiles-2d",
        IMAGE_TILES,
        "mlx.einsum",
        {
            "mlx.reshape": "the einsum is a reshape and a product",
            "torch.grouped_conv": "the einsum is unfold and a grouped convolution",
            "torch.masked": "the einsum is a masked dense layer",
        },
    ),
    Law(
        id="tiles-2d/tied",
        says="a convolution with stride = kernel is the einsum with one weight in every window",
        left="torch.conv",
        right="mlx.einsum",
        spec=changed(IMAGE_TILES, shared=True, bias="channel"),
        right_spec=changed(IMAGE_TILES, bias="channel"),
        maps=_UNTIED,
    ),
    *_equal(
        "dense",
        DENSE,
        "numpy.loop",
        {
            "torch.linear": "kernel = input is Linear on the flattened image, columns (tap, channel)",
            "torch.linear.channels_first": "or, channels first, with columns (channel, tap)",
            "torch.twodfc": "TwoDFC is the layer whose window is the image",
        },
    ),
    Law(
        id="dense/twodfc-linear",
        says="TwoDFC is Linear on the flattened image: Linear.weight[o, h*W + w] = weight[0, h, w, o]",
        left="torch.twodfc",
        right="torch.linear",
        spec=changed(DENSE, in_channels=1),
    ),
    Law(
        id="dense/twodfc-linear-no-bias",
        says="the first version of TwoDFC is Linear without a bias",
        left="torch.twodfc",
        right="torch.linear",
        spec=changed(DENSE, in_channels=1, bias="none"),
    ),
    *_equal(
        "overlap",
        OVERLAPPING,
        "mlx.windows",
        {
            "torch.shift_add": "strided windows are shift and add",
            "torch.masked": "strided windows are a masked dense layer",
            "torch.grouped_conv": "strided windows are unfold and a grouped convolution",
            "jax.local": "strided windows are conv_general_dilated_local",
            "flax.conv_local": "strided windows are ConvLocal, kernels (channel, tap)",
        },
    ),
    *_equal(
        "keras",
        OVERLAPPING,
        "numpy.loop",
        {
            f"keras.local{number}{order}": f"LocallyConnected2D, implementation {number}, is the formula{words}"
            for number in (1, 2, 3)
            for order, words in (("", ""), (".channels_first", ", channels first"))
        },
    ),
    Law(
        id="overlap/tied",
        says="a convolution of stride 2 is the layer with one weight in every position",
        left="torch.conv",
        right="mlx.windows",
        spec=changed(OVERLAPPING, shared=True, bias="channel"),
        right_spec=changed(OVERLAPPING, bias="channel"),
        maps=_UNTIED,
    ),
    *(
        Law(id=f"channels/{name}", says=says, left="numpy.channel_loop", right="torch.conv", spec=spec)
        for name, says, spec in (
            ("formula", "c*G + g is a convolution with groups = out_channels", FORMULA),
            ("groups", "(c // (O/g)) * (I/g) + j is a convolution with any groups", GROUPED),
            ("depthwise", "with one channel per output it is the depthwise convolution", DEPTHWISE),
            ("table", "overlapping windows of channels are a gather and a grouped convolution", OVERLAPPING_CHANNELS),
        )
    ),
    *_equal(
        "formula",
        FORMULA,
        "numpy.channel_loop",
        {
            "jax.patches": "c*G + g is patches and a product in JAX",
            "keras3.patches": "c*G + g is patches and a product in Keras",
            "mlx.windows": "c*G + g is strided windows in MLX",
        },
    ),
    Law(
        id="channels/shuffle",
        says="a table that deals channels to the outputs is a channel shuffle and a grouped convolution",
        left="numpy.channel_loop",
        right="torch.conv",
        spec=changed(GROUPED, groups=1, channel_table=DEALT),
        right_spec=GROUPED,
        maps=Maps(x=maps.shuffled_channels),
    ),
    Law(
        id="channels/masked",
        says="the channel-local convolution is a convolution with zeros for the channels not read",
        left="torch.conv",
        right="jax.patches",
        spec=FORMULA,
        right_spec=changed(FORMULA, groups=1),
        maps=_ZEROS,
    ),
    Law(
        id="channels/batch-in-groups",
        says="the batch moved into the groups is the grouped convolution",
        left="torch.conv",
        right="torch.batch_in_groups",
        spec=GROUPED,
    ),
    Law(
        id="channels/both-localities",
        says="local in space and in channels is local in space with zeros for the channels not read",
        left="jax.local",
        right="torch.unfold",
        spec=BOTH,
        right_spec=changed(BOTH, groups=1),
        maps=_ZEROS,
    ),
)
"""In the order of the table that `lcl laws` prints."""
