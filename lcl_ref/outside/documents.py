"""JSON of others: strict, of bounded length and depth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

MOST_BYTES = 1 << 24
"""Length of a document about layers; a value of Python is some thirty times as long as its text."""

MOST_VALUES = 1 << 22
"""Values in a document, as many as the report of 300,000 cells has; the shortest takes a hundred bytes of memory."""

DEEPEST = 100
"""Lists and objects inside each other."""


def parsed(text: str | bytes, most: int = MOST_BYTES, most_values: int = MOST_VALUES) -> Any:
    """Return the value of a JSON text.

    Parameters
    ----------
    text : str or bytes
        The text, in UTF-8.
    most : int
        Its greatest length.
    most_values : int
        How many values it may have.

    Raises
    ------
    ValueError
        If it is longer, has more values, is no JSON (NaN and infinities are none), has a number that no float holds, a
        name twice in one object, or is nested too deeply.

    Examples
    --------
    >>> parsed('{"a": [1, 2.5]}')
    {'a': [1, 2.5]}
    >>> parsed('{"a": NaN}')
    Traceback (most recent call last):
        ...
    ValueError: NaN is not JSON
    """
    if len(text) > most:
        raise ValueError(f"{len(text)} bytes of JSON, at most {most} are read")
    written = text.decode("utf-8") if isinstance(text, bytes) else text
    values = sum(map(written.count, "[{,"))  # within texts, too
    if values > most_values:
        raise ValueError(f"some {values} values, at most {most_values} are read")
    try:
        value = json.loads(
            written, parse_constant=_constant, parse_float=_float, parse_int=_int, object_pairs_hook=_once
        )
    except RecursionError as error:
        raise ValueError(f"lists inside each other, at most {DEEPEST} deep are read") from error
    check_nested(value)
    return value


def read(path: Path, most: int = MOST_BYTES) -> Any:
    """Return the value of a JSON file; no more than `most` bytes of it are ever read, and of a pipe none.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        As `parsed`.
    """
    if path.is_fifo():  # it would wait for whoever writes
        raise ValueError("a pipe")
    with path.open("rb") as file:
        return parsed(file.read(most + 1), most)


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text[:40]} is larger than any float")
    return value


def _int(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError(f"a whole number of {len(text)} digits, at most {_DIGITS} are read")
    return int(text)


_DIGITS = 300
"""As many as a float can hold."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the name {next(name for name in names if names.count(name) > 1)!r} twice in one object")
    return found


def check_nested(value: Any, most: int = MOST_VALUES) -> None:
    """Refuse lists and objects that are too deep inside each other, or, where one stands at many places, too many.

    Parameters
    ----------
    value : Any
        What a document says.
    most : int
        How many lists and objects there may be.

    Raises
    ------
    ValueError
        If they are.
    """
    way, count = [iter([value])], 0
    while way:
        one = next((each for each in way[-1] if isinstance(each, dict | list)), None)
        count += 1
        if one is None:
            way.pop()
        elif len(way) > DEEPEST or count > 2 * most:
            raise ValueError(f"lists inside each other, at most {DEEPEST} deep and {most} are read")
        else:
            way.append(iter(one.values() if isinstance(one, dict) else one))
