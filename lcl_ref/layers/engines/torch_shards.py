"""Halos over a process group of torch: sites go to whose windows see them, and their gradients come back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from lcl_ref.core.spec import Spec
from lcl_ref.errors import LclError, Violation
from lcl_ref.layers.engines.shards import Cut, resized, views

Place = tuple[tuple[int, tuple[int, ...]], ...]
"""A box of an array: along each spatial axis its first element, and its elements counted from that one."""


@dataclass(frozen=True)
class Halo:
    """What one process keeps, sends and gets.

    Parameters
    ----------
    spec : Spec
        The layer.
    cuts : mapping of int to Cut
        The axes that are cut.
    at : mapping of int to int
        The shard of this process along each.
    ranks : torch.Tensor
        The processes of the grid, by shard, as numbers among all.
    group : torch.distributed.ProcessGroup or None
        One that they are of.
    """

    spec: Spec
    cuts: Mapping[int, Cut]
    at: Mapping[int, int]
    ranks: Tensor
    group: Any

    @cached_property
    def sites(self) -> dict[int, int]:
        """Sites of this process, by axis."""
        ends = {axis: cut.own_sites(self.at[axis]) for axis, cut in self.cuts.items()}
        return {axis: last - first for axis, (first, last) in ends.items()}

    @cached_property
    def span(self) -> dict[int, int]:
        """Elements that the windows of this process span, by axis."""
        ends = {axis: cut.own_positions(self.at[axis]) for axis, cut in self.cuts.items()}
        return {axis: self.cuts[axis].span(last - first) for axis, (first, last) in ends.items()}

    @cached_property
    def here(self) -> tuple[Place, Place] | None:
        """Where windows see sites of this process itself: among the sites and among the windows, gaps included."""
        for source, target, sites, seen in self._parts:
            if source == target:
                dense = [[(first, tuple(range(sees[-1] + 1))) for first, sees in place] for place in (sites, seen)]
                return tuple(dense[0]), tuple(dense[1])
        return None

    @cached_property
    def sent(self) -> list[tuple[int, Place]]:
        """What others see of the sites, and who."""
        return [(target, sites) for source, target, sites, _ in self._parts if source == self._rank != target]

    @cached_property
    def got(self) -> list[tuple[int, Place]]:
        """Where windows see sites of others, and whose."""
        return [(source, seen) for source, target, _, seen in self._parts if target == self._rank != source]

    @property
    def _rank(self) -> int:
        return int(self.ranks[tuple(self.at.values())])

    @cached_property
    def _parts(self) -> list[tuple[int, int, Place, Place]]:
        """What this process has or gets: of whom, to whom, its place among sites, and among windows."""
        found = []
        for box in views(self.spec, self.cuts):
            ends = (tuple(box[axis].source for axis in self.cuts), tuple(box[axis].target for axis in self.cuts))
            source, target = (int(self.ranks[end]) for end in ends)
            if self._rank in (source, target):
                starts = [(0, 0)] * self.spec.rank
                for axis, cut in self.cuts.items():
                    starts[axis] = cut.own_sites(box[axis].source)[0], cut.start(box[axis].target)
                sites, seen = (
                    tuple((one.first - start[side], one.sees) for one, start in zip(box, starts, strict=True))
                    for side in (0, 1)
                )
                found.append((source, target, sites, seen))
        return found


class Windows(torch.autograd.Function):
    """From the sites of this process to what its windows see, zeros in the padding; and the adjoint."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, halo: Halo) -> Tensor:
        """Return ``(n, window*, ci)`` of ``(n, sites*, ci)``."""
        ctx.halo = halo
        return _carried(halo, x, halo.span, halo.here, halo.sent, halo.got)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of the sites, what others saw of them included."""
        halo = ctx.halo
        here = halo.here and halo.here[::-1]
        return _carried(halo, gradients[0], halo.sites, here, halo.got, halo.sent), None


class Everywhere(torch.autograd.Function):
    """A parameter that is the same on every process: its gradient is the sum of all."""

    @staticmethod
    def forward(ctx: Any, parameter: Tensor, groups: Sequence[Any]) -> Tensor:
        """Return the parameter; the groups are those along each axis of the grid of processes."""
        ctx.groups = groups
        return parameter.view_as(parameter)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the sum of the gradients."""
        total = gradients[0].contiguous().clone()
        for group in ctx.groups:
            guarded(partial(dist.all_reduce, total, group=group))
        return total, None


def _carried(
    halo: Halo,
    source: Tensor,
    sizes: Mapping[int, int],
    here: tuple[Place, Place] | None,
    gone: Sequence[tuple[int, Place]],
    into: Sequence[tuple[int, Place]],
) -> Tensor:
    """Return zeros of other sizes along the axes that are cut, with what is kept and what comes added."""
    target = source.new_zeros(resized(source.shape, {axis + 1: size for axis, size in sizes.items()}))
    if here:
        _box(target, here[1]).add_(_box(source, here[0]))
    sent = [(peer, _chosen(source, place).contiguous()) for peer, place in gone]
    shapes = ((len(source), *(len(sees) for _, sees in place), source.shape[-1]) for _, place in into)
    parts = [(peer, source.new_empty(shape)) for (peer, _), shape in zip(into, shapes, strict=True)]
    _exchange(halo.group, sent, parts)
    for (_, place), (_, part) in zip(into, parts, strict=True):
        _box(target, place).add_(_spread(part, place))
    return target


def _box(array: Tensor, place: Place) -> Tensor:
    """Return a view of a box, gaps included."""
    for axis, (first, sees) in enumerate(place, 1):
        array = array.narrow(axis, first, sees[-1] + 1)
    return array


def _chosen(array: Tensor, place: Place) -> Tensor:
    """Return a box without its gaps."""
    found = _box(array, place)
    for axis, (_, sees) in enumerate(place, 1):
        if len(sees) <= sees[-1]:
            found = found.index_select(axis, torch.tensor(sees, device=array.device))
    return found


def _spread(part: Tensor, place: Place) -> Tensor:
    """Return a box with zeros in its gaps: the adjoint of `_chosen`."""
    for axis, (_, sees) in enumerate(place, 1):
        if len(sees) <= sees[-1]:
            wide = part.new_zeros(resized(part.shape, {axis: sees[-1] + 1}))
            part = wide.index_copy_(axis, torch.tensor(sees, device=part.device), part)
    return part


def _exchange(group: Any, sent: Sequence[tuple[int, Tensor]], parts: Sequence[tuple[int, Tensor]]) -> None:
    """Send, and receive into `parts`, all at once; a pair of processes has at most one tensor each way."""

    def exchange() -> None:
        work = [dist.irecv(part, peer, group) for peer, part in parts]
        work += [dist.isend(part, peer, group) for peer, part in sent]
        for one in work:
            if one is not None:
                one.wait()

    guarded(exchange)


def guarded(communicate: Callable[[], object]) -> None:
    """Turn whatever a backend says of a process that is lost into one error.

    Raises
    ------
    LclError
        If the others do not answer.
    """
    try:
        communicate()
    except RuntimeError as error:
        line = str(error).strip().splitlines()[0]
        got = re.sub(r"^\[[^]]*\] ", "", line).partition(". ")[0]  # less where in gloo, and what it advises
        todo = "start again from the last checkpoint, which loads under any number of processes"
        raise LclError(Violation("sharded/lost", "a process of the group", got, "an answer", todo=todo)) from error
