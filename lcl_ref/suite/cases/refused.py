"""What must be refused: layers that cannot exist, and arrays that do not fit a good layer.

Each entry changes one thing of `LAYER`, or one shape of `ARRAYS`, and names the rule that the error must carry.
"""

from __future__ import annotations

from typing import Any

from lcl_ref.suite.cases.case import Refusal

LAYER: dict[str, Any] = {
    "input_size": (8, 6),
    "in_channels": 4,
    "out_channels": 10,
    "kernel_size": (3, 2),
}
"""A good layer: 6 by 5 positions."""

ARRAYS: dict[str, tuple[int, ...] | None] = {
    "x": (2, 8, 6, 4),
    "weight": (6, 5, 3, 2, 4, 10),
    "bias": (6, 5, 10),
}
"""Shapes that fit `LAYER`."""


def _layer(refusal_id: str, rule: str, why: str, clauses: str, **changes: Any) -> Refusal:
    """Return a layer that must be refused: `LAYER` with `changes`."""
    return Refusal(id=refusal_id, rule=rule, why=why, clauses=tuple(clauses.split()), arguments=LAYER | changes)


def _arrays(
    refusal_id: str, rule: str, why: str, clauses: str, layer: dict[str, Any] | None = None, **changes: Any
) -> Refusal:
    """Return arrays that must be refused: `ARRAYS` with `changes`, for `LAYER` changed by `layer`."""
    return Refusal(
        id=refusal_id,
        rule=rule,
        why=why,
        clauses=tuple(clauses.split()),
        arguments=LAYER | (layer or {}),
        arrays=ARRAYS | changes,
    )


SIZES: tuple[Refusal, ...] = (
    _layer(
        "refused/size/input-zero",
        "input_size/at-least-1",
        "an axis of no elements has no window to place",
        "10.3",
        input_size=(8, 0),
    ),
    _layer(
        "refused/size/input-negative",
        "input_size/at-least-1",
        "a wrapped-around or unknown size (-1) would be taken as one",
        "10.3",
        input_size=(-1, 6),
    ),
    _layer(
        "refused/size/in-channels-zero",
        "in_channels/at-least-1",
        "every output would be an empty sum",
        "10.3",
        in_channels=0,
    ),
    _layer(
        "refused/size/in-channels-negative",
        "in_channels/at-least-1",
        "a count cannot be negative, though it may divide the groups",
        "10.3",
        in_channels=-4,
    ),
    _layer(
        "refused/size/out-channels-zero",
        "out_channels/at-least-1",
        "the layer would have no outputs and no weights",
        "10.3",
        out_channels=0,
    ),
    _layer(
        "refused/size/out-channels-negative",
        "out_channels/at-least-1",
        "a count cannot be negative, though it may divide the groups",
        "10.3",
        out_channels=-10,
    ),
    _layer(
        "refused/size/kernel-zero",
        "kernel_size/at-least-1",
        "a window of no taps would give one position too many",
        "10.3",
        kernel_size=(0, 2),
    ),
    _layer(
        "refused/size/kernel-negative",
        "kernel_size/at-least-1",
        "the output formula gives a size even then",
        "10.3",
        kernel_size=(3, -2),
    ),
    _layer(
        "refused/size/stride-zero",
        "stride/at-least-1",
        "all positions would be the first one, and the output formula divides by it",
        "10.3",
        stride=0,
    ),
    _layer(
        "refused/size/stride-negative",
        "stride/at-least-1",
        "windows would walk out of the input",
        "10.3",
        stride=(1, -1),
    ),
    _layer(
        "refused/size/dilation-zero",
        "dilation/at-least-1",
        "all taps would read one element",
        "10.3",
        dilation=(0, 1),
    ),
    _layer(
        "refused/size/dilation-negative",
        "dilation/at-least-1",
        "taps would be flipped",
        "10.3",
        dilation=-2,
    ),
    _layer(
        "refused/size/groups-zero",
        "groups/at-least-1",
        "channel counts would be divided by zero",
        "10.3",
        groups=0,
    ),
    _layer(
        "refused/size/groups-negative",
        "groups/at-least-1",
        "a negative number divides both channel counts as well",
        "10.3",
        groups=-2,
    ),
)

