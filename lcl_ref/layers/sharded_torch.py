"""`ShardedLocal`: a torch module whose positions, and so whose weights, lie on several processes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

from lcl_ref.core.spec import Spec
from lcl_ref.errors import ShapeError, SpecError, Violation
from lcl_ref.layers.engines.shards import Cut, check_whole, layer_of_a_shard, resized
from lcl_ref.layers.engines.torch import local
from lcl_ref.layers.engines.torch_shards import Everywhere, Halo, Windows, guarded


class ShardedLocal(nn.Module):
    """A locally connected layer of which this process has some positions: their weights, and the sites of their share.

    What windows see of others comes before by `isend` and `irecv`, and the gradient of it goes back the same way;
    weights and their gradients never move. Optimisers hold states of what a process has, and need nothing special.

    Parameters
    ----------
    spec : Spec
        The whole layer, of rank 1 to 3.
    axis : int or sequence of int
        The spatial axis that is cut, or several; none may be shared.
    group : torch.distributed.ProcessGroup or torch.distributed.device_mesh.DeviceMesh, optional
        The processes; all of them, without. Several axes need a mesh with a dimension for each, in their order.
    device, dtype
        Of the parameters.

    Attributes
    ----------
    weight, bias : torch.nn.Parameter
        Those of the positions of this process, in canonical layout. A bias per channel is the same everywhere: its
        gradient is summed over the processes, and it starts at 0.
    sites, positions : tuple of int
        The first and the last of this process, the last one excluded; of several axes, such a pair for each.

    Raises
    ------
    SpecError
        If an axis is none that can be cut, or the mesh has another number of dimensions.

    Notes
    -----
    Input ``(n, i*, ci)`` and output ``(n, o*, co)``, channels last, of this process's sites and positions alone. Where
    a process is lost, a call on any other ends with one error, after the timeout of the group at the latest
    (`torch.distributed.init_process_group`).
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self,
        spec: Spec,
        axis: int | Sequence[int] = 0,
        group: Any = None,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        axes = [axis] if isinstance(axis, int) else list(axis)
        self.spec, self.axis, self.group = spec, axis, group
        self.halo, self._groups = _of_this_process(spec, axes, group)
        cuts, at = self.halo.cuts, self.halo.at
        sites = [cuts[one].own_sites(at[one]) for one in axes]
        self._own = [cuts[one].own_positions(at[one]) for one in axes]
        self.sites: Any = sites[0] if isinstance(axis, int) else tuple(sites)
        self.positions: Any = self._own[0] if isinstance(axis, int) else tuple(self._own)
        self._count = {one: last - first for one, (first, last) in zip(axes, self._own, strict=True)}
        self._part = layer_of_a_shard(spec, self.halo.span).to_json() if all(self._count.values()) else ""
        shapes = {"weight": spec.weight_shape} | ({} if spec.bias_shape is None else {"bias": spec.bias_shape})
        for name, shape in shapes.items():
            own = resized(shape, self._count) if self._is_cut(name) else shape
            setattr(self, name, nn.Parameter(torch.empty(own, device=device, dtype=dtype)))
        if spec.bias == "none":
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _is_cut(self, name: str) -> bool:
        return name == "weight" or self.spec.bias == "position"

    def reset_parameters(self) -> None:
        """Draw weight and bias uniformly from ``+-1 / sqrt(fan_in)``; a bias per channel is zeros."""
        bound = 1 / math.sqrt(self.spec.fan_in)
        for name, parameter in self.named_parameters():
            nn.init.uniform_(parameter, -bound, bound) if self._is_cut(name) else nn.init.zeros_(parameter)

    def load_canonical(self, weight: Any, bias: Any = None) -> None:
        """Take this process's part of weight and bias of the whole layer, as `canonical` gives them.

        Of an array that a file is mapped to (``numpy.load(..., mmap_mode="r")``) only that part is read.

        Raises
        ------
        ShapeError
            If a shape is not the one the layer asks for.
        """
        given = {"weight": weight} | ({} if bias is None else {"bias": bias})
        if given.keys() != {name for name, _ in self.named_parameters()}:
            got = "one" if "bias" in given else "none"
            raise ShapeError(Violation("sharded/bias", "bias", got, f"that of bias={self.spec.bias!r}"))
        for name, array in given.items():
            check_whole(self.spec, name, array.shape, [getattr(self.spec, f"{name}_shape")])
            own = [slice(None)] * self.spec.rank
            for axis, ends in zip(self.halo.cuts, self._own, strict=True):
                own[axis] = slice(*ends)
            with torch.no_grad():
                part = array[tuple(own)] if self._is_cut(name) else array[...]
                getattr(self, name).copy_(part if isinstance(part, Tensor) else torch.tensor(part))

    def canonical(self) -> tuple[Tensor, Tensor | None]:
        """Return weight and bias of the whole layer, on every process: a checkpoint for any number of processes.

        Every process must call it.
        """
        bias = None if self.bias is None else self._whole(self.bias) if self._is_cut("bias") else self.bias.detach()
        return self._whole(self.weight), bias

    def _whole(self, own: Tensor) -> Tensor:
        """Return the parts of all processes, gathered along one axis after the other; they travel in one length."""
        found = own.detach()
        for (axis, cut), group in zip(self.halo.cuts.items(), self._groups, strict=True):
            even = found.new_zeros(resized(found.shape, {axis: cut.positions}))
            even.narrow(axis, 0, self._count[axis]).copy_(found)
            parts = [torch.empty_like(even) for _ in range(cut.shards)]
            guarded(partial(dist.all_gather, parts, even, group=group))
            found = torch.cat(parts, axis).narrow(axis, 0, self.spec.output_size[axis])
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Return ``y (n, o*, co)`` of this process's positions, of ``x (n, i*, ci)`` of its sites.

        Raises
        ------
        ShapeError
            If x is not of that shape.
        LclError
            If a process is lost.
        """
        own = resized(self.spec.x_shape(len(x)), {axis + 1: size for axis, size in self.halo.sites.items()})
        check_whole(self.spec, "x", x.shape, [own])
        seen: Tensor = Windows.apply(x, self.halo)  # type: ignore[no-untyped-call]
        bias = self.bias
        if bias is not None and not self._is_cut("bias"):
            bias = Everywhere.apply(bias, self._groups)  # type: ignore[no-untyped-call]
        if not self._part:  # more processes than positions: a backward pass comes by here all the same
            empty = seen.new_zeros(resized(self.spec.y_shape(len(x)), {axis + 1: n for axis, n in self._count.items()}))
            return empty + seen.sum() + self.weight.sum() + (0 if bias is None else bias.sum())
        return local(self._part, seen, self.weight, bias)

    def extra_repr(self) -> str:
        """Return what of the layer this process has."""
        grid = " x ".join(str(cut.shards) for cut in self.halo.cuts.values())
        return f"positions {self.positions} of axis {self.axis}, of {grid} processes"


def _of_this_process(spec: Spec, axes: Sequence[int], group: Any) -> tuple[Halo, list[Any]]:
    """Return what this process does along the axes, and the groups to gather and sum in along each.

    Raises
    ------
    SpecError
        If they do not fit.
    """
    mesh = isinstance(group, DeviceMesh)
    if len(set(axes)) != len(axes) or not all(0 <= axis < spec.rank and not spec.shared[axis] for axis in axes):
        text = f"axes whose positions have weights of their own, of {spec.rank}, each once"
        raise SpecError(Violation("sharded/axis", "axis", f"{axes}, shared {spec.shared}", text))
    ranks = group.mesh if mesh else torch.tensor(dist.get_process_group_ranks(group))
    if ranks.ndim != len(axes):
        text = f"a DeviceMesh of {len(axes)} dimensions, for axes {axes}"
        raise SpecError(Violation("sharded/axis", "group", f"{ranks.ndim} dimensions", text))
    own = group.get_coordinate() if mesh else [dist.get_rank(group)]
    found = {axis: Cut(spec, axis, count) for axis, count in zip(axes, ranks.shape, strict=True)}
    halo = Halo(spec, found, dict(zip(axes, own, strict=True)), ranks, None if mesh else group)
    return halo, [group.get_group(number) for number in range(len(axes))] if mesh else [group]
