"""A reader of JSON Schema, as much of it as ``suite/schemas/`` uses: the schemas are what is enforced, not a copy.

A keyword it does not know is an error, so that a schema never promises a check that is not made.

It stands here in the place of the package jsonschema because every message of a worker and every report passes it: a
report of 3,000 cells takes 0.22 s of processor time here and 1.16 s there, and the import 0.14 s more in each process
(Python 3.11, jsonschema 4). Its complaints say got and expected, as all errors here do.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

Schema = Mapping[str, Any]
Check = Callable[["_Reader", Any, Any, Schema, str], None]

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_SHOWN = 80


class Invalid(ValueError):  # noqa: N818 -- a finding about a value
    """A JSON value that its schema refuses.

    Parameters
    ----------
    place : str
        Where in the value, as ``capabilities.ranks[1]``; empty for the whole of it.
    got, expected : str
        What stands there, and what the schema asks for.
    """

    def __init__(self, place: str, got: str, expected: str) -> None:
        self.place, self.got, self.expected = place, got, expected
        super().__init__(f"{place + ': ' if place else ''}got {got}, expected {expected}")


@cache
def _document(name: str) -> dict[str, Any]:
    text = files("lcl_ref.suite").joinpath("schemas", f"{name}.schema.json").read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def validate(value: Any, name: str, definition: str) -> None:
    """Check `value` against one definition of the schema file `name`.

    Raises
    ------
    Invalid
        At the first place that differs.
    """
    document = _document(name)
    _Reader(document["$defs"]).check(value, document["$defs"][definition], "")


class _Reader:
    """One schema file, reading one value."""

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions

    def check(self, value: Any, schema: Schema, place: str) -> None:
        """Apply every keyword of `schema`, in the order of `_KEYWORDS`."""
        unknown = schema.keys() - _KEYWORDS.keys() - {"description"}
        if unknown:
            raise NotImplementedError(f"schema keywords {sorted(unknown)}")
        for keyword, check in _KEYWORDS.items():
            if keyword in schema:
                check(self, value, schema[keyword], schema, place)

    def ref(self, value: Any, target: str, _schema: Schema, place: str) -> None:
        self.check(value, self._definitions[target.removeprefix("#/$defs/")], place)

    def one_of(self, value: Any, choices: list[Schema], schema: Schema, place: str) -> None:
        """Accept what exactly one choice accepts; the complaint is that of the choice the value came nearest to."""
        accepted, complaints = 0, []
        for choice in choices:
            try:
                self.check(value, choice, place)
                accepted += 1
            except Invalid as invalid:
                complaints.append(invalid)
        if accepted != 1:
            deepest = max(complaints, key=lambda invalid: len(invalid.place))
            raise deepest if len(deepest.place) > len(place) else Invalid(place, show(value), schema["description"])


def show(value: Any) -> str:
    """Return `value` as JSON, cut to the length of a message."""
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _type(_reader: _Reader, value: Any, name: str | list[str], _schema: Schema, place: str) -> None:
    names = [name] if isinstance(name, str) else name
    if not any(_is(value, one) for one in names):
        raise Invalid(place, show(value), f"a JSON {' or '.join(names)}")


def _is(value: Any, name: str) -> bool:
    return isinstance(value, _TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def _enum(_reader: _Reader, value: Any, choices: list[Any], _schema: Schema, place: str) -> None:
    if isinstance(value, bool) or value not in choices:
        raise Invalid(place, show(value), "one of " + ", ".join(map(json.dumps, choices)))


def _const(_reader: _Reader, value: Any, constant: Any, _schema: Schema, place: str) -> None:
    if value != constant:
        raise Invalid(place, show(value), json.dumps(constant))


def _minimum(_reader: _Reader, value: Any, least: int, _schema: Schema, place: str) -> None:
    if value < least:
        raise Invalid(place, show(value), f"at least {least}")


def _shortest(_reader: _Reader, value: Any, least: int, _schema: Schema, place: str) -> None:
    if len(value) < least:
        raise Invalid(place, show(value), f"a length of at least {least}")


def _longest(_reader: _Reader, value: Any, most: int, _schema: Schema, place: str) -> None:
    if len(value) > most:
        raise Invalid(place, show(value), f"a length of at most {most}")


def _required(_reader: _Reader, value: Any, names: list[str], _schema: Schema, place: str) -> None:
    missing = [name for name in names if name not in value]
    if missing:
        raise Invalid(place, f"no field {missing[0]!r} in {show(value)}", "the fields " + ", ".join(names))


def _properties(reader: _Reader, value: Any, schemas: Mapping[str, Schema], _schema: Schema, place: str) -> None:
    for name, schema in schemas.items():
        if name in value:
            reader.check(value[name], schema, f"{place}.{name}" if place else name)


def _additional(reader: _Reader, value: Any, rule: Any, schema: Schema, place: str) -> None:
    known = schema.get("properties", {})
    for name in sorted(value.keys() - known.keys()):
        if rule is False:
            near = difflib.get_close_matches(name, known, 1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise Invalid(place, f"a field {name!r}", "only the fields " + ", ".join(known) + hint)
        reader.check(value[name], rule, f"{place}.{name}" if place else name)


def _items(reader: _Reader, value: Any, schema: Schema, _schema: Schema, place: str) -> None:
    for number, item in enumerate(value):
        reader.check(item, schema, f"{place}[{number}]")


_KEYWORDS: dict[str, Check] = {
    "$ref": _Reader.ref,
    "oneOf": _Reader.one_of,
    "type": _type,
    "const": _const,
    "enum": _enum,
    "minimum": _minimum,
    "minLength": _shortest,
    "minItems": _shortest,
    "maxItems": _longest,
    "required": _required,
    "properties": _properties,
    "additionalProperties": _additional,
    "items": _items,
}
