"""Which cases the smaller tiers hold, as chosen by `tests/support/covering.py` from the kill matrix.

`tests/suite/cases/test_tiers.py` says when they must be chosen anew, and prints what to write here.
"""

from __future__ import annotations

PLAIN = (
    "0d/linear/position-bias",
    "1d/plain/odd-kernel",
    "2d/plain/tall-kernel",
)
"""A small plain layer without position axes, with one and with two: where a port begins, whatever its limits."""

AGAIN = (
    "1d/rounded/plain",
    "2d/nonfinite/overlapping",
)
"""Layers of `PLAIN` with other weights, which a layer that keeps its first weights gets wrong."""

FIRST = PLAIN + AGAIN
"""In every tier."""

SMOKE = (
    "0d/linear/position-bias",
    "1d/plain/odd-kernel",
    "1d/tiling/shared",
    "2d/plain/tall-kernel",
    "2d/dilation/same-upper",
    "2d/shared/all-groups",
    "2d/nonfinite/overlapping",
    "3d/kernel/whole-input",
    "3d/dilation/per-axis",
    "3d/padding/mixed",
    "2d/combined/empty-table",
    "3d/combined/one-sample-table",
    "1d/rounded/plain",
)
"""Every deviation of the catalogue is killed, in every operation it shows in, and every adapter is asked."""

CORE = (
    "0d/linear/position-bias",
    "0d/linear/one-sample",
    "0d/linear/empty-batch",
    "0d/groups/diagonal-multiplier",
    "0d/table/one-channel",
    "0d/nonfinite/groups",
    "1d/plain/odd-kernel",
    "1d/tiling/shared",
    "1d/tiling/empty-batch",
    "1d/padding/int",
    "1d/groups/all-settings",
    "1d/shared/groups",
    "2d/plain/tall-kernel",
    "2d/batch/one",
    "2d/tiling/one-input-channel",
    "2d/dilation/same-upper",
    "2d/padding/same-lower-stride",
    "2d/padding/int-per-axis",
    "2d/shared/all-groups",
    "2d/shared/first-axis-groups",
    "2d/shared/last-axis-depthwise",
    "2d/nonfinite/overlapping",
    "3d/kernel/whole-input",
    "3d/batch/empty",
    "3d/tiling/position-bias",
    "3d/dilation/per-axis",
    "3d/padding/same-upper",
    "3d/padding/mixed",
    "3d/padding/whole-windows",
    "3d/shared/first-axis",
    "3d/shared/all-groups",
    "1d/combined/table-stride-padding",
    "2d/combined/table-dilation-shared",
    "2d/combined/table-tiling",
    "1d/combined/table-gaps",
    "2d/combined/table-whole-windows",
    "1d/combined/depthwise-stride",
    "3d/combined/depthwise-gaps",
    "1d/combined/depthwise-tiling",
    "1d/combined/depthwise-whole-windows",
    "1d/combined/empty-strided-convolution",
    "2d/combined/empty-table",
    "1d/combined/empty-groups-padding",
    "1d/combined/empty-whole-windows",
    "1d/combined/one-sample-convolution",
    "3d/combined/one-sample-table",
    "1d/combined/one-sample-tiling",
    "1d/combined/one-sample-end-padding",
    "1d/combined/one-sample-whole-windows",
    "1d/rounded/plain",
    "2d/rounded/stride",
    "3d/rounded/all-settings",
)
"""Every deviation is killed at least twice, likewise, and every legal pair of settings is asked for."""
