"""Halos over a process group of torch: sites go to whose windows see them, and their gradients come back."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from lcl_ref.errors import LclError, Violation
from lcl_ref.layers.engines.shards import Cut, resized

Slab = tuple[int, int, int]
"""Another process, the first element here, and how many."""


@dataclass(frozen=True)
class Halo:
    """What one process keeps, sends and gets along the axis that is cut.

    Parameters
    ----------
    cut : Cut
        The axis.
    rank : int
        The process.
    group : torch.distributed.ProcessGroup or None
        All of them.
    """

    cut: Cut
    rank: int
    group: Any

    @property
    def span(self) -> int:
        """Elements that the windows of this process span."""
        first, last = self.cut.own_positions(self.rank)
        stride = self.cut.spec.stride[self.cut.axis]
        return 0 if first == last else self.cut.window - (self.cut.positions - (last - first)) * stride

    @property
    def kept(self) -> tuple[int, int, int]:
        """Of what windows see here already: the first element among the sites, that among the windows, and how many."""
        (first, last), (begin, end) = self.cut.seen(self.rank), self.cut.own_sites(self.rank)
        low, high = max(first, begin), min(last, end)
        return low - begin, low - self.cut.start(self.rank), max(high - low, 0)

    @property
    def sent(self) -> list[Slab]:
        """What others see of the sites."""
        own = self.cut.own_sites(self.rank)[0]
        return [(one.target, one.first - own, one.count) for one in self.cut.moves if one.source == self.rank]

    @property
    def got(self) -> list[Slab]:
        """What windows see of others."""
        start = self.cut.start(self.rank)
        return [(one.source, one.first - start, one.count) for one in self.cut.moves if one.target == self.rank]


class Windows(torch.autograd.Function):
    """From the sites of this process to what its windows see, zeros in the padding; and the adjoint."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, halo: Halo) -> Tensor:
        """Return ``(n, window, ...)`` of ``(n, sites, ...)``, along the axis that is cut."""
        ctx.halo, ctx.sites = halo, x.shape[halo.cut.axis + 1]
        here, there, count = halo.kept
        return _carried(halo, x, halo.span, (here, there, count), halo.sent, halo.got)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of the sites, what others saw of them included."""
        halo = ctx.halo
        here, there, count = halo.kept
        return _carried(halo, gradients[0], ctx.sites, (there, here, count), halo.got, halo.sent), None


class Everywhere(torch.autograd.Function):
    """A parameter that is the same on every process: its gradient is the sum of all."""

    @staticmethod
    def forward(ctx: Any, parameter: Tensor, group: Any) -> Tensor:
        """Return the parameter."""
        ctx.group = group
        return parameter.view_as(parameter)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the sum of the gradients."""
        total = gradients[0].contiguous().clone()
        guarded(lambda: dist.all_reduce(total, group=ctx.group))
        return total, None


def _carried(
    halo: Halo, source: Tensor, size: int, kept: tuple[int, int, int], gone: Sequence[Slab], into: Sequence[Slab]
) -> Tensor:
    """Return zeros of another size along the axis, with what is kept and what comes added."""
    axis, (first, place, count) = halo.cut.axis + 1, kept
    target = source.new_zeros(resized(source.shape, {axis: size}))
    if count:
        target.narrow(axis, place, count).add_(source.narrow(axis, first, count))
    sent = [(peer, source.narrow(axis, start, long).contiguous()) for peer, start, long in gone]
    came = [(peer, target.narrow(axis, start, long)) for peer, start, long in into]
    for (_, where), part in zip(came, _exchanged(halo.group, sent, came), strict=True):
        where.add_(part)
    return target


def _exchanged(group: Any, sent: Sequence[tuple[int, Tensor]], came: Sequence[tuple[int, Tensor]]) -> list[Tensor]:
    """Send and receive all at once; a pair of processes has at most one tensor each way."""
    parts = [torch.empty(where.shape, dtype=where.dtype, device=where.device) for _, where in came]

    def exchange() -> None:
        work = [dist.irecv(part, group=group, group_src=peer) for part, (peer, _) in zip(parts, came, strict=True)]
        work += [dist.isend(part, group=group, group_dst=peer) for peer, part in sent]
        for one in work:
            if one is not None:
                one.wait()

    guarded(exchange)
    return parts


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
