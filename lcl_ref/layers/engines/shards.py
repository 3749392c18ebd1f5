"""A layer whose positions lie on several devices: who computes which, and which sites move to whom before.

Weights are the positions, so they stay where they are; what moves is the input that windows see beyond their own shard
(the halo), and back the gradient of that. Of an axis cut into shards, shard ``j`` has the positions ``[j*p, (j+1)*p)``
and the sites ``[j*b, (j+1)*b)``, the last ones fewer or none. A halo may be wider than a shard: moves go to any shard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from lcl_ref.core.spec import Spec
from lcl_ref.errors import ShapeError, SpecError, Violation


@dataclass(frozen=True)
class Move:
    """So many sites, from the first one on, from the shard that has them to one whose windows see them."""

    source: int
    target: int
    first: int
    count: int


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
        return self._span(self.positions)

    def _span(self, positions: int) -> int:
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

    def seen(self, shard: int) -> tuple[int, int]:
        """Return the first and the last site that the windows of a shard see, the last one excluded."""
        first, last = self.own_positions(shard)
        if first == last:
            return 0, 0
        size, start = self.spec.input_size[self.axis], self.start(shard)
        return min(max(start, 0), size), min(max(start + self._span(last - first), 0), size)

    @cached_property
    def moves(self) -> tuple[Move, ...]:
        """What moves, each site to a shard at most once, and none that a shard has."""
        found = []
        for target in range(self.shards):
            first, last = self.seen(target)
            for source in range(first // self.sites, -(-last // self.sites)):
                begin, end = self.own_sites(source)
                count = min(last, end) - max(first, begin)
                if source != target and count > 0:
                    found.append(Move(source, target, max(first, begin), count))
        return tuple(found)

    @property
    def halo(self) -> int:
        """Sites that move, all shards together."""
        return sum(move.count for move in self.moves)


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
    >>> cut.positions, cut.window, [(move.source, move.target, move.first) for move in cut.moves[:3]]
    (3, 5, [(1, 0, 3), (0, 1, 2), (2, 1, 6)])
    """
    if len(shards) != spec.rank:
        text = f"{spec.rank} numbers: the layer has {spec.rank} spatial axes"
        raise SpecError(Violation("shards/rank", "shards", f"{tuple(shards)}", text))
    return {axis: Cut(spec, axis, count) for axis, count in enumerate(shards) if count > 1}


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
