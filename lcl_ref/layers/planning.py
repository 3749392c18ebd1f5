"""What a layer costs on a cluster, before there is one: bytes that move, memory, and time of a step, per placement."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines.shards import Cut

PRODUCTS = 3
"""Of a step: the output, the gradients of input and weight. Each takes the weights through memory."""

UPDATE = 3
"""Of a step, too: weights and gradient are read, weights written. States of the optimiser are read and written."""


@dataclass(frozen=True)
class Cluster:
    """Devices that are alike.

    Parameters
    ----------
    devices : int
        How many.
    memory : float
        Bytes of each.
    multiply_adds, memory_speed, link : float
        What each does in a second: multiply-adds, bytes read or written, bytes sent.
    latency : float
        Seconds until a message arrives, however short.
    reached : float
        The share of these multiply-adds and this memory speed that a step reaches; to be measured on one device.
    """

    devices: int
    memory: float
    multiply_adds: float
    memory_speed: float
    link: float
    latency: float = 0.0
    reached: float = 1.0


@dataclass(frozen=True)
class Placement:
    """One way to lay a layer out, and what a step of training costs a device; the device with most is counted.

    Parameters
    ----------
    name : str
        ``positions``: weights stay where their positions are, halos move. ``samples``: every device has all weights and
        some samples, gradients are summed. ``gathered``: as `samples`, with weights stored in parts and gathered before
        each pass.
    moved : float
        Bytes that a device sends.
    memory : float
        Bytes that it holds: weights, gradient, states of the optimiser, input, output and their gradients.
    seconds : float
        The longer of computing and of taking weights through memory, and sending after it.
    """

    name: str
    moved: float
    memory: float
    seconds: float


def placements(spec: Spec, batch: int, cluster: Cluster, itemsize: int = 4, states: int = 2) -> list[Placement]:
    """Return the placements of a layer in training, with as many `states` of the optimiser per weight.

    What a device moves among `samples` is that of a ring: each part goes around once or twice.

    Examples
    --------
    >>> spec = Spec(input_size=(64, 64), in_channels=8, out_channels=8, kernel_size=3, padding=1)
    >>> cluster = Cluster(4, memory=16e9, multiply_adds=1e12, memory_speed=1e11, link=1e9)
    >>> for one in placements(spec, 32, cluster):
    ...     print(f"{one.name:10}{one.moved / 1e6:7.2f} MB moved{one.memory / 1e6:7.1f} MB held")
    positions    0.13 MB moved   14.0 MB held
    samples     14.35 MB moved   42.5 MB held
    gathered    21.53 MB moved   23.3 MB held
    """
    weights = itemsize * spec.parameter_count
    inputs, outputs = (2 * itemsize * math.prod(shape) for shape in (spec.x_shape(batch), spec.y_shape(batch)))
    share, sent, seen = _best_grid(_geometry(spec), cluster.devices)
    halo = 2 * sent * itemsize * batch * spec.in_channels
    devices, update = cluster.devices, UPDATE + 2 * states
    others, kept, held = devices - 1, (inputs + outputs) / devices, 2 + states
    found = {  # bytes that move, messages one after the other, bytes held, weights through memory
        "positions": (
            halo,
            2 * (halo > 0),
            share * (held * weights + outputs) + seen * inputs,
            share * (PRODUCTS + update),
        ),
        "samples": (2 * others / devices * weights, 2 * others, held * weights + kept, PRODUCTS + update),
        "gathered": (
            3 * others / devices * weights,
            3 * others,
            held * weights / devices + weights + kept,
            PRODUCTS + update / devices,
        ),
    }
    return [
        Placement(
            name,
            moved,
            memory,
            _seconds(spec, batch, cluster, passes * weights) + moved / cluster.link + messages * cluster.latency,
        )
        for name, (moved, messages, memory, passes) in found.items()
    ]


def _geometry(spec: Spec) -> Spec:
    """Return the layer with one channel, for those that differ in nothing else are cut alike."""
    return Spec.from_dict(spec.to_dict() | {"in_channels": 1, "out_channels": 1, "groups": 1, "channel_table": None})


@cache
def _best_grid(spec: Spec, devices: int) -> tuple[float, int, float]:
    """Return, of the grid of devices that suits best, what it costs the device with most.

    These are its share of the positions, the sites that it sends, and the share of the sites that its windows span.
    """
    found = []
    longest = sorted(range(spec.rank), key=spec.output_size.__getitem__, reverse=True)
    for grid in _grids(spec, devices):
        counts = dict(zip(longest, grid, strict=False))
        cuts = [Cut(spec, axis, counts.get(axis, 1)) for axis in range(spec.rank)]
        share = math.prod(cut.positions / spec.output_size[cut.axis] for cut in cuts)
        seen = math.prod(cut.window / spec.input_size[cut.axis] for cut in cuts if cut.shards > 1)
        found.append((share, _most_sent(cuts), seen))
    return min(found)


def _grids(spec: Spec, devices: int) -> list[tuple[int, int]]:
    """Return the ways to share devices between the two longest axes."""
    if spec.rank == 1:
        return [(devices, 1)]
    return [(count, devices // count) for count in range(1, devices + 1) if devices % count == 0]


def _most_sent(cuts: Sequence[Cut]) -> int:
    """Return the sites that the device sends which sends most: what is seen of its own, less what it sees itself."""
    seen = [[0] * cut.shards for cut in cuts]
    kept = [[0] * cut.shards for cut in cuts]
    for number, cut in enumerate(cuts):
        for view in cut.views:
            seen[number][view.source] += len(view.sees)
            kept[number][view.source] += len(view.sees) if view.target == view.source else 0
    devices = product(*(range(cut.shards) for cut in cuts))
    return max(
        math.prod(map(list.__getitem__, seen, device)) - math.prod(map(list.__getitem__, kept, device))
        for device in devices
    )


def _seconds(spec: Spec, batch: int, cluster: Cluster, moved_in_memory: float) -> float:
    """Return the time of the products of a step, or of its weights through memory, whichever is longer."""
    products = PRODUCTS * batch * math.prod(spec.output_size) * spec.fan_in * spec.out_channels / cluster.devices
    return max(products / cluster.multiply_adds, moved_in_memory / cluster.memory_speed) / cluster.reached


def widest(make: Callable[[int], Spec], batch: int, cluster: Cluster, placement: str = "positions") -> int:
    """Return the largest number of channels with which a layer that `make` makes of it fits; 0 where none does.

    Examples
    --------
    >>> def image(channels):
    ...     return Spec(input_size=(64, 64), in_channels=channels, out_channels=channels, kernel_size=3, padding=1)
    >>> cluster = Cluster(8, memory=16e9, multiply_adds=1e12, memory_speed=1e11, link=1e9)
    >>> widest(image, 32, cluster), widest(image, 32, cluster, "samples")
    (463, 164)
    """
    fits = 0
    step = 1 << 14
    while step:
        at = {one.name: one.memory for one in placements(make(fits + step), batch, cluster)}
        fits, step = (fits + step, step) if at[placement] <= cluster.memory else (fits, step // 2)
    return fits