TYPES: tuple[Refusal, ...] = (
    _layer(
        "refused/type/in-channels-bool",
        "in_channels/integer",
        "True counts as 1 in Python",
        "10.2",
        in_channels=True,
    ),
    _layer(
        "refused/type/in-channels-string",
        "in_channels/integer",
        "a size read from a text file was not converted",
        "10.2",
        in_channels="4",
    ),
    _layer(
        "refused/type/out-channels-none",
        "out_channels/integer",
        "a size that a caller forgot to work out",
        "10.2",
        out_channels=None,
    ),
    _layer(
        "refused/type/input-float",
        "input_size/integer",
        "a size divided with / is a float, whole or not",
        "10.2",
        input_size=(8.0, 6),
    ),
    _layer(
        "refused/type/kernel-bool",
        "kernel_size/integer",
        "a flag slipped into the place of a size",
        "10.2",
        kernel_size=(3, True),
    ),
    _layer(
        "refused/type/kernel-string",
        "kernel_size/integer",
        "a string is no sequence of sizes",
        "10.2",
        kernel_size="32",
    ),
    _layer(
        "refused/type/stride-float",
        "stride/integer",
        "2.0 would be truncated by some frameworks and refused by others",
        "10.2",
        stride=2.0,
    ),
    _layer(
        "refused/type/dilation-float",
        "dilation/integer",
        "a fraction of an element is no site",
        "10.2",
        dilation=(1, 1.5),
    ),
    _layer(
        "refused/type/groups-bool",
        "groups/integer",
        "grouped=True is another argument of another library",
        "10.2",
        groups=True,
    ),
    _layer(
        "refused/type/padding-float",
        "padding/integer",
        "(kernel - 1) / 2 of an even kernel is a fraction",
        "10.2 10.5",
        padding=0.5,
    ),
    _layer(
        "refused/type/padding-bool",
        "padding/integer",
        "True counts as 1 in Python",
        "10.2 10.5",
        padding=((True, 0), 1),
    ),
)

LENGTHS: tuple[Refusal, ...] = (
    _layer(
        "refused/length/rank-four",
        "input_size/rank",
        "a batch or channel axis was counted among the spatial ones",
        "10.4",
        input_size=(2, 8, 6, 4),
        kernel_size=2,
    ),
    _layer(
        "refused/length/kernel",
        "kernel_size/length",
        "a kernel of another rank than the input",
        "10.4",
        kernel_size=(3, 2, 1),
    ),
    _layer(
        "refused/length/kernel-empty",
        "kernel_size/length",
        "no entry would silently mean no axis",
        "10.4",
        kernel_size=(),
    ),
    _layer(
        "refused/length/stride",
        "stride/length",
        "one entry in a tuple is not one for every axis",
        "10.4",
        stride=(2,),
    ),
    _layer(
        "refused/length/dilation",
        "dilation/length",
        "a dilation of another rank than the input",
        "10.4",
        dilation=(1, 2, 1),
    ),
    _layer(
        "refused/length/padding",
        "padding/length",
        "(top, bottom, left, right) is written ((top, bottom), (left, right)) here",
        "10.4 10.5",
        padding=(1, 1, 0, 2),
    ),
    _layer(
        "refused/length/padding-one-axis",
        "padding/length",
        "at rank 1 a bare pair would be read as one entry for each of two axes",
        "10.4 10.5",
        input_size=8,
        kernel_size=3,
        padding=(1, 2),
    ),
    _layer(
        "refused/length/shared",
        "shared/length",
        "sharing flags of another rank than the input",
        "10.4",
        shared=(True, False, False),
    ),
    _layer(
        "refused/length/rank-zero-kernel",
        "kernel_size/length",
        "a layer without spatial axes has no window",
        "10.4",
        input_size=(),
        kernel_size=(3, 2),
    ),
)

