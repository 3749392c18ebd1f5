"""Derivatives that are wrong although the layer is right (SPEC clause 9)."""

from __future__ import annotations

import numpy as np

from lcl_ref.suite.adapter import RESULTS
from lcl_ref.suite.diagnosis.deviations.deviation import Deviation, Edit
from lcl_ref.suite.diagnosis.deviations.edits import kernel_axes, move, planned_move, setting
from lcl_ref.suite.diagnosis.deviations.hooks import Array
from lcl_ref.suite.diagnosis.deviations.layer_plan import Plan
from lcl_ref.suite.diagnosis.deviations.weights import read_as

BATCH = "a batch of more than one"
SHARED = "a shared axis with more than one position"


def _zero(plan: Plan) -> Plan:
    return plan.finishing(np.zeros_like)


def _one_sample(y: Array) -> Array:
    """Let only the first sample count."""
    kept = y.copy()
    kept[1:] = 0
    return kept


def _flipped(plan: Plan, weight: Array) -> Array:
    return np.flip(weight, kernel_axes(plan))


def _wrong(identity: str, sentence: str, fix: str, needs: str, edit: Edit, known: str = "") -> Deviation:
    """Return a deviation of the one gradient its id starts with."""
    part = next(result for result in RESULTS if identity.startswith(result))
    clause = {"dx": "9.1", "dw": "9.2", "db": "9.3"}[part] if "overlap" not in identity else "9.5"
    return Deviation(
        id=identity,
        sentence=sentence,
        clause=clause,
        fix=fix,
        needs=needs,
        known_in=known,
        kind="derivative",
        edit=edit,
        parts=(part,),
    )


DEVIATIONS: tuple[Deviation, ...] = (
    _wrong(
        "dx/overlap-overwritten",
        "where windows overlap, the gradient of the last one overwrites the others",
        "add the gradients of the windows (scatter-add), as x.at[i].add or index_put with accumulate=True",
        "overlapping windows",
        setting(overlap="overwrite"),
        "dx[..., window] = ... in a loop; index_put without accumulate",
    ),
    _wrong(
        "dx/flipped-kernel",
        "dx is computed with the taps flipped",
        "dx adds dy[o] * w[o, k] to site o*stride + k*dilation - lo; flip only where dx is a convolution",
        "a kernel longer than 1",
        planned_move("on_weight", _flipped),
    ),
    _wrong(
        "dx/weight-not-transposed",
        "dx multiplies by the weight read as (out, in), not by its transpose",
        "contract dy with the output channels of the weight",
        "more than one input and output channel",
        planned_move("on_weight", lambda plan, weight: read_as(weight, plan, "okfc")),
    ),
    _wrong(
        "dx/missing",
        "no gradient reaches the input",
        "do not detach the input, do not copy it through NumPy",
        "nothing",
        _zero,
    ),
    _wrong(
        "dw/batch-averaged",
        "dw is averaged over the batch",
        "dw is the sum over samples; averaging belongs to the loss",
        BATCH,
        setting(average=True),
    ),
    _wrong(
        "dw/one-sample", "dw is that of the first sample", "sum dw over the batch", BATCH, move("on_y", _one_sample)
    ),
    _wrong(
        "dw/last-shared-position",
        "along shared axes dw is that of the last position, not the sum",
        "sum dw over the positions that share a weight",
        SHARED,
        setting(tie="last"),
        "dw[...] = ... in a loop over positions",
    ),
    _wrong(
        "dw/first-shared-position",
        "along shared axes dw is that of the first position, not the sum",
        "sum dw over the positions that share a weight",
        SHARED,
        setting(tie="first"),
    ),
    _wrong(
        "dw/flipped",
        "dw has its taps flipped",
        "dw[o, k] belongs to input site o*stride + k*dilation - lo",
        "a kernel longer than 1",
        planned_move("on_weight", _flipped),
    ),
    _wrong(
        "dw/missing",
        "no gradient reaches the weight",
        "register the weight as a parameter",
        "nothing",
        _zero,
        "a DeepFace-style port that keeps its weights outside Parameters",
    ),
    _wrong(
        "db/one-sample",
        "db is that of the first sample",
        "sum db over the batch",
        f"a bias, and {BATCH}",
        move("on_y", _one_sample),
    ),
    _wrong(
        "db/batch-averaged",
        "db is averaged over the batch",
        "db is the sum over samples; averaging belongs to the loss",
        f"a bias, and {BATCH}",
        setting(average=True),
    ),
    _wrong(
        "db/last-position",
        "db of a bias per channel is that of the last position, not the sum",
        "sum db over the positions",
        "a bias per channel, and more than one position",
        setting(tie="last"),
    ),
    _wrong("db/missing", "no gradient reaches the bias", "register the bias as a parameter", "a bias", _zero),
)
