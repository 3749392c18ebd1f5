"""What an entry point of the group ``lcl.backends`` names: every adapter in the modules of a package."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from inspect import isclass
from types import ModuleType

from lcl_ref.suite.adapter import Adapter, Declaration


def adapters_in(package: str) -> dict[str, type[Adapter]]:
    """Return the adapters that the modules of a package define, by the name each declares.

    Parameters
    ----------
    package : str
        Its dotted name. Its modules load without their framework.

    Examples
    --------
    >>> sorted(adapters_in("lcl_backends.numpy"))
    ['numpy.channel_loop', 'numpy.fast', 'numpy.loop']
    """
    path = importlib.import_module(package).__path__
    modules = [importlib.import_module(f"{package}.{found.name}") for found in pkgutil.iter_modules(path)]
    return {adapter.declaration.name: adapter for module in modules for adapter in _defined(module)}


def _defined(module: ModuleType) -> Iterator[type[Adapter]]:
    for thing in vars(module).values():
        declares = isclass(thing) and isinstance(getattr(thing, "declaration", None), Declaration)
        if declares and thing.__module__ == module.__name__:
            yield thing