PADDING: tuple[Refusal, ...] = (
    _layer(
        "refused/padding/same",
        "padding/name",
        "three rules carry this name: same_upper, same_lower and same_keras_local",
        "10.5 2.2",
        padding="same",
    ),
    _layer(
        "refused/padding/same-upper-case",
        "padding/name",
        "the same ambiguity in the spelling of TensorFlow and JAX",
        "10.5 2.2",
        padding="SAME",
    ),
    _layer(
        "refused/padding/full",
        "padding/name",
        "a name of SciPy and Theano that has no rule here",
        "10.5",
        padding="full",
    ),
    _layer(
        "refused/padding/misspelt",
        "padding/name",
        "names are exact; the nearest one is offered",
        "10.5",
        padding=("valid", "same_uper"),
    ),
    _layer(
        "refused/padding/negative",
        "padding/at-least-0",
        "negative padding crops the input, which no clause defines",
        "10.5 2.1",
        padding=-1,
    ),
    _layer(
        "refused/padding/negative-side",
        "padding/at-least-0",
        "one side cropped, one side padded",
        "10.5 2.1",
        padding=((2, -1), 0),
    ),
    _layer(
        "refused/padding/triple",
        "padding/pair",
        "interior padding is dilation of the input, which no clause defines",
        "10.5 2.1",
        padding=((1, 1, 0), (1, 1, 0)),
    ),
    _layer(
        "refused/padding/single",
        "padding/pair",
        "one entry per axis is an int, a name or a pair, not a list of one",
        "10.5 2.1",
        padding=((1,), (2,)),
    ),
    _layer(
        "refused/padding/none",
        "padding/integer",
        "no padding is written valid or 0",
        "10.5",
        padding=None,
    ),
)

WINDOWS: tuple[Refusal, ...] = (
    _layer(
        "refused/window/first-axis",
        "output_size/positive",
        "the window is one element taller than the input",
        "1.3 10.6",
        kernel_size=(9, 2),
    ),
    _layer(
        "refused/window/last-axis",
        "output_size/positive",
        "the window is wider than the input, though it would fit the other axis",
        "1.3 10.6",
        kernel_size=(2, 7),
    ),
    _layer(
        "refused/window/dilated",
        "output_size/positive",
        "the kernel fits, its dilated extent does not: 4*(3 - 1) + 1 = 9",
        "1.3 10.6 1.6",
        dilation=(4, 1),
    ),
    _layer(
        "refused/window/padded",
        "output_size/positive",
        "the padding is one element short",
        "1.3 10.6",
        kernel_size=(3, 10),
        padding=((0, 0), (2, 1)),
    ),
    _layer(
        "refused/window/strided",
        "output_size/positive",
        "rounding towards zero instead of down would let this through: (6 - 8) / 3 + 1 is 1",
        "1.3 10.6 1.2",
        kernel_size=(3, 8),
        stride=3,
    ),
    _layer(
        "refused/window/rank-one",
        "output_size/positive",
        "the window is longer than the input",
        "1.3 10.6",
        input_size=5,
        kernel_size=6,
    ),
)

