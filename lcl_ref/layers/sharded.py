"""Layers of JAX whose positions, and so whose weights, lie on several devices; only halos move.

`Sharded` is told the mesh; `partitioned` is cut as XLA cuts the program that it stands in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from lcl_ref.core.spec import Spec
from lcl_ref.errors import SpecError, Violation
from lcl_ref.layers.engines import jax_partitioned, jax_shards
from lcl_ref.layers.engines.shards import Cut, check_whole, cuts, halo, resized


def partitioned(spec: Spec, x: Any, weight: Any, bias: Any = None) -> Any:
    """Return ``y (n, o*, co)`` of ``x (n, i*, ci)`` with canonical weight and bias, in the dtype of x.

    Under `jax.jit` with shardings along automatic axes of a mesh, y is cut by positions as the weight is, and of x only
    halos move, forward and in gradients of any order. Channels and taps are whole on every device.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from lcl_ref import Spec
    >>> from lcl_ref.layers.sharded import partitioned
    >>> spec = Spec(input_size=8, in_channels=2, out_channels=3, kernel_size=3, padding=1)
    >>> weight, bias = np.ones(spec.weight_shape, "float32"), np.zeros(spec.bias_shape, "float32")
    >>> jax.jit(lambda *operands: partitioned(spec, *operands))(np.ones((4, 8, 2), "float32"), weight, bias).shape
    (4, 8, 3)
    """
    return jax_partitioned.local(spec, jnp.asarray(x), jnp.asarray(weight), bias)


@dataclass(frozen=True)
class Sharded:
    """A locally connected layer over the devices of a mesh, as a function of its operands.

    Each device has a run of positions along every axis with a name: their weights, which never move, and of x the sites
    of the same share. What its windows see of others comes by `jax.lax.ppermute` before, and the gradient of it goes
    back the same way. It may stand under `jax.jit`, `jax.grad` and the other transformations.

    Parameters
    ----------
    spec : Spec
        The layer, of rank 1 to 3.
    mesh : jax.sharding.Mesh
        The devices.
    axes : sequence of (str or None)
        The axis of the mesh along which each spatial axis is cut; None leaves it whole.
    batch : str, optional
        The axis of the mesh along which samples are cut, for data parallelism besides: weights are then the same there.

    Raises
    ------
    SpecError
        If the axes do not fit the layer and the mesh.

    Notes
    -----
    Where a number of positions is not a multiple of the devices, the last ones have fewer: weights are then padded with
    zeros to a multiple (`weight_shape`), as arrays of JAX are cut evenly.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from lcl_ref import Spec
    >>> from lcl_ref.layers.sharded import Sharded
    >>> spec = Spec(input_size=(12, 9), in_channels=2, out_channels=3, kernel_size=3, padding=1)
    >>> layer = Sharded(spec, jax.make_mesh((jax.device_count(),), ("rows",)), ("rows", None))
    >>> weight, bias = layer.place(np.ones(spec.weight_shape, "float32"), np.zeros(spec.bias_shape, "float32"))
    >>> layer(np.ones((4, 12, 9, 2), "float32"), weight, bias).shape
    (4, 12, 9, 3)
    """

    spec: Spec
    mesh: Any
    axes: Sequence[str | None]
    batch: str | None = None

    def __post_init__(self) -> None:
        """Refuse axes that do not fit."""
        object.__setattr__(self, "axes", tuple(self.axes))
        named = [name for name in (*self.axes, self.batch) if name is not None]
        if len(self.axes) != self.spec.rank or not self.spec.rank or set(named) - set(self.mesh.axis_names):
            expected = f"a name or None per spatial axis ({self.spec.rank}), names of {self.mesh.axis_names}"
            raise SpecError(Violation("sharded/axes", "axes", f"{self.axes}, batch {self.batch}", expected))
        if len(set(named)) != len(named):
            raise SpecError(Violation("sharded/axes", "axes", f"{named}", "each axis of the mesh once"))

    @cached_property
    def cuts(self) -> dict[int, Cut]:
        """The cuts by spatial axis, of those that lie on more than one device."""
        return cuts(self.spec, [1 if name is None else self.mesh.shape[name] for name in self.axes])

    @property
    def halo_elements(self) -> int:
        """Elements of x per sample that move in a forward pass, all devices together; as many go back in a backward.

        These are what windows see beyond their devices, each once, and no more.
        """
        return halo(self.spec, self.cuts)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the weight that is cut evenly."""
        own = {axis: cut for axis, cut in self.cuts.items() if not self.spec.shared[axis]}
        return resized(self.spec.weight_shape, {axis: cut.shards * cut.positions for axis, cut in own.items()})

    @property
    def bias_shape(self) -> tuple[int, ...] | None:
        """Shape of the bias that is cut evenly; None without one."""
        return self.y_shape(1)[1:] if self.spec.bias == "position" else self.spec.bias_shape

    def x_shape(self, batch: int) -> tuple[int, ...]:
        """Return the shape of x that is cut evenly."""
        sites = {axis + 1: cut.shards * cut.sites for axis, cut in self.cuts.items()}
        return resized(self.spec.x_shape(batch), sites)

    def y_shape(self, batch: int) -> tuple[int, ...]:
        """Return the shape of y that is cut evenly."""
        positions = {axis + 1: cut.shards * cut.positions for axis, cut in self.cuts.items()}
        return resized(self.spec.y_shape(batch), positions)

    def shardings(self) -> dict[str, NamedSharding]:
        """Return how weight and bias are cut, by name; optimiser states are cut alike."""
        own = (None if shared else name for name, shared in zip(self.axes, self.spec.shared, strict=True))
        found = {"weight": PartitionSpec(*own)}
        if self.spec.bias != "none":
            found["bias"] = PartitionSpec(*self.axes) if self.spec.bias == "position" else PartitionSpec()
        return {name: NamedSharding(self.mesh, one) for name, one in found.items()}

    def sharding_of_x(self) -> NamedSharding:
        """Return how x and y are cut."""
        return NamedSharding(self.mesh, PartitionSpec(self.batch, *self.axes))

    def place(self, weight: Any, bias: Any = None) -> tuple[Any, Any]:
        """Return canonical weight and bias on their devices, padded to a multiple of them.

        Raises
        ------
        ShapeError
            If a shape is not the one the layer asks for.
        """
        given = {"weight": weight} | ({} if bias is None else {"bias": bias})
        even = {"weight": self.weight_shape, "bias": self.bias_shape}
        found = {}
        for name, array in given.items():
            check_whole(self.spec, name, np.shape(array), [getattr(self.spec, f"{name}_shape") or ()])
            more = [(0, long - size) for size, long in zip(np.shape(array), even[name] or (), strict=True)]
            found[name] = jax.device_put(np.pad(np.asarray(array), more), self.shardings()[name])
        return found["weight"], found.get("bias")

    def canonical(self, weight: Any, bias: Any = None) -> tuple[Any, Any]:
        """Return weight and bias as `place` took them, in NumPy: what a checkpoint holds, for any number of devices."""
        own = np.asarray(weight)[tuple(slice(size) for size in self.spec.weight_shape)]
        cut = None if bias is None else np.asarray(bias)[tuple(slice(size) for size in self.spec.bias_shape or ())]
        return own, cut

    def __call__(self, x: Any, weight: Any, bias: Any = None, *, even: bool = False) -> Any:
        """Return ``y (n, o*, co)`` of ``x (n, i*, ci)`` with weight and bias, canonical or as `place` returns them.

        Where a size is no multiple of the devices, JAX has x and y whole on each. If `even`, x has the shape `x_shape`
        and y `y_shape`, with anything at their ends, and nothing but halos moves; y is what a next layer takes for x.

        Raises
        ------
        ShapeError
            If a shape does not fit.
        """
        spec, batch = self.spec, len(x)
        check_whole(spec, "x", x.shape, [self.x_shape(batch) if even else spec.x_shape(batch)])
        check_whole(spec, "weight", weight.shape, [spec.weight_shape, self.weight_shape])
        operands = [x, weight]
        if bias is not None:
            check_whole(spec, "bias", bias.shape, [spec.bias_shape or (), self.bias_shape or ()])
            operands.append(bias)
        return self._of_the_mesh[even](*map(jnp.asarray, operands))

    @cached_property
    def _of_the_mesh(self) -> tuple[Any, Any]:
        """The layer as a function, of whole and of even x; explicit axes of the mesh are automatic inside."""
        types = dict(zip(self.mesh.axis_names, self.mesh.axis_types, strict=True))
        used = {name for name in (*self.axes, self.batch) if name is not None and types[name] == AxisType.Explicit}
        found = []
        for even, divided in ((False, [self._divides(axis) for axis in range(self.spec.rank)]), (True, None)):
            run = partial(self._computed, even)
            names = [name if divided is None or divided[axis] else None for axis, name in enumerate(self.axes)]
            sharding = NamedSharding(self.mesh, PartitionSpec(self.batch, *names))
            found.append(jax.sharding.auto_axes(run, axes=tuple(sorted(used)), out_sharding=sharding) if used else run)
        return found[0], found[1]

    def _divides(self, axis: int) -> bool:
        return axis not in self.cuts or self.spec.output_size[axis] % self.cuts[axis].shards == 0

    def _computed(self, even: bool, x: Any, weight: Any, bias: Any = None) -> Any:
        spec = self.spec
        if not len(x):  # XLA cannot cut an array without elements
            nothing = jnp.zeros(self.y_shape(0) if even else spec.y_shape(0), x.dtype)
            return nothing + weight.sum().astype(x.dtype)  # so that it is of these devices
        operands = [
            jax_shards.padded(x, dict(enumerate(self.x_shape(len(x))))),
            jax_shards.padded(weight, dict(enumerate(self.weight_shape))),
        ]
        if bias is not None:
            operands.append(jax_shards.padded(bias, dict(enumerate(self.bias_shape or ()))))
        context = jax.sharding.get_abstract_mesh()
        mesh = self.mesh if context.empty else context
        y = jax_shards.computed(spec, mesh, tuple(self.axes), self.batch, self.cuts, operands)
        return y if even else y[(slice(None), *(slice(size) for size in spec.output_size))]
