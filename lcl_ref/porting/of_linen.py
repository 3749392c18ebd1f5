"""Models of flax.linen: a bound module, or the variables alone, of which a filled copy is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import linen, traverse_util
from flax.core import unfreeze

from lcl_ref.porting.slots import Arrays, Slot
from lcl_ref.porting.trees import arrays, flattens, grouped

__all__ = ["finished", "flattens", "slots"]

_FILLED = ("params", "batch_stats")
_flatten: Any = traverse_util.flatten_dict
_unflatten: Any = traverse_util.unflatten_dict


def _variables(model: Any) -> dict[str, Any]:
    held: Any = model.variables if isinstance(model, linen.Module) else model
    return dict(unfreeze(held))


def slots(model: Any) -> Iterator[Slot]:
    """Yield the layers with parameters, in the order of the variables."""
    held = _variables(model)
    leaves: dict[tuple[str, ...], Any] = {}
    for collection in _FILLED:
        leaves |= _flatten(held.get(collection, {}))
    for path, own in grouped(leaves):
        shapes = {name: tuple(leaf.shape) for name, leaf in own.items()}
        yield Slot("/".join(path) or "model", shapes, partial(arrays, shapes), _nowhere)


def _nowhere(_arrays: Mapping[str, Any]) -> None:
    """Write nothing: variables are not changed in place; `finished` makes new ones."""


def finished(model: Any, planned: Sequence[tuple[Slot, Arrays]]) -> Any:
    """Return a model bound to the filled variables, or these alone where they were given."""
    held = _variables(model)
    new: Arrays = {}
    for slot, given in planned:
        below = "" if slot.path == "model" else f"{slot.path}/"
        new |= {f"{below}{name}": array for name, array in given.items()}
    for collection in _FILLED:
        if collection in held:
            leaves = _flatten(held[collection], sep="/")
            filled = {path: jnp.asarray(new.get(path, leaf), leaf.dtype) for path, leaf in leaves.items()}
            held[collection] = _unflatten(filled, sep="/")
    if not isinstance(model, linen.Module):
        return held
    unbind: Callable[[], tuple[Any, Any]] = model.unbind
    return unbind()[0].bind(held)