CHANNELS: tuple[Refusal, ...] = (
    _layer(
        "refused/groups/in-channels",
        "in_channels/divisible",
        "the last group would get fewer input channels",
        "4.2 10.7",
        groups=5,
    ),
    _layer(
        "refused/groups/out-channels",
        "out_channels/divisible",
        "the last group would get fewer output channels",
        "4.2 10.7",
        groups=4,
    ),
    _layer(
        "refused/groups/both",
        "in_channels/divisible",
        "both counts are at fault, and both are reported",
        "4.2 10.7 10.1",
        groups=3,
    ),
    _layer(
        "refused/groups/too-many",
        "in_channels/divisible",
        "more groups than input channels: a group would see none",
        "4.2 10.7",
        groups=10,
    ),
    _layer(
        "refused/table/flat",
        "channel_table/rows",
        "one list for all outputs is no table",
        "4.3 10.8",
        channel_table=(0, 1, 2, 3),
    ),
    _layer(
        "refused/table/too-few-rows",
        "channel_table/shape",
        "some outputs would have no connections",
        "4.3 10.8",
        channel_table=((0, 1),) * 9,
    ),
    _layer(
        "refused/table/ragged",
        "channel_table/shape",
        "unequal rows do not fit one weight array",
        "4.3 10.8",
        channel_table=((0, 1),) * 9 + ((0, 1, 2),),
    ),
    _layer(
        "refused/table/empty-rows",
        "channel_table/shape",
        "outputs without inputs",
        "4.3 10.8",
        channel_table=((),) * 10,
    ),
    _layer(
        "refused/table/out-of-range",
        "channel_table/range",
        "channel 4 of 4, numbered from 0",
        "4.3 10.8",
        channel_table=((0, 1),) * 9 + ((3, 4),),
    ),
    _layer(
        "refused/table/negative",
        "channel_table/at-least-0",
        "-1 would index from the end",
        "4.3 10.8",
        channel_table=((0, 1),) * 9 + ((-1, 2),),
    ),
    _layer(
        "refused/table/repeat",
        "channel_table/repeat",
        "two weights of one channel: their sum is all that matters, and a scatter keeps only one",
        "4.3 10.8",
        channel_table=((0, 1),) * 9 + ((2, 2),),
    ),
    _layer(
        "refused/table/bool",
        "channel_table/integer",
        "a mask of channels is no list of channels",
        "4.3 10.8 10.2",
        channel_table=((0, 1),) * 9 + ((True, False),),
    ),
    _layer(
        "refused/table/beside-groups",
        "channel_table/groups",
        "two rules for the same channels",
        "4.3 10.8",
        groups=2,
        channel_table=((0, 1),) * 10,
    ),
)

KINDS: tuple[Refusal, ...] = (
    _layer(
        "refused/bias/unknown",
        "bias/name",
        "tied and untied are words of another library",
        "10.9 3.3",
        bias="untied",
    ),
    _layer(
        "refused/bias/bool",
        "bias/name",
        "use_bias=True does not say which of the two kinds",
        "10.9 3.3",
        bias=True,
    ),
    _layer(
        "refused/bias/none-object",
        "bias/name",
        "no bias is written as the word none",
        "10.9 3.3",
        bias=None,
    ),
    _layer(
        "refused/shared/integer",
        "shared/bool",
        "an axis number is no flag",
        "10.9 5.1",
        shared=1,
    ),
    _layer(
        "refused/shared/name",
        "shared/bool",
        "axes are flagged, not named",
        "10.9 5.1",
        shared="y",
    ),
    _layer(
        "refused/shared/mixed",
        "shared/bool",
        "0 in the place of False hides that an axis number may be meant",
        "10.9 5.1",
        shared=(True, 0),
    ),
)

