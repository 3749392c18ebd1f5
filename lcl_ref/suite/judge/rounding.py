"""Rounding that leans to one side, which shows over many results and in none alone (SPEC clause 12.11)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

NAME = "values/rounding-bias"

LEAST_ERRORS = 256
"""So many errors must be there: of fair ones three in four lie on one of four sides by chance at most 4*exp(-32)."""

SHARE = 0.75

DESCRIPTION = (
    f"{NAME} (a warning; SPEC clause 12.11) tells of a layer whose operations seem not to round to nearest: of "
    f"{LEAST_ERRORS} errors of a result or more, {SHARE:.0%} or more lie upwards, downwards, toward or away from zero"
)
"""What `lcl explain` says of it."""


def shares(error: Array, truth: Array) -> dict[str, float]:
    """Return which share of the errors other than 0 lies to each side; nothing where they are too few.

    Parameters
    ----------
    error : array
        Answers less golden results.
    truth : array
        Golden results, whose signs say where zero is.
    """
    signs = np.sign(error[error != 0])
    if signs.size < LEAST_ERRORS:
        return {}
    outwards = signs * np.sign(truth[error != 0])
    sides = {"upwards": signs, "downwards": -signs, "away from zero": outwards, "toward zero": -outwards}
    return {side: float((towards > 0).mean()) for side, towards in sides.items()}


def lean(error: Array, truth: Array) -> str:
    """Return to which side errors lean, in words, or nothing; the parameters are those of `shares`."""
    found = shares(error, truth)
    side = max(found, key=lambda side: found[side], default="")
    if not side or found[side] < SHARE:
        return ""
    return f"{found[side]:.0%} of {np.count_nonzero(error)} errors {side}: operations do not round to nearest"
