"""Every number that a choice of the torch engine depends on; `torch_route` and `torch_memory` decide by them."""

from __future__ import annotations

from typing import NamedTuple

from lcl_ref.layers.engines.accelerators.plans import BUDGET_BYTES, KEPT_BYTES


class Thresholds(NamedTuple):
    """The numbers, found by timing the layers of `lcl bench` on one core and two (`docs/speed.md` has the times)."""

    small_bytes: int = 4 << 20
    """Windows of a layer up to this size, and outputs up to twice it, are multiplied at once: tiles take longer."""

    tile_bytes: int = 8 << 20
    """Aim for what is held of one tile: a cache holds it, and few calls do all of it."""

    weights_per_tile: int = 60
    """A tile may hold that share of the weights instead, if it is more, and up to twice `tile_bytes`."""

    part_bytes: int = 8 << 20
    """Aim for the part of the batch that is laid out at a time: no more working memory than users notice."""

    weights_per_part: int = 40
    """A part may hold that share of the weights instead, if it is more: beside them it is not noticed either."""

    thin: int = 16
    """Rows of a product from this length on fill a vector register; shorter ones take several times as long."""

    short_run: int = 24
    """Windows are copied in runs of memory: of fewer numbers than this, a run takes longer than its numbers do."""

    short_sum: int = 200
    """The same for windows that are added up: a run is read, added to and written."""

    repeats: int = 2
    """Windows that hold the input more often than this repay turning it, batch last, before they are copied."""

    overlapping_rows: int = 1
    """Windows longer than so many strides share a copy of their rows: fewer numbers are copied then."""

    overlapping_rows_batch_last: int = 3
    """The same with the batch last, where copies are long runs already, so that less is gained."""

    huge_bytes: int = 8 << 20
    """Results from this size on ask for huge pages: smaller ones are mostly made in memory written to before."""

    kept_bytes: int = 8 << 20
    """Largest piece of scratch memory that is kept from call to call: enough for a tile of any size."""


THRESHOLDS = Thresholds()
"""The thresholds in use."""

LARGE = Thresholds(small_bytes=KEPT_BYTES, tile_bytes=BUDGET_BYTES, part_bytes=BUDGET_BYTES)
"""The thresholds of an accelerator: products as large as the budget allows, not as a cache does. Not timed yet."""
