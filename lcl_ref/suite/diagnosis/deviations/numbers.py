"""Arithmetic that is too coarse, and infinities that spread (SPEC clauses 7.3 and 8.3)."""

from __future__ import annotations

import numpy as np

from lcl_ref.suite.diagnosis.deviations.deviation import Deviation
from lcl_ref.suite.diagnosis.deviations.edits import setting
from lcl_ref.suite.diagnosis.deviations.hooks import Array
from lcl_ref.suite.diagnosis.deviations.layer_plan import Plan

REALS = "operands that the format cannot hold: reals, or integers with long sums"


def _without_nan(plan: Plan) -> Plan:
    def clean(result: Array) -> Array:
        return np.where(np.isnan(result), 0.0, result)

    return plan.finishing(clean)


DEVIATIONS: tuple[Deviation, ...] = (
    Deviation(
        id="precision/single",
        sentence="float64 is computed in float32",
        clause="8.3",
        fix="compute in the dtype of the operands",
        needs="float64 reals",
        known_in="mlx convolutions with float64 arrays; buffers made with torch.zeros and no dtype; jax without x64",
        kind="precision",
        edit=setting(operands="float32", accumulator="float32", stored="float32"),
    ),
    Deviation(
        id="precision/single-sums",
        sentence="float64 is multiplied and summed in float32, and the bias added in float64",
        clause="8.3",
        fix="compute in the dtype of the operands",
        needs="float64 reals",
        known_in="mlx convolutions with float64 arrays and a bias added behind them",
        kind="precision",
        edit=setting(operands="float32", accumulator="float32"),
    ),
    Deviation(
        id="precision/half-output",
        sentence="results are stored in float16",
        clause="8.3",
        fix="return the dtype of the operands",
        needs=REALS,
        kind="precision",
        edit=setting(stored="float16"),
    ),
    Deviation(
        id="precision/bfloat16-output",
        sentence="results are stored in bfloat16",
        clause="8.3",
        fix="return the dtype of the operands",
        needs=REALS,
        kind="precision",
        edit=setting(stored="bfloat16"),
    ),
    Deviation(
        id="precision/tf32-operands",
        sentence="operands are rounded to TF32 (11 significand bits) before they are multiplied",
        clause="8.3",
        fix="switch TF32 off: torch.backends.cuda.matmul.allow_tf32 = False, jax_default_matmul_precision = 'highest'",
        needs=REALS,
        known_in="CUDA matrix products and convolutions of torch and jax on Ampere and later",
        kind="precision",
        edit=setting(operands="tf32"),
    ),
    Deviation(
        id="precision/bfloat16-operands",
        sentence="operands are rounded to bfloat16 (8 significand bits) before they are multiplied",
        clause="8.3",
        fix="ask for full precision: jax_default_matmul_precision = 'highest', no autocast",
        needs=REALS,
        known_in="jax matrix products on TPU by default; autocast to bfloat16",
        kind="precision",
        edit=setting(operands="bfloat16"),
    ),
    Deviation(
        id="precision/half-operands",
        sentence="operands are rounded to float16 before they are multiplied",
        clause="8.3",
        fix="no autocast to float16",
        needs=REALS,
        known_in="autocast to float16",
        kind="precision",
        edit=setting(operands="float16"),
    ),
    Deviation(
        id="precision/half-accumulator",
        sentence="sums are kept in float16, one product after the other",
        clause="8.3",
        fix="accumulate in float32 at least",
        needs=REALS,
        known_in="half-precision kernels without a float32 accumulator; autocast to float16 (fly)",
        kind="precision",
        edit=setting(accumulator="float16"),
    ),
    Deviation(
        id="nonfinite/masked-dense",
        sentence="unconnected inputs are multiplied by zero, not left out: one inf or NaN poisons its whole sample",
        clause="7.3",
        fix="do not multiply by a mask; read only the window",
        needs="an infinite or NaN input",
        known_in="one dense weight under a fixed mask (0 * NaN is NaN); tf_keras implementation 2",
        kind="nonfinite",
        edit=setting(masked=True),
        parts=("y",),
    ),
    Deviation(
        id="nonfinite/nan-to-zero",
        sentence="NaN results are replaced by zero",
        clause="7.3",
        fix="let NaN through",
        needs="a NaN in a window",
        kind="nonfinite",
        edit=_without_nan,
        parts=("y",),
    ),
)
