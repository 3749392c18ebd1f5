"""Registered adapters by name, found through the entry-point group ``lcl.backends``.

An entry point is one of two things. With a dot in its name it is one adapter, ``framework.route = "module:Adapter"``,
which nothing imports before it is asked. Without a dot it is a provider of all backends whose names begin with its own
name and a dot: a function that returns ``{name: adapter class}`` or ``{name: "module:Adapter"}``. Modules of a provider
load without their frameworks, so that the host can read what their adapters declare.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from operator import attrgetter
from typing import Any

from lcl_ref.errors import AdapterError, Violation
from lcl_ref.suite.adapter import Adapter, Declaration

GROUP = "lcl.backends"
_LOCATION = re.compile(r"[\w.]+:[\w.]+")


@dataclass(frozen=True)
class Registered:
    """A registered adapter, which may not have been imported.

    Parameters
    ----------
    name : str
        Of the backend.
    location : str
        ``module:name`` of its class.
    readable : bool
        Whether it can be imported without its framework.
    aliases : tuple of str
        Its other names; known of classes that a provider hands out.
    """

    name: str
    location: str
    readable: bool = False
    aliases: tuple[str, ...] = ()

    def load(self) -> type[Adapter]:
        """Import its module and return its class."""
        module, _, attribute = self.location.partition(":")
        found: type[Adapter] = attrgetter(attribute)(importlib.import_module(module))
        return found

    @property
    def declaration(self) -> Declaration:
        """What it declares; imports its module."""
        return self.load().declaration


def registered(family: str = "") -> dict[str, Registered]:
    """Return all registered adapters by name, in the order of names; of one family, only its providers are asked.

    Raises
    ------
    AdapterError
        If a provider fails, or returns anything but names and adapters.
    """
    points = [point for point in _points() if family in ("", family_of(point.name))]
    found = [one for point in points for one in _adapters(point)]
    return {one.name: one for one in sorted(found, key=lambda one: one.name)}


def named(name: str) -> Registered:
    """Return the adapter of that name or alias.

    Raises
    ------
    AdapterError
        If there is none.
    """
    for one in registered(family_of(name)).values():
        if name in (one.name, *one.aliases):
            return one
    raise AdapterError(Violation("backend/unknown", "backend", repr(name), "a registered name"))


def families() -> set[str]:
    """Return what names of registered backends begin with."""
    return {family_of(point.name) for point in _points()}


def family_of(word: str) -> str:
    """Return what a name begins with, up to its first dot; an empty text for a glob that leaves it open."""
    family = word.split(".", maxsplit=1)[0]
    return "" if re.search(r"[*?\[]", family) else family


@cache
def _points() -> list[EntryPoint]:
    return list(entry_points(group=GROUP))


def _adapters(point: EntryPoint) -> list[Registered]:
    return [Registered(point.name, point.value)] if "." in point.name else _provided(point)


@cache
def _provided(point: EntryPoint) -> list[Registered]:
    """Return what a provider gives; a class at an entry point without a dot is the adapter of that name."""
    try:
        thing = point.load()
        given = {point.name: thing} if hasattr(thing, "declaration") else thing()
    except Exception as error:
        raise _refused(point, f"{type(error).__name__}: {error}") from error
    if not isinstance(given, Mapping):
        raise _refused(point, f"it returned {type(given).__name__}")
    return [_one(point, name, adapter) for name, adapter in given.items()]


def _one(point: EntryPoint, name: Any, adapter: Any) -> Registered:
    if name != point.name and not (isinstance(name, str) and name.startswith(f"{point.name}.")):
        raise _refused(point, f"it names {name!r}")
    if isinstance(adapter, str) and _LOCATION.fullmatch(adapter):
        return Registered(name, adapter, readable=True)
    declaration = getattr(adapter, "declaration", None)
    if not isinstance(declaration, Declaration):
        raise _refused(point, f"its {name} is {adapter!r}")
    location = f"{adapter.__module__}:{adapter.__qualname__}"
    return Registered(name, location, readable=True, aliases=tuple(declaration.aliases))


def _refused(point: EntryPoint, got: str) -> AdapterError:
    distribution = point.dist.name if point.dist is not None else "an unknown distribution"
    return AdapterError(
        Violation(
            "backend/provider",
            f"entry point {point.name!r} of {distribution} ({point.value})",
            got,
            f"a function that returns {{name: adapter class or 'module:name'}}, names beginning with '{point.name}.'",
        )
    )
