"""The layer in JAX over the devices of a mesh: halos move by `ppermute`, each device computes its own positions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec

from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines.jax import local
from lcl_ref.layers.engines.shards import Cut, Move, layer_of_a_shard

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
    run = partial(_of_a_device, layer_of_a_shard(spec, {axis: one.window for axis, one in cut.items()}), names, cut)
    return jax.shard_map(
        run,
        mesh=mesh,
        in_specs=(sites, own, offsets)[: len(operands)],
        out_specs=sites,
        axis_names={name for name in (batch, *names) if name is not None},
        check_vma=False,
    )(*operands)


def _of_a_device(part: Spec, names: Names, cut: Mapping[int, Cut], x: Any, weight: Any, bias: Any = None) -> Any:
    """Return y of the positions of one device."""
    for axis, one in cut.items():
        x = windows(x, one, names[axis])
    return local(part, x, weight, bias)


def windows(x: Any, cut: Cut, name: Any) -> Any:
    """Return the sites that the windows of this device see along one axis, zeros in the padding.

    A move is a slice that is cut off at the source and put in at the target; those of one length over one distance are
    one `ppermute`, so that nothing moves that is not seen.
    """
    axis, shard = cut.axis + 1, lax.axis_index(name)
    x = _of_sites(x, cut, shard)
    starts = [cut.start(number) for number in range(cut.shards)]
    around = [(cut.window, cut.window) if number == axis else (0, 0) for number in range(x.ndim)]
    # A device of few or no positions may start beyond its sites: what it sees then is zeros, and is not used.
    first = [_clipped(start - number * cut.sites, cut) + cut.window for number, start in enumerate(starts)]
    seen = lax.dynamic_slice_in_dim(jnp.pad(x, around), _at(first, shard), cut.window, axis)
    for (_, count), moves in _together(cut.moves).items():
        sent, put, here = [0] * cut.shards, [0] * cut.shards, [False] * cut.shards
        for move in moves:
            sent[move.source] = move.first - move.source * cut.sites
            put[move.target], here[move.target] = move.first - starts[move.target], True
        slab = lax.dynamic_slice_in_dim(x, _at(sent, shard), count, axis)
        came = lax.ppermute(slab, name, [(move.source, move.target) for move in moves])
        place = _at(put, shard)
        kept = lax.dynamic_slice_in_dim(seen, place, count, axis)
        seen = lax.dynamic_update_slice_in_dim(seen, jnp.where(_at(here, shard), came, kept), place, axis)
    return seen


def _of_sites(x: Any, cut: Cut, shard: Any) -> Any:
    """Return x with zeros for what makes shards even; after a layer that computed there, it may be anything."""
    size = cut.spec.input_size[cut.axis]
    if size == cut.shards * cut.sites:
        return x
    here = jnp.arange(cut.sites) + shard * cut.sites < size
    return jnp.where(here.reshape(-1, *(1,) * (x.ndim - cut.axis - 2)), x, 0)


def _clipped(offset: int, cut: Cut) -> int:
    return min(max(offset, -cut.window), cut.sites)


def _together(moves: tuple[Move, ...]) -> dict[tuple[int, int], list[Move]]:
    """Return the moves by distance and length."""
    found: dict[tuple[int, int], list[Move]] = defaultdict(list)
    for move in moves:
        found[move.source - move.target, move.count].append(move)
    return found


def _at(table: list[Any], shard: Any) -> Any:
    return jnp.asarray(table)[shard]
