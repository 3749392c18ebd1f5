"""The catalogue of deviations: the known ways in which a locally connected layer goes wrong, as data and computation.

Order matters where several explain the same outputs: whole before one axis, common before rare.
"""

from __future__ import annotations

import difflib

from lcl_ref.errors import AdapterError, Violation
from lcl_ref.suite.diagnosis.deviations import (
    behaviours,
    bias,
    channels,
    data,
    derivatives,
    geometry,
    numbers,
    weights,
)
from lcl_ref.suite.diagnosis.deviations.deviation import Deviation, result, results
from lcl_ref.suite.diagnosis.deviations.layer_plan import Refused

CATALOGUE: tuple[Deviation, ...] = (
    *weights.DEVIATIONS,
    *bias.DEVIATIONS,
    *geometry.DEVIATIONS,
    *channels.DEVIATIONS,
    *data.DEVIATIONS,
    *derivatives.DEVIATIONS,
    *numbers.DEVIATIONS,
    *behaviours.DEVIATIONS,
)

COMPUTED: tuple[Deviation, ...] = tuple(deviation for deviation in CATALOGUE if deviation.edit is not None)
"""Those that are functions of the operands."""

_BY_ID = {deviation.id: deviation for deviation in CATALOGUE}


def find(identity: str) -> Deviation:
    """Return the deviation with this id.

    Raises
    ------
    AdapterError
        If there is none; the message names the nearest id.
    """
    if identity not in _BY_ID:
        nearest = difflib.get_close_matches(identity, _BY_ID, 1)
        todo = f"did you mean {nearest[0]!r}?" if nearest else ""
        raise AdapterError(Violation("deviation/id", "deviation", repr(identity), "an id of the catalogue", todo=todo))
    return _BY_ID[identity]


__all__ = ["CATALOGUE", "COMPUTED", "Deviation", "Refused", "find", "result", "results"]
