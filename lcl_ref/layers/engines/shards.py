"""A layer whose positions lie on several devices: who computes which, and which sites move to whom before.

Weights are the positions, so they stay where they are; what moves is the input that windows see beyond their own shard
(the halo), and back the gradient of that. Of an axis cut into shards, shard ``j`` has the positions ``[j*p, (j+1)*p)``
and the sites ``[j*b, (j+1)*b)``, the last ones fewer or none. A halo may be wider than a shard: moves go to any shard.
Of several axes cut, devices are a grid, and a move is a box: it goes at once from the device that has it to the one
whose windows see it, corners too. So no site comes to a device twice, nor one that no window of it sees.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from lcl_ref.core.spec import Spec
from lcl_ref.errors import ShapeError, SpecError, Violation


@dataclass(frozen=True)
class Move:
    """Sites along one axis, of one shard, that windows of another see, or of the same one.

    Parameters
    ----------
    source, target : int
        The shard that has them, and the one whose windows see them.
    first : int
        The first of them.
    sees : tuple of int
        The sites, counted from the first one; there are gaps where strides or dilations step over some.
    """

    source: int
    target: int
    first: int
    sees: tuple[int, ...]

    @property
    def span(self) -> int:
        """Sites from the first to the last one, gaps included."""
        return self.sees[-1] + 1


Box = tuple[Move, ...]
"""What moves between two devices: its extent along each spatial axis."""


@dataclass(frozen=True)
class Cut:
    """One spatial axis of a layer, cut into shards.

    Parameters
    ----------
    spec : Spec
        The layer.
    axis : int
        The spatial axis.
    shards : int
        How many.
    """

    spec: Spec
    axis: int
    shards: int

    @cached_property
    def positions(self) -> int:
        """Positions of a full shard."""
        return -(-self.spec.output_size[self.axis] // self.shards)

    @cached_property
    def sites(self) -> int:
        """Sites of a full shard."""
        return -(-self.spec.input_size[self.axis] // self.shards)

    @cached_property
    def window(self) -> int:
        """Elements that the windows of a full shard span."""
        return self.span(self.positions)

    def span(self, positions: int) -> int:
        """Return the elements that the windows of so many positions in a row span."""
        if not positions:
            return 0
        spec, axis = self.spec, self.axis
        return (positions - 1) * spec.stride[axis] + spec.dilation[axis] * (spec.kernel_size[axis] - 1) + 1

    def start(self, shard: int) -> int:
        """Return the first site that the windows of a shard see; below 0 in the padding."""
        return shard * self.positions * self.spec.stride[self.axis] - self.spec.padding[self.axis][0]

    def own_positions(self, shard: int) -> tuple[int, int]:
        """Return the first and the last position of a shard, the last one excluded."""
        return _part(self.spec.output_size[self.axis], self.positions, shard)

    def own_sites(self, shard: int) -> tuple[int, int]:
        """Return the first and the last site of a shard, the last one excluded."""
        return _part(self.spec.input_size[self.axis], self.sites, shard)

    def seen(self, shard: int) -> list[int]:
        """Return the sites that windows of a shard see."""
        spec, axis = self.spec, self.axis
        taps = range(0, spec.dilation[axis] * spec.kernel_size[axis], spec.dilation[axis])
        before, positions = spec.padding[axis][0], range(*self.own_positions(shard))
        starts = [position * spec.stride[axis] - before for position in positions]
        return sorted({start + tap for start in starts for tap in taps} & set(range(spec.input_size[axis])))

    @cached_property
    def views(self) -> tuple[Move, ...]:
        """What the windows of each shard see, by the shards that have it, itself among them."""
        found = []
        for target in range(self.shards):
            by_source: dict[int, list[int]] = {}
            for site in self.seen(target):
                by_source.setdefault(site // self.sites, []).append(site)
            for source, sites in by_source.items():
                found.append(Move(source, target, sites[0], tuple(site - sites[0] for site in sites)))
        return tuple(found)


def _part(size: int, width: int, shard: int) -> tuple[int, int]:
    return min(shard * width, size), min((shard + 1) * width, size)


def cuts(spec: Spec, shards: Sequence[int]) -> dict[int, Cut]:
    """Return the cuts of a layer by axis, for so many shards along each; an axis of one shard is not cut.

    Raises
    ------
    SpecError
        If there is not one number per axis.

    Examples
    --------
    >>> spec = Spec(input_size=(12, 9), in_channels=1, out_channels=1, kernel_size=3, padding=1)
    >>> cut = cuts(spec, (4, 1))[0]
    >>> cut.positions, cut.window, cut.seen(1)
    (3, 5, [2, 3, 4, 5, 6])
    """
    if len(shards) != spec.rank:
        text = f"{spec.rank} numbers: the layer has {spec.rank} spatial axes"
        raise SpecError(Violation("shards/rank", "shards", f"{tuple(shards)}", text))
    return {axis: Cut(spec, axis, count) for axis, count in enumerate(shards) if count > 1}


def views(spec: Spec, cuts: Mapping[int, Cut]) -> list[Box]:
    """Return what windows of each device of a grid see, by the devices that have it, itself among them."""
    return list(product(*(cuts.get(axis, Cut(spec, axis, 1)).views for axis in range(spec.rank))))


def boxes(spec: Spec, cuts: Mapping[int, Cut]) -> list[Box]:
    """Return what moves over a grid of devices.

    Examples
    --------
    >>> spec = Spec(input_size=(12, 9), in_channels=1, out_channels=1, kernel_size=3, padding=1)
    >>> [[extent.span for extent in box] for box in boxes(spec, cuts(spec, (2, 2)))][:3]
    [[6, 1], [1, 5], [1, 1]]
    """
    return [box for box in views(spec, cuts) if any(extent.source != extent.target for extent in box)]


def halo(spec: Spec, cuts: Mapping[int, Cut]) -> int:
    """Return the elements of x, per sample, that devices have to get: what their windows see and they have not."""
    return spec.in_channels * sum(math.prod(len(one.sees) for one in box) for box in boxes(spec, cuts))


def layer_of_a_shard(spec: Spec, sizes: Mapping[int, int]) -> Spec:
    """Return the layer that one shard computes: windows of so many elements along cut axes, no padding there.

    Examples
    --------
    >>> spec = Spec(input_size=(12, 9), in_channels=1, out_channels=1, kernel_size=3, padding=1)
    >>> layer_of_a_shard(spec, {0: 5}).output_size
    (3, 9)
    """
    changed = spec.to_dict()
    for axis, size in sizes.items():
        changed["input_size"][axis] = size
        changed["padding"][axis] = [0, 0]
    return Spec.from_dict(changed)


def resized(shape: Sequence[int], sizes: Mapping[int, int]) -> tuple[int, ...]:
    """Return a shape with other sizes along some axes."""
    return tuple(sizes.get(axis, size) for axis, size in enumerate(shape))


def check_whole(spec: Spec, name: str, shape: Sequence[int], expected: Sequence[Sequence[int]]) -> None:
    """Refuse an array whose shape is none of those expected.

    Raises
    ------
    ShapeError
        That names it.
    """
    if tuple(shape) not in {tuple(one) for one in expected}:
        text = " or ".join(dict.fromkeys(str(tuple(one)) for one in expected))
        raise ShapeError(Violation("sharded/shape", name, f"shape {tuple(shape)}", f"{text}, of {spec.to_json()}"))
