"""Weights read in another order, or shared where they are not (SPEC clauses 1.1, 3.2, 5)."""

from __future__ import annotations

import numpy as np

from lcl_ref.suite.diagnosis.deviations.deviation import Deviation
from lcl_ref.suite.diagnosis.deviations.edits import along, kernel_axes, named, per_axis, planned_move, position_axes
from lcl_ref.suite.diagnosis.deviations.hooks import Array
from lcl_ref.suite.diagnosis.deviations.layer_plan import Plan


def read_as(weight: Array, plan: Plan, order: str) -> Array:
    """Return the weight one gets by taking each block's buffer to be in `order`, slowest axis first.

    `order` lists ``o`` (position axes), ``p`` (these reversed), ``k`` (taps), ``t`` (these reversed), ``c`` and ``f``.
    """
    axes = _axes(plan, order)
    foreign = weight.reshape([weight.shape[axis] for axis in axes])
    return foreign.transpose(np.argsort(axes))


def stored_as(weight: Array, plan: Plan, order: str) -> Array:
    """Return the weight one gets by transposing it to `order` and then taking the buffer to be canonical."""
    return np.ascontiguousarray(weight.transpose(_axes(plan, order))).reshape(weight.shape)


def _axes(plan: Plan, order: str) -> list[int]:
    positions, taps = list(position_axes(plan)), list(kernel_axes(plan))
    numbers = {
        "o": positions,
        "p": positions[::-1],
        "k": taps,
        "t": taps[::-1],
        "c": [2 * plan.rank],
        "f": [2 * plan.rank + 1],
    }
    return [axis for letter in order for axis in numbers[letter]]


def _order(
    identity: str, order: str, sentence: str, stored: str, fix: str, needs: str, known: str = ""
) -> tuple[Deviation, ...]:
    """Return both confusions of `order` with the canonical one: reading the buffer as it, or storing it like that."""
    return (
        Deviation(
            id=identity,
            sentence=sentence,
            clause="3.2",
            fix=fix,
            needs=needs,
            known_in=known,
            edit=planned_move("on_weight", lambda plan, weight: read_as(weight, plan, order)),
        ),
        Deviation(
            id=f"{identity}-stored",
            sentence=stored,
            clause="3.2",
            fix=f"the other way round: {fix}",
            needs=needs,
            edit=planned_move("on_weight", lambda plan, weight: stored_as(weight, plan, order)),
        ),
    )


def _flipped(only: str) -> Deviation:
    return Deviation(
        id=named("taps/flipped", only),
        sentence=f"the taps are flipped {along(only)}: convolution instead of cross-correlation",
        clause="1.1",
        fix="do not reverse the window; or reverse the kernel axes of the weight once, when loading",
        needs="a kernel longer than 1",
        known_in="" if only else "Theano conv2d(unshared=True) and Lasagne LocallyConnected2DLayer, both by default",
        edit=planned_move("on_weight", lambda plan, weight: np.flip(weight, kernel_axes(plan, only))),
    )


def _from_position(which: str, known: str = "") -> Deviation:
    def pick(plan: Plan, weight: Array) -> Array:
        for axis in position_axes(plan):
            at = 0 if which == "first" else weight.shape[axis] // 2
            weight = np.broadcast_to(weight.take([at], axis), weight.shape)
        return weight

    return Deviation(
        id=f"weights/{which}-position",
        sentence=f"every position uses the weights of the {which} one: an ordinary convolution",
        clause="5.1",
        fix="index the weights by position",
        needs="more than one position with weights of its own",
        known_in=known,
        edit=planned_move("on_weight", pick),
    )


def _tied(only: str) -> Deviation:
    def tie(plan: Plan, weight: Array) -> Array:
        for axis in position_axes(plan, only):
            weight = np.broadcast_to(weight.take([0], axis), weight.shape)
        return weight

    return Deviation(
        id=f"weights/tied[{only}]",
        sentence=f"positions along axis {only} all use the weights of the first of them",
        clause="5.1",
        fix=f"index the weights by the position along {only}; only axes named in `shared` share weights",
        needs=f"more than one position along {only}, not shared",
        edit=planned_move("on_weight", tie),
    )


DEVIATIONS: tuple[Deviation, ...] = (
    *per_axis(_flipped),
    *_order(
        "patch/channel-major",
        "ockf",
        "the patch is flattened channel-major (c, k) and multiplied by weights flattened (k, c)",
        "weights are flattened channel-major (c, k) and multiplied by a patch flattened (k, c)",
        "transpose the patch from (c, k) to (k, c), or the weight from (k, c) to (c, k), before flattening",
        "more than one tap and more than one channel",
        "torch.nn.functional.unfold, jax.lax patches and flax ConvLocal flatten so; Keras channels_last does not",
    ),
    *_order(
        "taps/axes-swapped",
        "otcf",
        "the kernel buffer is read with its axes in reverse order (kx before ky)",
        "the kernel axes are stored in reverse order (kx before ky)",
        "list the taps with the last spatial axis fastest",
        "two kernel axes longer than 1",
        "jax.lax.conv_general_dilated_local with a WHIO rhs_spec lists taps so",
    ),
    *_order(
        "weights/positions-transposed",
        "pkcf",
        "the weights' positions are read column by column (ox before oy)",
        "the weights' positions are stored column by column (ox before oy)",
        "list the positions with the last spatial axis fastest",
        "two position axes longer than 1, not shared",
    ),
    *_order(
        "weights/in-out-swapped",
        "okfc",
        "the weight buffer is read as (out, in) where it is (in, out)",
        "the weight is stored as (out, in) where (in, out) is expected",
        "swap the last two axes of the weight: (Cg, out_channels)",
        "more than one input and output channel",
        "xLSTM and Monarch blocks are (out, in), RecurrentGemma's (in, out): square blocks hide it",
    ),
    *_order(
        "weights/read-as-oihw",
        "ofck",
        "each position's kernel is read as (out, in, taps), the PyTorch order",
        "each position's kernel is stored as (out, in, taps), the PyTorch order",
        "transpose each kernel from (out, in, taps) to (taps, in, out)",
        "more than one output channel, and more than one tap or input channel",
        "torch7 SpatialConvolutionLocal, Caffe2 LC and ARM Compute Library keep kernels so",
    ),
    *_order(
        "weights/read-as-ohwi",
        "ofkc",
        "each position's kernel is read as (out, taps, in), the MLX order",
        "each position's kernel is stored as (out, taps, in), the MLX order",
        "transpose each kernel from (out, taps, in) to (taps, in, out)",
        "more than one output channel, and more than one tap or input channel",
        "mlx.nn convolutions and Caffe2 LC in NHWC order keep kernels so",
    ),
    _from_position("first", "public code named locally connected that builds a convolution"),
    _from_position("centre"),
    *(_tied(name) for name in ("x", "y", "z")),
)
