"""The laws: which systems compute the same, through which map of their tensors. Data only; `lcl laws` prints them.

Two systems that take the same layer are equal once both conform to its golden data. What stands here says more: the
layers differ, and a map carries the tensors of the one to those of the other.
"""

from __future__ import annotations

import math

from lcl_ref.core.spec import Spec
from lcl_ref.suite.identities import maps
from lcl_ref.suite.identities.identity import Law
from lcl_ref.suite.identities.maps import Maps


def changed(spec: Spec, **fields: object) -> Spec:
    """Return the layer with some fields set anew."""
    return Spec.from_dict(spec.to_dict() | fields)


FIGURE = Spec(input_size=(), in_channels=4, out_channels=6, kernel_size=(), groups=2)
TILES = Spec(input_size=12, in_channels=2, out_channels=5, kernel_size=3, stride=3)
IMAGE_TILES = Spec(input_size=(6, 8), in_channels=3, out_channels=5, kernel_size=(3, 2), stride=(3, 2))
OVERLAPPING = Spec(input_size=(9, 8), in_channels=3, out_channels=5, kernel_size=(3, 4), stride=2)
SHARED = Spec(input_size=12, in_channels=1, out_channels=5, kernel_size=3, stride=3, shared=True, bias="channel")
CONV = Spec(input_size=(7, 6), in_channels=3, out_channels=5, kernel_size=(3, 2), shared=True, bias="channel")
GROUPED = changed(CONV, in_channels=6, out_channels=4, groups=2)
FORMULA = changed(CONV, in_channels=12, out_channels=4, groups=4)
DEALT = [[0, 2, 4], [0, 2, 4], [1, 3, 5], [1, 3, 5]]
BOTH = changed(OVERLAPPING, in_channels=6, out_channels=4, groups=2)  # local in space and in channels


def as_groups(spec: Spec) -> Spec:
    """Return the block-diagonal map whose blocks are the positions of a layer with windows side by side."""
    count = math.prod(spec.output_size)
    inputs, outputs = count * spec.fan_in, count * spec.out_channels
    return Spec(input_size=(), kernel_size=(), in_channels=inputs, out_channels=outputs, groups=count)


_TO_GROUPS = Maps(x=maps.reshaped_x, weight=maps.positions_to_groups, bias=maps.positions_to_bias, y=maps.reshaped_y)
_TO_POSITIONS = Maps(x=maps.reshaped_x, weight=maps.groups_to_positions, bias=maps.positions_to_bias, y=maps.reshaped_y)
_REPEATED = Maps(weight=maps.repeated_weight)
_ZEROS = Maps(weight=maps.groups_to_zeros)

LAWS: tuple[Law, ...] = (
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
        says="the shared layer is a loop with one weight in every block",
        left="torch.tied_conv",
        right="torch.loop",
        spec=SHARED,
        right_spec=as_groups(SHARED),
        maps=_TO_GROUPS,
    ),
    Law(
        id="tied/kernel-one",
        says="the shared layer is a convolution of kernel size 1, blocks its sites and a block's inputs its channels",
        left="torch.tied_conv",
        right="torch.conv",
        spec=SHARED,
        right_spec=Spec(input_size=4, in_channels=3, out_channels=5, kernel_size=1, shared=True, bias="channel"),
        maps=Maps(x=maps.reshaped_x, weight=maps.reshaped_weight),
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
    Law(
        id="tiles-2d/tied",
        says="a convolution with stride = kernel is the einsum with one weight in every window",
        left="torch.conv",
        right="mlx.einsum",
        spec=changed(IMAGE_TILES, shared=True, bias="channel"),
        right_spec=changed(IMAGE_TILES, bias="channel"),
        maps=_REPEATED,
    ),
    Law(
        id="overlap/tied",
        says="a convolution of stride 2 is the layer with one weight in every position",
        left="torch.conv",
        right="mlx.windows",
        spec=changed(OVERLAPPING, shared=True, bias="channel"),
        right_spec=changed(OVERLAPPING, bias="channel"),
        maps=_REPEATED,
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
