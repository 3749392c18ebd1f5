"""The module whose functions take a given array: NumPy, torch or jax.numpy, whichever the array is of."""

from __future__ import annotations

import sys
from typing import Any

_MODULES = {"torch": "torch", "jax": "jax.numpy", "jaxlib": "jax.numpy"}


def namespace(array: Any) -> Any:
    """Return the module, which is loaded already where there is an array of it; NumPy for everything else."""
    owner = type(array).__module__.partition(".")[0]
    return sys.modules[_MODULES.get(owner, "numpy")]