SHAPES: tuple[Refusal, ...] = (
    _arrays(
        "refused/arrays/x-channels",
        "x/ci",
        "reading past the channels, or ignoring some",
        "10.10 3.1",
        x=(2, 8, 6, 5),
    ),
    _arrays(
        "refused/arrays/x-height",
        "x/iy",
        "an input of another height has another number of positions",
        "10.10 3.1",
        x=(2, 9, 6, 4),
    ),
    _arrays(
        "refused/arrays/x-area",
        "x/ix",
        "12 by 4 has the area of 8 by 6: a reshape lets it through with windows that wrap around",
        "10.10 3.1",
        x=(2, 12, 4, 4),
    ),
    _arrays(
        "refused/arrays/x-channels-first",
        "x/ci",
        "channels-first data in a channels-last layer",
        "10.10 3.1",
        x=(2, 4, 8, 6),
    ),
    _arrays(
        "refused/arrays/x-unbatched",
        "x/axes",
        "one sample without a batch axis",
        "10.10 3.1 3.4",
        x=(8, 6, 4),
    ),
    _arrays(
        "refused/arrays/x-extra-axis",
        "x/axes",
        "a second batch axis would be broadcast",
        "10.10 3.1 3.4",
        x=(3, 2, 8, 6, 4),
    ),
    _arrays(
        "refused/arrays/x-missing",
        "x/presence",
        "None is no array",
        "10.11",
        x=None,
    ),
    _arrays(
        "refused/arrays/weight-missing",
        "weight/presence",
        "None is no array",
        "10.11",
        weight=None,
    ),
    _arrays(
        "refused/arrays/weight-positions-swapped",
        "weight/oy",
        "positions numbered with the first axis fastest",
        "10.10 3.2",
        weight=(5, 6, 3, 2, 4, 10),
    ),
    _arrays(
        "refused/arrays/weight-taps-swapped",
        "weight/ky",
        "kernel height and width swapped",
        "10.10 3.2",
        weight=(6, 5, 2, 3, 4, 10),
    ),
    _arrays(
        "refused/arrays/weight-channels-swapped",
        "weight/cg",
        "input and output channels swapped",
        "10.10 3.2",
        weight=(6, 5, 3, 2, 10, 4),
    ),
    _arrays(
        "refused/arrays/weight-out-channels",
        "weight/co",
        "fewer output channels than the layer has",
        "10.10 3.2",
        weight=(6, 5, 3, 2, 4, 9),
    ),
    _arrays(
        "refused/arrays/weight-group-channels",
        "weight/cg",
        "a weight for all input channels in a layer of two groups",
        "10.10 4.2",
        layer={"groups": 2},
    ),
    _arrays(
        "refused/arrays/weight-flattened",
        "weight/axes",
        "the three-axis layout (positions, patch, channels) of another library",
        "10.10 3.2",
        weight=(30, 24, 10),
    ),
    _arrays(
        "refused/arrays/weight-not-collapsed",
        "weight/oy",
        "a weight per row in a layer that shares rows: which one would count?",
        "10.10 5.1",
        layer={"shared": (True, False)},
    ),
    _arrays(
        "refused/arrays/weight-collapsed",
        "weight/ox",
        "one weight would be broadcast along an axis that is not shared",
        "10.10 5.1",
        weight=(6, 1, 3, 2, 4, 10),
    ),
    _arrays(
        "refused/arrays/bias-missing",
        "bias/presence",
        "a layer with bias, called without one",
        "10.11 3.3",
        bias=None,
    ),
    _arrays(
        "refused/arrays/bias-one-too-many",
        "bias/presence",
        "a bias that would be ignored",
        "10.11 3.3",
        layer={"bias": "none"},
    ),
    _arrays(
        "refused/arrays/bias-per-channel",
        "bias/axes",
        "a bias per channel would be broadcast over positions",
        "10.11 3.3",
        bias=(10,),
    ),
    _arrays(
        "refused/arrays/bias-per-position",
        "bias/axes",
        "a bias per position in a layer with one per channel",
        "10.11 3.3",
        layer={"bias": "channel"},
    ),
    _arrays(
        "refused/arrays/bias-broadcast",
        "bias/ox",
        "a bias per row would be broadcast along the row",
        "10.11 3.3",
        bias=(6, 1, 10),
    ),
    _arrays(
        "refused/arrays/bias-channels-first",
        "bias/oy",
        "a bias in channels-first order, which has the same number of elements",
        "10.11 3.3",
        bias=(10, 6, 5),
    ),
    _arrays(
        "refused/arrays/dy-batch",
        "dy/n",
        "a cotangent of another batch: one sample would be broadcast",
        "10.10 9.1",
        dy=(1, 6, 5, 10),
    ),
    _arrays(
        "refused/arrays/dy-positions",
        "dy/oy",
        "a cotangent shaped like the input",
        "10.10 9.1",
        dy=(2, 8, 6, 10),
    ),
    _arrays(
        "refused/arrays/dy-channels",
        "dy/co",
        "a cotangent with the channels of the input",
        "10.10 9.1",
        dy=(2, 6, 5, 4),
    ),
)

REFUSALS: tuple[Refusal, ...] = SIZES + TYPES + LENGTHS + PADDING + WINDOWS + CHANNELS + KINDS + SHAPES
