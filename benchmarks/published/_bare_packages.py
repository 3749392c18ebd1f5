"""Importing one module of a package without what the package imports for the rest of it."""

from __future__ import annotations

import importlib.util
import sys


def bare(module: str) -> str:
    """Let `module` be imported without running its packages' own ``__init__``, and return its name.

    What is not installed stays so: importing the module then fails as ever.
    """
    parents = module.split(".")[:-1]
    for depth in range(1, len(parents) + 1):
        name = ".".join(parents[:depth])
        if name in sys.modules:
            continue
        spec = importlib.util.find_spec(name)
        if spec is None:
            break
        sys.modules[name] = importlib.util.module_from_spec(spec)
    return module
