"""Old names of the layers to drop in, which are `lcl_ref.layers` now; importing one of these modules warns."""

from __future__ import annotations

import warnings
from importlib import import_module
from types import ModuleType


def moved(name: str) -> ModuleType:
    """Return the module of `lcl_ref.layers` that the old module of that name stands for, with a warning."""
    new = f"lcl_ref.layers.{name.rpartition('.')[2]}"
    warnings.warn(f"{name} has moved: import {new}", DeprecationWarning, stacklevel=3)
    return import_module(new)
