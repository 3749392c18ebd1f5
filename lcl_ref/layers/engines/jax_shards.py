"""The layer in JAX over the devices of a mesh: halos move by `ppermute`, each device computes its own positions."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import PartitionSpec

from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines.jax import local
from lcl_ref.layers.engines.shards import Box, Cut, boxes, layer_of_a_shard, resized

Names = tuple[str | None, ...]
"""The mesh axis along which each axis of an array is cut, or None."""


def padded(array: Any, sizes: Mapping[int, int]) -> Any:
    """Return an array with zeros at the end of axes that are to be so long."""
    more = [(0, sizes.get(axis, size) - size) for axis, size in enumerate(array.shape)]
    return jnp.pad(array, more) if any(more) and any(after for _, after in more) else array


def computed(spec: Spec, mesh: Any, names: Names, batch: str | None, cut: Mapping[int, Cut], operands: Any) -> Any:
    """Return y of padded operands, its positions padded too.

    Parameters
    ----------
    spec : Spec
        The layer.
    mesh : jax.sharding.Mesh
        The devices.
    names : tuple of (str or None)
        Mesh axis of each spatial axis.
    batch : str or None
        Mesh axis of the samples.
    cut : mapping of int to Cut
        The cuts of axes with a name.
    operands : tuple of array
        x ``(n, b*, ci)``, weight ``(p*, k*, cg, co)``, and the bias, if there is one.
    """
    sites = PartitionSpec(batch, *names)
    own = PartitionSpec(*(None if shared else name for name, shared in zip(names, spec.shared, strict=True)))
    offsets = PartitionSpec(*names) if spec.bias == "position" else PartitionSpec()
    run = partial(of_a_device, spec, names, in_order_of(mesh, names, cut))
    return jax.shard_map(
        run,
        mesh=mesh,
        in_specs=(sites, own, offsets)[: len(operands)],
        out_specs=sites,
        axis_names={name for name in (batch, *names) if name is not None},
        check_vma=False,
    )(*operands)


def in_order_of(mesh: Any, names: Names, cut: Mapping[int, Cut]) -> dict[int, Cut]:
    """Return the cuts as axes of the mesh come, for so `jax.lax.ppermute` counts devices, however axes are given."""
    return {axis: cut[axis] for axis in sorted(cut, key=lambda axis: mesh.axis_names.index(names[axis]))}


def of_a_device(spec: Spec, names: Names, cut: Mapping[int, Cut], x: Any, weight: Any, bias: Any = None) -> Any:
    """Return y of the positions of one device, of its sites and weights; names of the mesh's axes are bound."""
    part = layer_of_a_shard(spec, {axis: one.window for axis, one in cut.items()})
    return local(part, windows(spec, x, cut, names), weight, bias)


def windows(spec: Spec, x: Any, cut: Mapping[int, Cut], names: Names) -> Any:
    """Return the sites that the windows of this device see, zeros in the padding.

    A move is a box that is cut off at the source and put in at the target; those of one form over one distance are one
    `ppermute`.
    """
    for axis, one in cut.items():
        x = _of_sites(x, one, lax.axis_index(names[axis]))
    seen = x
    for axis, one in cut.items():
        seen = _window(seen, one, lax.axis_index(names[axis]))
    for moves in _together(boxes(spec, cut)):
        seen = _exchanged(x, seen, cut, names, moves)
    return seen


def _window(x: Any, cut: Cut, shard: Any) -> Any:
    """Return what windows see of the sites of this device along one axis, zeros elsewhere."""
    axis = cut.axis + 1
    around = [(cut.window, cut.window) if number == axis else (0, 0) for number in range(x.ndim)]
    # A device of few or no positions may start beyond its sites: what it sees then is zeros, and is not used.
    starts = [_clipped(cut.start(number) - number * cut.sites, cut) + cut.window for number in range(cut.shards)]
    return lax.dynamic_slice_in_dim(jnp.pad(x, around), jnp.asarray(starts)[shard], cut.window, axis)


def _of_sites(x: Any, cut: Cut, shard: Any) -> Any:
    """Return x with zeros for what makes shards even; after a layer that computed there, it may be anything."""
    size = cut.spec.input_size[cut.axis]
    if size == cut.shards * cut.sites:
        return x
    here = jnp.arange(cut.sites) + shard * cut.sites < size
    return jnp.where(here.reshape(-1, *(1,) * (x.ndim - cut.axis - 2)), x, 0)


def _clipped(offset: int, cut: Cut) -> int:
    return min(max(offset, -cut.window), cut.sites)


def _together(moves: Sequence[Box]) -> Iterable[list[Box]]:
    """Return the moves by distance and form."""
    found: dict[Any, list[Box]] = defaultdict(list)
    for box in moves:
        found[tuple((one.source - one.target, one.sees) for one in box)].append(box)
    return found.values()


def _exchanged(x: Any, seen: Any, cut: Mapping[int, Cut], names: Names, moves: Sequence[Box]) -> Any:
    """Return the windows with what came: one box to each device at most."""
    pairs, sent, put, here = _tables(cut, moves)
    along, box = tuple(names[axis] for axis in cut), moves[0]
    device = lax.axis_index(along)
    starts = [[0, *jnp.asarray(table)[device], 0] for table in (sent, put)]
    sizes = (len(x), *(one.span for one in box), x.shape[-1])
    came = _spread(box, lax.ppermute(_chosen(box, lax.dynamic_slice(x, starts[0], sizes)), along, pairs))
    kept = lax.dynamic_slice(seen, starts[1], sizes)
    return lax.dynamic_update_slice(seen, jnp.where(jnp.asarray(here)[device], came, kept), starts[1])


def _tables(cut: Mapping[int, Cut], moves: Sequence[Box]) -> tuple[list[tuple[int, int]], Any, Any, Any]:
    """Return who sends to whom, and per device where its box is among its sites and its windows, and if one comes."""
    grid = [one.shards for one in cut.values()]
    sent, put = (np.zeros((math.prod(grid), len(moves[0])), np.int32) for _ in range(2))
    pairs, here = [], np.zeros(math.prod(grid), bool)
    for box in moves:
        ends = ([box[axis].source for axis in cut], [box[axis].target for axis in cut])
        source, target = (int(np.ravel_multi_index(at, grid)) for at in ends)
        pairs.append((source, target))
        sent[source], put[target] = ([one.first for one in box] for _ in range(2))
        for axis, one in cut.items():
            sent[source, axis] -= one.sites * box[axis].source
            put[target, axis] -= one.start(box[axis].target)
        here[target] = True
    return pairs, sent, put, here


def _chosen(box: Box, sites: Any) -> Any:
    """Return those of the sites of a box that are seen."""
    for axis, one in enumerate(box, 1):
        sites = sites if len(one.sees) == one.span else jnp.take(sites, np.array(one.sees), axis, mode="clip")
    return sites


def _spread(box: Box, seen: Any) -> Any:
    """Return the box with what is seen of it, zeros elsewhere: the adjoint of `_chosen`."""
    for axis, one in enumerate(box, 1):
        if len(one.sees) != one.span:
            empty = jnp.zeros(resized(seen.shape, {axis: one.span}), seen.dtype)
            places = (slice(None),) * axis + (np.array(one.sees),)
            seen = empty.at[places].set(seen, unique_indices=True, indices_are_sorted=True)
    return seen
