"""Bias left out, shared or rearranged (SPEC clause 3.3)."""

from __future__ import annotations

import numpy as np

from lcl_ref.suite.diagnosis.deviations.deviation import Deviation
from lcl_ref.suite.diagnosis.deviations.edits import linear, move
from lcl_ref.suite.diagnosis.deviations.hooks import Array

POSITIONS = "a bias per position, and more than one position"


def _first_position(bias: Array) -> Array:
    return np.broadcast_to(bias[(0,) * (bias.ndim - 1)], bias.shape)


def _mean(bias: Array) -> Array:
    """Average over positions; a symmetric map, hence its own adjoint."""
    axes = tuple(range(bias.ndim - 1))
    return np.broadcast_to(bias.mean(axis=axes, keepdims=True), bias.shape)


def _reshaped(bias: Array) -> Array:
    return np.moveaxis(bias.reshape(bias.shape[-1], *bias.shape[:-1]), 0, -1)


def _reshaped_stored(bias: Array) -> Array:
    return np.moveaxis(bias, -1, 0).reshape(bias.shape)


def _transposed(bias: Array) -> Array:
    if bias.ndim == 1:
        return bias
    return bias.reshape(*bias.shape[-2::-1], bias.shape[-1]).transpose(*range(bias.ndim - 2, -1, -1), bias.ndim - 1)


DEVIATIONS: tuple[Deviation, ...] = (
    Deviation(
        id="bias/dropped",
        sentence="the bias is not added",
        clause="3.3",
        fix="add the bias",
        needs="a bias",
        known_in="several published snippets never create one; a zero-initialised bias hides it",
        edit=move("on_bias", np.zeros_like),
    ),
    Deviation(
        id="bias/first-position",
        sentence="every position gets the bias of the first one: one number per channel",
        clause="3.3",
        fix="add the bias of the position",
        needs=POSITIONS,
        known_in="DL4J LocallyConnected and Lasagne (untie_biases=False) keep one bias per channel",
        edit=move("on_bias", _first_position),
    ),
    Deviation(
        id="bias/mean",
        sentence="every position gets the mean bias of its channel",
        clause="3.3",
        fix="add the bias of the position; a bias per position cannot be folded into one per channel",
        needs=POSITIONS,
        edit=linear("on_bias", _mean, _mean),
    ),
    Deviation(
        id="bias/reshaped",
        sentence="the bias (o*, co) is reshaped, not transposed, to (co, o*)",
        clause="3.3",
        fix="move the channel axis of the bias to the front instead of reshaping",
        needs=f"{POSITIONS} and channel",
        known_in="tf_keras LocallyConnected1D/2D with data_format='channels_first', every implementation",
        edit=move("on_bias", _reshaped),
    ),
    Deviation(
        id="bias/reshaped-stored",
        sentence="the bias is stored as (co, o*) and taken to be (o*, co)",
        clause="3.3",
        fix="move the channel axis of the bias to the end instead of reshaping",
        needs=f"{POSITIONS} and channel",
        known_in="reading torch7, Chainer or darknet biases, which are (co, o*), without a transpose",
        edit=move("on_bias", _reshaped_stored),
    ),
    Deviation(
        id="bias/positions-transposed",
        sentence="the bias is read with its positions column by column (ox before oy)",
        clause="3.3",
        fix="list the positions with the last spatial axis fastest",
        needs="a bias per position, and two position axes longer than 1",
        edit=move("on_bias", _transposed),
    ),
    Deviation(
        id="bias/first-channel",
        sentence="every channel gets the bias of the first one, as broadcasting (o*, 1) does",
        clause="3.3",
        fix="keep the channel axis of the bias",
        needs="a bias, and more than one output channel",
        edit=move("on_bias", lambda bias: np.broadcast_to(bias[..., :1], bias.shape)),
    ),
    Deviation(
        id="bias/twice",
        sentence="the bias is added twice",
        clause="3.3",
        fix="add the bias once: either in the inner layer or outside it",
        needs="a bias",
        edit=linear("on_bias", lambda bias: 2 * bias, lambda bias: 2 * bias),
    ),
)
