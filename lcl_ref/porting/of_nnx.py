"""Models of flax.nnx, filled in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import nnx

from lcl_ref.files.contents import Array
from lcl_ref.porting.slots import Arrays, Slot
from lcl_ref.porting.trees import arrays, flattens, grouped

__all__ = ["finished", "flattens", "slots"]


def slots(model: nnx.Module) -> Iterator[Slot]:
    """Yield the layers with parameters, in the order in which the model was given them."""
    modules = {tuple(map(str, path)): module for path, module in nnx.iter_modules(model)}
    modules = {path: modules[path] for path in sorted(modules, key=partial(_place, modules))}
    leaves = {
        (*path, name): value
        for path, module in modules.items()
        for name, value in vars(module).items()
        if isinstance(value, nnx.Param | nnx.BatchStat)
    }
    for path, own in grouped(leaves):
        shapes = {name: tuple(variable.shape) for name, variable in own.items()}
        epsilon = getattr(modules[path], "epsilon", None)
        yield Slot(
            ".".join(path) or "model", shapes, partial(arrays, shapes), partial(_put, own), epsilon, modules[path]
        )


def _place(modules: Mapping[tuple[str, ...], Any], path: tuple[str, ...]) -> list[int]:
    """Return where each part of a path stands among the attributes of its module; the graph sorts them by name."""
    places = []
    for depth, name in enumerate(path):
        beside = list(vars(modules[path[:depth]])) if path[:depth] in modules else []
        places.append(beside.index(name) if name in beside else int(name) if name.isdigit() else 0)
    return places


def _put(held: Mapping[str, Any], given: Mapping[str, Array]) -> None:
    for name, array in given.items():
        held[name][...] = jnp.asarray(array, held[name].dtype)


def finished(model: nnx.Module, _planned: Sequence[tuple[Slot, Arrays]]) -> nnx.Module:
    """Return the model, filled in place."""
    return model
