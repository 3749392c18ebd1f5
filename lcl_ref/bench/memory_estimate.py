"""How much memory a backend needs at a layer, roughly, so that none is asked for more than there is."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping

from lcl_ref.bench.workloads import Workload
from lcl_ref.suite.adapter import Holds

COPIES = 5
"""Of weights, windows or matrix: canonical, as held, on the way between, and their gradients."""

SHARE = 0.7
"""Of the free memory that may be filled."""


def needed(holds: Holds, workload: Workload) -> int:
    """Return the bytes a backend needs that declares to hold `holds`."""
    spec = workload.spec
    inputs, outputs = math.prod(spec.x_shape(1)), math.prod(spec.y_shape(1))
    if holds == "dense_matrix":
        return COPIES * 4 * (inputs * outputs + workload.batch * (inputs + outputs)) + COPIES * workload.weight_bytes
    windows = 0 if holds == "tiles" else workload.batch * math.prod(spec.output_size) * spec.fan_in * spec.groups
    every = 3 * 4 * workload.products if holds == "products" else 0
    return COPIES * (workload.weight_bytes + 4 * (windows + workload.batch * (inputs + outputs))) + every


def free_bytes() -> int:
    """Return the physical memory that is free."""
    return int(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * SHARE)


def batches_that_fit(needs: Mapping[str, int], memory: int) -> Iterator[list[str]]:
    """Yield the names of backends, given what each needs, in batches that fit into `memory` bytes side by side."""
    batch: list[str] = []
    held = 0
    for name, need in needs.items():
        if need > memory:
            continue
        if batch and held + need > memory:
            yield batch
            batch, held = [], 0
        batch.append(name)
        held += need
    if batch:
        yield batch
