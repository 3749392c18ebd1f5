"""SPEC clause 14 word by word, as loops over numbers: a second route that shares no code with the extensions.

Slow on purpose. Results are those of `lcl_ref.suite.cases.extensions.KINDS`, by name.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core.spec import Spec

Array = NDArray[Any]
Arrays = dict[str, Array]
Index = tuple[int, ...]
Place = tuple[Any, ...]


def indices(sizes: Sequence[int]) -> Iterator[Index]:
    """Yield every index of an array of these sizes."""
    return itertools.product(*map(range, sizes))


def site_of(site: int, size: int, rule: str) -> int | None:
    """Return the site that stands at `site` of an axis, or None outside where there is no rule."""
    if rule == "replicate":
        return min(max(site, 0), size - 1)
    while rule and not 0 <= site < size:
        if rule == "circular":
            site += size if site < 0 else -size
        else:
            site = -site if site < 0 else 2 * (size - 1) - site
    return site if 0 <= site < size else None


def terms(spec: Spec, rule: str = "") -> Iterator[tuple[Index, Index, Index]]:
    """Yield position, tap and input site of every term of 1.1."""
    for position, tap in itertools.product(indices(spec.output_size), indices(spec.kernel_size)):
        axes = zip(position, tap, spec.stride, spec.dilation, spec.padding, spec.input_size, strict=True)
        found = [site_of(o * stride + k * dilation - lo, size, rule) for o, k, stride, dilation, (lo, _), size in axes]
        site = tuple(at for at in found if at is not None)
        if len(site) == spec.rank:
            yield position, tap, site


def layer(spec: Spec, given: Arrays, *, rule: str = "", mask: Array | None = None) -> Arrays:
    """Return y, and dx, dw and db where there is a dy, of the layer with a border or a mask."""
    x, weight, bias = given["x"], given["weight"], given.get("bias")
    dy = given.get("dy", np.zeros(spec.y_shape(len(x)), weight.dtype))
    y, dx, dw = np.zeros(dy.shape, x.dtype), np.zeros_like(x), np.zeros_like(weight)
    y += 0 if bias is None else bias
    for position, tap, site in terms(spec, rule):
        own = tuple(0 if shared else o for o, shared in zip(position, spec.shared, strict=True))
        for f, c in indices((spec.out_channels, spec.group_channels)):
            if mask is None or mask[*own, *tap, c, f]:
                read: Place = (slice(None), *site, f * spec.groups // spec.out_channels * spec.group_channels + c)
                target: Place = (slice(None), *position, f)
                y[target] += x[read] * weight[*own, *tap, c, f]
                dx[read] += dy[target] * weight[*own, *tap, c, f]
                dw[*own, *tap, c, f] += (dy[target] * x[read]).sum()
    found = {"y": y, "dx": dx, "dw": dw}
    return found if bias is None else found | {"db": _summed_to(bias.shape, dy)}


def _summed_to(shape: Index, cotangent: Array) -> Array:
    """Return a cotangent summed over samples, and over sites or positions where there is one bias for all."""
    total = np.zeros(shape, cotangent.dtype)
    for index in indices(cotangent.shape):
        total[index[len(index) - len(shape) :]] += cotangent[index]
    return total


def pruned(spec: Spec, given: Arrays) -> Arrays:
    """14.1."""
    return layer(spec, given, mask=given["mask"])


def adaptive(spec: Spec, given: Arrays) -> Arrays:
    """14.2; gates are quarters, and weights and dy multiples of four, so that all results are whole."""
    full, radius = given["weight"], given["radius"]
    gate, gated = np.zeros(full.shape), np.zeros_like(full)
    for place in indices(full.shape):
        share = min(max(_opened(spec, radius, place), Fraction(0)), Fraction(1))
        gate[place], gated[place] = float(share), int(full[place] * share)
    found = layer(spec, given | {"weight": gated})
    dradius = np.zeros(radius.shape, full.dtype)
    for place in indices(full.shape):
        if 0 < _opened(spec, radius, place) < 1:
            dradius[place[: spec.rank]] += full[place] * found["dw"][place]
    return found | {"dw": (found["dw"] * gate).astype(full.dtype), "dradius": dradius}


def _opened(spec: Spec, radius: Array, place: Index) -> Fraction:
    """Return ``z[o] + 1 - D(k)``."""
    tap = place[spec.rank : 2 * spec.rank]
    away = max(abs(k - Fraction(size - 1, 2)) for k, size in zip(tap, spec.kernel_size, strict=True))
    return Fraction(float(radius[place[: spec.rank]])) + 1 - away


def low_rank(spec: Spec, given: Arrays) -> Arrays:
    """14.3."""
    mixing, kernels = given["mixing"], given["kernels"]
    weight = np.zeros(spec.weight_shape, kernels.dtype)
    for *position, r in indices(mixing.shape):
        weight[*position] += mixing[*position, r] * kernels[r]
    found = layer(spec, given | {"weight": weight})
    dmixing, dkernels = np.zeros_like(mixing), np.zeros_like(kernels)
    for *position, r in indices(mixing.shape):
        dmixing[*position, r] = (kernels[r] * found["dw"][*position]).sum()
        dkernels[r] += mixing[*position, r] * found["dw"][*position]
    return {name: array for name, array in found.items() if name != "dw"} | {"dmixing": dmixing, "dkernels": dkernels}


def regions(spec: Spec, given: Arrays, setting: Any) -> Arrays:
    """14.10; the map of a grid is made here anew, from counts per axis."""
    region = {position: _region(spec, position, setting) for position in indices(spec.output_size)}
    tied = {"kernels": "weight"} | ({"bias": "bias"} if spec.bias == "position" else {})
    spread = {name: np.array([given[stored][q] for q in region.values()]) for stored, name in tied.items()}
    shapes = {"weight": spec.weight_shape, "bias": spec.bias_shape or ()}
    found = layer(spec, given | {name: array.reshape(shapes[name]) for name, array in spread.items()})
    for stored, name in tied.items():
        total = np.zeros_like(given[stored])
        for position, q in region.items():
            total[q] += found[f"d{name[0]}"][position]
        found["dkernels" if stored == "kernels" else "db"] = total
    return {name: array for name, array in found.items() if name != "dw"}


def _region(spec: Spec, position: Index, setting: Any) -> int:
    counts = [setting] * spec.rank if isinstance(setting, int) else setting
    if not isinstance(counts[0], int):
        return int(np.array(setting)[position])
    number = 0
    for o, parts, size in zip(position, counts, spec.output_size, strict=True):
        number = number * parts + o * parts // size
    return number


def unequal(sizes: Sequence[Sequence[int]], given: Arrays) -> Arrays:
    """14.4; the weight is ``(blocks, most inputs, most outputs)``, filled up with zeros."""
    x, weight, dy = given["x"], given["weight"], given["dy"]
    y, dx, dw = np.zeros_like(dy) + given["bias"], np.zeros_like(x), np.zeros_like(weight)
    first_input = first_output = 0
    for block, (inputs, outputs) in enumerate(sizes):
        for i, f in indices((inputs, outputs)):
            read, target = (slice(None), first_input + i), (slice(None), first_output + f)
            y[target] += x[read] * weight[block, i, f]
            dx[read] += dy[target] * weight[block, i, f]
            dw[block, i, f] = (dy[target] * x[read]).sum()
        first_input, first_output = first_input + inputs, first_output + outputs
    return {"y": y, "dx": dx, "dw": dw, "db": dy.sum(0)}


def transposed(spec: Spec, given: Arrays) -> Arrays:
    """14.6: the layer with its input and output exchanged."""
    found = layer(spec, {"x": given["dz"], "weight": given["weight"], "dy": given["y"]})
    db = _summed_to(given["bias"].shape, given["dz"])
    return {"z": found["dx"] + given["bias"], "dy": found["y"], "dw": found["dw"], "db": db}


def quantised(spec: Spec, given: Arrays, per: str) -> Arrays:
    """14.8: scales, whole weights and the integer part."""
    weight, positions = given["weight"], spec.weight_size
    sizes = {"layer": [1] * (spec.rank + 1), "position": [*positions, 1]}
    scale = np.zeros(sizes.get(per, [*positions, spec.out_channels]))
    whole = np.zeros(weight.shape, np.int64)
    for place in indices(scale.shape):
        own = tuple(slice(at, at + 1) if size > 1 else slice(None) for at, size in zip(place, scale.shape, strict=True))
        part = (*own[:-1], *[slice(None)] * (spec.rank + 1), own[-1])
        scale[place] = _nearest_single(Fraction(float(np.abs(weight[part]).max())) / 127)
        for index in indices(whole[part].shape):  # round() of a Fraction ties to even
            whole[part][index] = round(Fraction(float(weight[part][index])) / Fraction(float(scale[place])))
    sums = layer(spec, {"x": given["x"].astype(np.int64), "weight": whole})["y"]
    return {"scale": scale.astype(np.float32), "quantised": whole, "sums": sums}


def _nearest_single(number: Fraction) -> float:
    """Return the float32 nearest to a fraction, rounded once."""
    near = np.float32(float(number))
    around = (near, np.nextafter(near, np.float32(0)), np.nextafter(near, np.float32(np.inf)))
    return float(min(around, key=lambda one: abs(Fraction(float(one)) - number)))
