"""Asking a prepared layer for one operation, whatever its framework returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from lcl_ref.suite.adapter import Prepared, operation
from lcl_ref.suite.judge.compare import Malformed
from lcl_ref.suite.to_numpy import to_numpy

Array = NDArray[Any]
Arrays = dict[str, Array]


def answers_of(layer: Prepared, op: str, operands: Mapping[str, Array]) -> Arrays:
    """Call one operation of a prepared layer and return its answers as NumPy arrays by result name.

    Raises
    ------
    Malformed
        If an answer is not an array, or a vjp is not three of them.
    """
    if op == "forward":
        given = {"y": layer.forward(operands["x"])}
    elif op == "transpose":
        given = {"dx": operation(layer, "transpose")(operands["dy"])}
    else:
        given = _three(operation(layer, "vjp")(operands["x"], operands["dy"]))
    answers = {}
    for name, value in given.items():
        if name == "db" and "bias" not in operands:
            continue
        try:
            answers[name] = to_numpy(value)
        except TypeError as error:
            raise Malformed(f"{name}: {error}") from error
    return answers


def _three(value: Any) -> dict[str, Any]:
    """Return the results by name."""
    try:
        dx, dw, db = value
    except (TypeError, ValueError) as error:
        raise Malformed(f"vjp: got {type(value).__name__}, expected three arrays (dx, dw, db)") from error
    return {"dx": dx, "dw": dw, "db": db}
