"""Builds cases from the tables of the catalogue, whose files hold only what cannot be derived.

Defaults of `Spec` are left out; kinds of values follow from the topic; tags follow from the layer, but for the reason
why a case is degenerate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

from lcl_ref.core.spec import Spec
from lcl_ref.errors import SpecError
from lcl_ref.suite.cases.case import ARRAYS, LAYER, Case, Refusal, Values
from lcl_ref.suite.cases.extensions import ExtensionCase
from lcl_ref.suite.cases.tables import Key, Table, check, tables

FOLDER = Path(__file__).parent

WHOLE = (
    *("zero-windows", "zero-kernels", "zero-data", "zero-weight", "scattered-zeros"),
    *("large", "large-positive", "large-x", "large-weight", "large-dy"),
)
"""Kinds of whole numbers, which `lcl_ref.suite.golden.exact_kinds` draws."""

REAL = (
    *("positive", "small", "huge", "wide", "mixed", "cancelling", "worst"),
    *("subnormal-x", "subnormal-weight", "subnormal-products"),
)
"""Kinds of reals, which `lcl_ref.suite.golden.real_kinds` draws."""

BATCH = 2
"""Samples of a case whose table does not say how many."""

NONE = {"none": True}
"""What is written for None, which TOML does not have."""


class Catalogue(NamedTuple):
    """All cases, each kind in the order of the catalogue."""

    cases: tuple[Case, ...]
    refusals: tuple[Refusal, ...]
    extensions: tuple[ExtensionCase, ...]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_text, value))


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


_WHY = Key("a sentence that names the mistake", _is_text, required=True)
_CLAUSES = Key('clauses of SPEC.md, as in ["1.1", "2.3"]', _is_texts, required=True)
_BATCH = Key("a number of samples", _is_count)
_LAYER = {field.name: Key("an argument of lcl.Spec", lambda _value: True) for field in fields(Spec)}

CASE = {
    "why": _WHY,
    "clauses": _CLAUSES,
    "batch": _BATCH,
    "degenerate": Key("a reason why axes of one tensor have equal length", _is_text),
    "one_in": Key("a number of weights, of which one is not zero", lambda value: _is_count(value) and value > 1),
    "operands": Key(f"a kind of operands: {', '.join((*WHOLE, *REAL))}", lambda value: value in (*WHOLE, *REAL)),
    "bits": Key("the exponent of the largest sum of magnitudes", _is_count),
    "moves": Key("a list of [operand, place, draw]", lambda value: isinstance(value, list)),
    **_LAYER,
}
"""Keys of a case; which of them a layer needs, `Spec` says."""

REFUSAL = {
    "rule": Key("the rule that the error must carry, as in 'stride/positive'", _is_text, required=True),
    "why": _WHY,
    "clauses": _CLAUSES,
    "layer": Key("a table of the arguments that differ from those of the good layer", _is_table),
    "arrays": Key("a table of the shapes that differ from those that fit the good layer", _is_table),
}
"""Keys of a refusal."""

EXTENSION = {
    "why": _WHY,
    "batch": _BATCH,
    "values": Key("'nonfinite', or no such key", lambda value: value == "nonfinite"),
    "settings": Key("a table of what the extension adds", _is_table),
    **_LAYER,
}
"""Keys of the case of an extension."""


def read(folder: Path = FOLDER) -> Catalogue:
    """Return the catalogue that is written below `folder`.

    Raises
    ------
    LclError
        If a file is not in order or a table is no case; the message names both.
    """
    found = tables(folder)
    return Catalogue(
        tuple(case_of(table) for table in found if table.family not in ("refused", "extension")),
        tuple(refusal_of(table) for table in found if table.family == "refused"),
        tuple(extension_of(table) for table in found if table.family == "extension"),
    )


def case_of(table: Table) -> Case:
    """Return the case that is written in `table`."""
    check(table, CASE)
    spec, batch = _spec(table), table.values.get("batch", BATCH)
    operands = table.values.get("operands", "")
    named = "rounded" if operands in REAL else table.topic
    values = cast("Values", named if named in get_args(Values) else "exact")
    return Case(
        id=table.id,
        spec=spec,
        batch=batch,
        why=table.values["why"],
        clauses=tuple(table.values["clauses"]),
        tags=tuple(_tags(spec, batch, operands.partition("-")[0] or values, table.values.get("degenerate"))),
        values=values,
        one_in=table.values.get("one_in", 1),
        operands=operands,
        bits=table.values.get("bits", 0),
        moves=_frozen(table.values.get("moves", [])),
        written=_arguments(table),
    )


def refusal_of(table: Table) -> Refusal:
    """Return the refusal that is written in `table`, as what it changes of `LAYER` and `ARRAYS`."""
    check(table, REFUSAL)
    arrays = table.values.get("arrays")
    return Refusal(
        id=table.id,
        rule=table.values["rule"],
        why=table.values["why"],
        clauses=tuple(table.values["clauses"]),
        arguments=LAYER | _frozen(table.values.get("layer", {})),
        arrays=None if arrays is None else ARRAYS | _frozen(arrays),
    )


def extension_of(table: Table) -> ExtensionCase:
    """Return the case of an extension that is written in `table`."""
    check(table, EXTENSION)
    return ExtensionCase(
        id=table.id,
        why=table.values["why"],
        spec=_spec(table) if table.values.keys() & _LAYER.keys() else None,
        batch=table.values.get("batch", BATCH),
        settings=table.values.get("settings", {}),
        values=table.values.get("values", "exact"),
    )


def _arguments(table: Table) -> dict[str, Any]:
    """Return the arguments of `Spec` as they are written."""
    return {name: value for name, value in table.values.items() if name in _LAYER}


def _spec(table: Table) -> Spec:
    try:
        return Spec.from_dict(_arguments(table))
    except SpecError as error:
        raise SpecError(error.violations, table.where) from None


def _tags(spec: Spec, batch: int, values: str, degenerate: str | None) -> Iterator[str]:
    if _tiles(spec):
        yield "tiling"
    if batch == 0:
        yield "empty-batch"
    if values in ("nonfinite", "subnormal"):
        yield values
    if degenerate:
        yield f"degenerate: {degenerate}"


def _tiles(spec: Spec) -> bool:
    """Return whether each element of the input is read by exactly one window."""
    covered = tuple(o * k for o, k in zip(spec.output_size, spec.kernel_size, strict=True))
    return spec.rank > 0 and spec.stride == spec.kernel_size and spec.input_size == covered


def _frozen(value: Any) -> Any:
    """Return arrays of TOML as tuples, and `NONE` as None, at any depth."""
    if value == NONE:
        return None
    if isinstance(value, dict):
        return {name: _frozen(entry) for name, entry in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
