"""Text of others (layers, programs, files, reports) as it may be shown: of bounded length, encodable, plain to see."""

from __future__ import annotations

import unicodedata
from typing import Any

MOST = 2000
"""Characters of one text of others that are kept."""


MOST_LINES = 1 << 20
"""Characters of a text of several lines, such as a program, that are kept."""


def shown(text: object, most: int = MOST) -> str:
    r"""Return a text in one line that any terminal, page or file can take; what cannot be seen stands as its escape.

    Parameters
    ----------
    text : object
        The text; of anything else, what ``str`` gives, should that give anything.
    most : int
        Characters that are kept; how many more there were is said.

    Examples
    --------
    >>> shown("a\nb\x1b[2J\ud83d")
    'a\\nb\\x1b[2J\\ud83d'
    >>> shown("x" * 12, most=4)
    'xxxx... (8 more characters)'
    """
    whole = text if type(text) is str else worded(text)
    short = whole[:most]
    if not short.isprintable():
        short = "".join(map(_escaped, short))
    return short if len(whole) <= most else f"{short}... ({len(whole) - most} more characters)"


def worded(value: object) -> str:
    """Return what ``str`` gives; an object whose own method fails is named by its class."""
    try:
        return str.__str__(str(value))
    except Exception as error:  # noqa: BLE001 -- another's code may raise anything
        return f"a {type(value).__name__} without text ({type(error).__name__})"


def lines(text: str, most: int = MOST_LINES) -> str:
    """Return a text that may have several lines, each as `shown` has it."""
    if text.isprintable() and len(text) <= most:
        return text
    whole = "\n".join(shown(line, most) for line in text[:most].split("\n"))
    return whole if len(text) <= most else f"{whole}... ({len(text) - most} more characters)"


def cleaned(value: Any) -> Any:
    r"""Return JSON values with every text in them as `lines` has it.

    Examples
    --------
    >>> cleaned({"name": ["a\tb", 1.5]})
    {'name': ['a\\tb', 1.5]}
    """
    if isinstance(value, str):
        return lines(value)
    if isinstance(value, list):
        return [cleaned(one) for one in value]
    if isinstance(value, dict):
        return {lines(name): cleaned(one) for name, one in value.items()}
    return value


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    return " " if unicodedata.category(character) == "Zs" else character.encode("unicode_escape").decode()
