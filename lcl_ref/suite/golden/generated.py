"""Cases of which the golden data holds no arrays: made when they are asked, and compared with stored digests.

Operands come from the frozen generator. Results are matrix products in float64, exact by the certificate. The SHA-256
of every array, and projections of every result (SPEC clause 11.8), were written where the reference agreed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core.spec import Spec
from lcl_ref.errors import FixtureError, Violation
from lcl_ref.suite.cases.case import Case
from lcl_ref.suite.golden import results, values

Array = NDArray[Any]

PRIME = 2**31 - 1
PROJECTIONS = 4
"""A wrong result below 2^30 has all right projections with probability at most 2^-120."""


def arrays(entry: Mapping[str, Any], digest: Any, *, answered: bool = True) -> dict[str, Array]:
    """Return operands and results of an entry of the index, in the dtypes that it names.

    Parameters
    ----------
    entry : mapping
        Of the section ``generated``.
    digest : callable
        SHA-256 of bytes, as text.
    answered : bool
        Whether results are made, besides the operands.

    Raises
    ------
    FixtureError
        If an array has another SHA-256 than the index says: this NumPy, or this machine, computes something else.
    """
    case = _case(entry)
    operands = results.drawn(case, entry["amplitude"])
    made = operands | (results.by_products(case, operands) if answered else {})
    found = {name: made[name].astype(facts["dtype"]) for name, facts in entry["arrays"].items() if name in made}
    wrong = [name for name, array in found.items() if digest(array.tobytes()) != entry["arrays"][name]["sha256"]]
    if wrong:
        todo = "check the data with `lcl fixtures verify`, and NumPy by its own tests"
        place = f"{case.id}, array {', '.join(wrong)}"
        raise FixtureError(Violation("fixtures/generated", place, "another SHA-256", "that of the index", todo=todo))
    return found


def _case(entry: Mapping[str, Any]) -> Case:
    return Case(
        id=entry["id"],
        spec=Spec.from_dict(entry["spec"]),
        batch=entry["batch"],
        why=entry["why"],
        clauses=tuple(entry["clauses"]),
        one_in=entry["one_in"],
    )


def projections(case_id: str, result: str, array: Array) -> list[int]:
    """Return `PROJECTIONS` sums of the elements, each times a number drawn for it, modulo `PRIME` (SPEC 11.8)."""
    elements = (array.reshape(-1).astype(np.int64) % PRIME).astype(np.uint64)
    return [
        _projection(values.raw(case_id, f"{result}/{number}", elements.shape), elements)
        for number in range(PROJECTIONS)
    ]


def _projection(drawn: NDArray[np.uint64], elements: NDArray[np.uint64]) -> int:
    prime = np.uint64(PRIME)
    return int((drawn % prime * elements % prime).sum() % prime)
