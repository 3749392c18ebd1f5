"""The error of a few elements of a large result, each recomputed in float64 straight from the specification.

A whole reference result of these layers would take longer than the benchmark. Layers of a bench have no shared axes
and no connection table.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core.spec import Spec
from lcl_ref.suite.formats import FORMATS, FloatFormat
from lcl_ref.suite.judge.bounds import Magnitude, limit

Floats = NDArray[np.float64]
SAMPLES = 64

SINGLE = FORMATS["float32"]


def worst_error(
    spec: Spec,
    operands: Mapping[str, Any],
    results: Mapping[str, Any],
    form: FloatFormat = SINGLE,
    accumulation: FloatFormat = SINGLE,
) -> float:
    """Return the largest error / limit (SPEC 12.2) over `SAMPLES` elements of each result; infinite for a NaN.

    `form` is the format of the results, and `accumulation` what they are summed in.
    """
    stream, worst = np.random.default_rng(1), 0.0
    for name, result in results.items():
        for _ in range(SAMPLES):
            place = tuple(int(stream.integers(size)) for size in result.shape)
            terms = _TERMS[name](spec, operands, place).astype(np.float64)
            exact, total = np.array(terms.sum()), np.array(np.abs(terms).sum())
            allowed = limit(Magnitude(total, np.array(float(len(terms)))), exact, form, accumulation)
            error = abs(float(result[place]) - float(exact)) / float(allowed)
            worst = max(worst, error if error == error else float("inf"))  # noqa: PLR0124 -- NaN
    return worst


def _channels(spec: Spec, output: int) -> slice:
    """Return the input channels that output channel `output` reads."""
    first = output // (spec.out_channels // spec.groups) * spec.group_channels
    return slice(first, first + spec.group_channels)


def _y(spec: Spec, operands: Mapping[str, Any], place: Sequence[int]) -> Floats:
    """Return the terms of ``y[n, o*, f]``: bias and products."""
    sample, *position, output = place
    x = operands["x"][sample][..., _channels(spec, output)]
    kernel = operands["weight"][*position][..., output].astype(np.float64)
    terms = [np.atleast_1d(operands["bias"][*position, output])]
    for tap in np.ndindex(spec.kernel_size):
        site = _site(spec, position, tap)
        if site is not None:
            terms.append(x[*site] * kernel[*tap])
    return np.concatenate(terms)


def _dw(spec: Spec, operands: Mapping[str, Any], place: Sequence[int]) -> Floats:
    """Return the terms of ``dw[o*, k*, c, f]``: one per sample, none where the tap is in the padding."""
    rank = spec.rank
    position, tap, (channel, output) = place[:rank], place[rank : 2 * rank], place[2 * rank :]
    site = _site(spec, position, tap)
    if site is None:
        return np.zeros(1)
    inputs = operands["x"][:, *site, _channels(spec, output).start + channel].astype(np.float64)
    return np.asarray(inputs * operands["dy"][:, *position, output])


def _dx(spec: Spec, operands: Mapping[str, Any], place: Sequence[int]) -> Floats:
    """Return the terms of ``dx[n, i*, c]``: over every position and tap that read the site."""
    sample, *site, channel = place
    group, inner = divmod(channel, spec.group_channels)
    width = spec.out_channels // spec.groups
    outputs = slice(group * width, (group + 1) * width)
    terms = [np.zeros(1)]
    for pairs in itertools.product(*(_reading(spec, axis, i) for axis, i in enumerate(site))):
        position, tap = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        kernel = operands["weight"][*position, *tap, inner, outputs].astype(np.float64)
        terms.append(kernel * operands["dy"][sample, *position, outputs])
    return np.concatenate(terms)


def _site(spec: Spec, position: Sequence[int], tap: Sequence[int]) -> tuple[Any, ...] | None:
    """Return the input site a tap of a position reads, or None in the padding."""
    axes = zip(position, tap, spec.stride, spec.dilation, spec.padding, strict=True)
    site = tuple(o * stride + k * dilation - lo for o, k, stride, dilation, (lo, _) in axes)
    return site if all(0 <= i < size for i, size in zip(site, spec.input_size, strict=True)) else None


def _reading(spec: Spec, axis: int, site: int) -> list[tuple[int, int]]:
    """Return every ``(position, tap)`` along an axis that reads input site `site`."""
    stride, dilation, lo = spec.stride[axis], spec.dilation[axis], spec.padding[axis][0]
    return [
        (o, k)
        for o in range(spec.output_size[axis])
        for k in range(spec.kernel_size[axis])
        if o * stride + k * dilation - lo == site
    ]


_TERMS = {"y": _y, "dx": _dx, "dw": _dw}
