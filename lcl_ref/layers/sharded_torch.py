"""`ShardedLocal`: a torch module whose positions, and so whose weights, lie on the processes of a group."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lcl_ref.core.spec import Spec
from lcl_ref.errors import ShapeError, SpecError, Violation
from lcl_ref.layers.engines.shards import Cut, check_whole, layer_of_a_shard, resized
from lcl_ref.layers.engines.torch import local
from lcl_ref.layers.engines.torch_shards import Everywhere, Halo, Windows, guarded


class ShardedLocal(nn.Module):
    """A locally connected layer of which this process has some positions along one axis: their weights and their sites.

    What windows see of others comes before by `isend` and `irecv`, and the gradient of it goes back the same way;
    weights and their gradients never move. Optimisers hold states of what a process has, and need nothing special.

    Parameters
    ----------
    spec : Spec
        The whole layer, of rank 1 to 3.
    axis : int
        The spatial axis that is cut; it must not be shared.
    group : torch.distributed.ProcessGroup, optional
        The processes; all of them, without.
    device, dtype
        Of the parameters.

    Attributes
    ----------
    weight, bias : torch.nn.Parameter
        Those of the positions of this process, in canonical layout. A bias per channel is the same everywhere: its
        gradient is summed over the group, and it starts at 0.
    sites, positions : tuple of int
        The first and the last of this process, the last one excluded.

    Raises
    ------
    SpecError
        If the axis is none that can be cut.

    Notes
    -----
    Input ``(n, i*, ci)`` and output ``(n, o*, co)``, channels last, of this process's sites and positions alone. Where
    a process is lost, a call on any other ends with one error, after the timeout of the group at the latest
    (`torch.distributed.init_process_group`).
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self, spec: Spec, axis: int = 0, group: Any = None, device: Any = None, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        if not 0 <= axis < spec.rank or spec.shared[axis]:
            text = f"an axis whose positions have weights of their own, of {spec.rank}"
            raise SpecError(Violation("sharded/axis", "axis", f"{axis}, shared {spec.shared}", text))
        self.spec, self.axis, self.group = spec, axis, group
        self.halo = Halo(Cut(spec, axis, dist.get_world_size(group)), dist.get_rank(group), group)
        cut, rank = self.halo.cut, self.halo.rank
        self.sites, self.positions = cut.own_sites(rank), cut.own_positions(rank)
        self._part = layer_of_a_shard(spec, {axis: self.halo.span}).to_json() if self._count else ""
        shapes = {"weight": spec.weight_shape} | ({} if spec.bias_shape is None else {"bias": spec.bias_shape})
        for name, shape in shapes.items():
            own = resized(shape, {axis: self._count}) if self._is_cut(name) else shape
            setattr(self, name, nn.Parameter(torch.empty(own, device=device, dtype=dtype)))
        if spec.bias == "none":
            self.register_parameter("bias", None)
        self.reset_parameters()

    @property
    def _count(self) -> int:
        return self.positions[1] - self.positions[0]

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
            own = (*(slice(None),) * self.axis, slice(*self.positions)) if self._is_cut(name) else ...
            with torch.no_grad():
                part = array[own]
                getattr(self, name).copy_(part if isinstance(part, Tensor) else torch.tensor(part))

    def canonical(self) -> tuple[Tensor, Tensor | None]:
        """Return weight and bias of the whole layer, on every process: a checkpoint for any number of processes.

        Every process must call it.
        """
        bias = None if self.bias is None else self._whole(self.bias) if self._is_cut("bias") else self.bias.detach()
        return self._whole(self.weight), bias

    def _whole(self, own: Tensor) -> Tensor:
        """Return the parts of all processes along the axis; they travel in one length."""
        cut = self.halo.cut
        even = own.new_zeros(resized(own.shape, {self.axis: cut.positions}))
        even.narrow(self.axis, 0, self._count).copy_(own.detach())
        parts = [torch.empty_like(even) for _ in range(cut.shards)]
        guarded(lambda: dist.all_gather(parts, even, group=self.group))
        return torch.cat(parts, self.axis).narrow(self.axis, 0, self.spec.output_size[self.axis])

    def forward(self, x: Tensor) -> Tensor:
        """Return ``y (n, o*, co)`` of this process's positions, of ``x (n, i*, ci)`` of its sites.

        Raises
        ------
        ShapeError
            If x is not of that shape.
        LclError
            If a process is lost.
        """
        own = resized(self.spec.x_shape(len(x)), {self.axis + 1: self.sites[1] - self.sites[0]})
        check_whole(self.spec, "x", x.shape, [own])
        seen: Tensor = Windows.apply(x, self.halo)  # type: ignore[no-untyped-call]
        bias = self.bias
        if bias is not None and not self._is_cut("bias"):
            bias = Everywhere.apply(bias, self.group)  # type: ignore[no-untyped-call]
        if not self._part:  # more processes than positions: a backward pass comes by here all the same
            empty = seen.new_zeros(resized(self.spec.y_shape(len(x)), {self.axis + 1: 0}))
            return empty + seen.sum() + self.weight.sum() + (0 if bias is None else bias.sum())
        return local(self._part, seen, self.weight, bias)

    def extra_repr(self) -> str:
        """Return what of the layer this process has."""
        first, last = self.positions
        return (
            f"positions {first} to {last - 1} of axis {self.axis}, process {self.halo.rank} of {self.halo.cut.shards}"
        )
