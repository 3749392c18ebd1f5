"""How much memory a backend needs at a layer, roughly, so that none is asked for more than there is."""

from __future__ import annotations

import fnmatch
import math
import os
from collections.abc import Iterator, Sequence

from lcl_ref.bench.workloads import Workload

SLIM = ("numpy.*", "*.fast", "*.fast.*")
"""Backends that never hold all windows."""

DENSE = ("torch.masked", "keras.local2*", "keras.local3*")
"""Backends whose weight, or its index, is as large as a dense matrix from all inputs to all outputs."""

ELEMENTWISE = ("forum.LocallyConnected2d",)
"""Backends that hold every product of the layer at once, before they are summed."""

COPIES = 5
"""Of weights, windows or matrix: canonical, as held, on the way between, and their gradients."""

SHARE = 0.7
"""Of the free memory that may be filled."""


def needed(name: str, workload: Workload) -> int:
    """Return the bytes a backend needs."""
    spec = workload.spec
    inputs, outputs = math.prod(spec.x_shape(1)), math.prod(spec.y_shape(1))
    if any(fnmatch.fnmatchcase(name, pattern) for pattern in DENSE):
        return COPIES * 4 * (inputs * outputs + workload.batch * (inputs + outputs)) + COPIES * workload.weight_bytes
    slim = any(fnmatch.fnmatchcase(name, pattern) for pattern in SLIM)
    windows = 0 if slim else workload.batch * math.prod(spec.output_size) * spec.fan_in * spec.groups
    every = 3 * 4 * workload.products if name in ELEMENTWISE else 0
    return COPIES * (workload.weight_bytes + 4 * (windows + workload.batch * (inputs + outputs))) + every


def free_bytes() -> int:
    """Return the physical memory that is free."""
    return int(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * SHARE)


def heats(names: Sequence[str], workload: Workload, room: int) -> Iterator[list[str]]:
    """Yield the backends that fit into `room` bytes, in runs that fit side by side."""
    heat: list[str] = []
    held = 0
    for name in names:
        need = needed(name, workload)
        if need > room:
            continue
        if heat and held + need > room:
            yield heat
            heat, held = [], 0
        heat.append(name)
        held += need
    if heat:
        yield heat
