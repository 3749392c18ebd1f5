"""Operands and golden results of the extensions, agreed on bit for bit by two routes (SPEC clauses 11 and 14)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref import api
from lcl_ref.errors import FixtureError, Violation
from lcl_ref.extensions import adaptive, borders, low_rank, pruned, quantised, regions, transposed, unequal
from lcl_ref.suite.cases.extensions import KINDS, ExtensionCase
from lcl_ref.suite.golden import extension_formulas, values
from lcl_ref.suite.golden.results import narrowest

Array = NDArray[Any]
Arrays = dict[str, Array]

AMPLITUDE = 3
QUARTERS = 4
"""Gates of the adaptive range are quarters: weights and cotangents that are multiples of four keep results whole."""


def compute(case: ExtensionCase) -> Arrays:
    """Return every array stored for `case`.

    Raises
    ------
    FixtureError
        If the two routes differ in any bit.
    """
    operands = drawn(case)
    with np.errstate(invalid="ignore"):
        found, others = by_module(case, operands), by_formula(case, operands)
    for name in KINDS[case.kind].results:
        if name in found and not np.array_equal(found[name], others[name], equal_nan=found[name].dtype.kind == "f"):
            got, expected = "the formula of the clause", f"the bits of lcl_ref.extensions {found[name].shape}"
            raise FixtureError(Violation("golden/oracles", f"{case.id}/{name}", got, expected))
    stored = [name for name in (*KINDS[case.kind].operands, *KINDS[case.kind].results) if name in operands | found]
    return {name: _as_stored((operands | found)[name]) for name in stored}


def _as_stored(array: Array) -> Array:
    """Return integers in the narrowest type, reals as float32, of which all are, and one NaN for all."""
    if array.dtype.kind == "i":
        return np.ascontiguousarray(narrowest(array.astype(np.int64)))
    return np.ascontiguousarray(np.where(np.isnan(array), np.nan, array), np.float32)


def certificate(case: ExtensionCase, arrays: Mapping[str, Array]) -> dict[str, int]:
    """Return per result the largest sum of magnitudes (SPEC 12.1), for results that are sums of whole numbers."""
    operands = {name: arrays[name] for name in KINDS[case.kind].operands if name in arrays}
    wide = {name: array.astype(np.int64) if array.dtype.kind == "i" else array for name, array in operands.items()}
    wide = {name: array if name in ("mask", "radius", "regions") else np.abs(array) for name, array in wide.items()}
    sums = by_formula(case, wide)
    if case.kind == "quantised":
        sums = {"sums": sums["sums"]}
    return {name: int(array.max()) for name, array in sums.items()}


def shapes(case: ExtensionCase) -> dict[str, tuple[int, ...]]:
    """Return the shape of each operand."""
    if case.kind == "unequal":
        blocks = unequal.Blocks(case.settings["sizes"])
        batch = case.batch
        return {
            "x": (batch, blocks.in_channels),
            "weight": blocks.packed_shape,
            "bias": (blocks.out_channels,),
            "dy": (batch, blocks.out_channels),
        }
    spec = case.layer
    found = spec.operand_shapes(case.batch) | {
        "y": spec.y_shape(case.batch),
        "mask": spec.weight_shape,
        "radius": spec.output_size,
        "mixing": (*spec.output_size, case.settings.get("rank", 1)),
        "kernels": (case.settings.get("rank", 1), *spec.weight_shape[spec.rank :]),
        "dz": spec.x_shape(case.batch),
    }
    if case.kind == "regions":
        count = int(np.max(regions.as_map(spec, case.settings["regions"]))) + 1
        found |= {"regions": spec.output_size, "kernels": (count, *spec.weight_shape[spec.rank :])}
        found |= {"bias": (count, spec.out_channels)} if spec.bias == "position" else {}
    if case.kind == "transposed":
        found["bias"] = spec.x_shape(1)[1:] if case.settings["bias"] == "site" else (spec.in_channels,)
    return {name: found[name] for name in KINDS[case.kind].operands if name in found}


def drawn(case: ExtensionCase) -> Arrays:
    """Return the operands, from the frozen generator of 11.1."""
    operands: Arrays = {name: _drawn(case, name, shape) for name, shape in shapes(case).items()}
    if case.kind == "unequal":
        for block, (inputs, outputs) in enumerate(case.settings["sizes"]):
            operands["weight"][block, inputs:] = operands["weight"][block, :, outputs:] = 0
    if case.values == "nonfinite":
        del operands["dy"]
        planted = values.plant(case.id, operands["x"])
        operands = {name: array if name == "mask" else array.astype(np.float64) for name, array in operands.items()}
        operands["x"] = planted
    return operands


def _drawn(case: ExtensionCase, name: str, shape: tuple[int, ...]) -> Array:
    raw = values.raw(case.id, name, shape)
    if name == "mask":  # the last output channel keeps nothing
        return ((raw % np.uint64(5) < 3) & (np.arange(shape[-1]) < shape[-1] - 1)).astype(np.int64)
    if name == "regions":
        return regions.as_map(case.layer, case.settings["regions"]).astype(np.int64)
    if name == "radius":  # odd quarters, which are never where a gate bends, from -1.25 (closed) to beyond the window
        steps = math.floor(2 * adaptive.full_radius(case.layer) + 4.5) + 1
        return (raw % np.uint64(steps)).astype(np.float64) / 2 - 1.25
    if case.kind == "quantised":
        return _for_scales(case, name, shape)
    scale = QUARTERS if case.kind == "adaptive" and name in ("weight", "dy") else 1
    return scale * values.integers(case.id, name, shape, AMPLITUDE)


def _for_scales(case: ExtensionCase, name: str, shape: tuple[int, ...]) -> Array:
    """Return int8 inputs, and real weights: halves up to 127 times a power of two per output, or thousandths."""
    if name == "x":
        return values.integers(case.id, name, shape, quantised.LARGEST)
    whole = values.integers(case.id, name, shape, 2 * quantised.LARGEST)
    if case.settings["per"] == "layer":
        return (whole / np.float64(1000)).astype(np.float32)
    rank = case.layer.rank
    whole[(slice(None),) * rank + (0,) * (rank + 1)] = 2 * quantised.LARGEST
    powers = values.integers(case.id, "powers", (*shape[:rank], *(1,) * (rank + 1), shape[-1]), 4)
    return (whole * 2.0 ** (powers - 1)).astype(np.float32)


def by_module(case: ExtensionCase, given: Mapping[str, Array]) -> Arrays:
    """Return the results as `lcl_ref.extensions` computes them."""
    return _MODULES[case.kind](case, dict(given))


def by_formula(case: ExtensionCase, given: Mapping[str, Array]) -> Arrays:
    """Return the results as the clauses say."""
    arrays = dict(given)
    if case.kind == "unequal":
        return extension_formulas.unequal(case.settings["sizes"], arrays)
    if case.kind == "quantised":
        return extension_formulas.quantised(case.layer, arrays, case.settings["per"])
    if case.kind == "regions":
        return extension_formulas.regions(case.layer, arrays, case.settings["regions"])
    if case.kind == "borders":
        return extension_formulas.layer(case.layer, arrays, rule=case.settings["rule"])
    route = {
        "pruned": extension_formulas.pruned,
        "adaptive": extension_formulas.adaptive,
        "low-rank": extension_formulas.low_rank,
    }
    return route.get(case.kind, extension_formulas.transposed)(case.layer, arrays)


def _named(y: Array, gradients: tuple[Array, Array, Array | None]) -> Arrays:
    results = dict(zip(("y", "dx", "dw", "db"), (y, *gradients), strict=True))
    return {name: array for name, array in results.items() if array is not None}


def _pruned(case: ExtensionCase, given: Arrays) -> Arrays:
    mask, weight = given["mask"].astype(np.bool_), given["weight"]
    table = pruned.keep(case.layer, mask)
    y = pruned.forward(table, given["x"], pruned.pack(table, weight), given.get("bias"))
    if "dy" not in given:
        return {"y": y}
    dx, dw, db = api.vjp(case.layer, given["x"], weight * mask, given.get("bias"), given["dy"])
    return _named(y, (dx, dw * mask, db))


def _adaptive(case: ExtensionCase, given: Arrays) -> Arrays:
    spec, full, radius = case.layer, given["weight"], given["radius"]
    gated = adaptive.weight(spec, full, radius).astype(np.int64)
    y = api.forward(spec, given["x"], gated, given.get("bias"))
    dx, dw, db = api.vjp(spec, given["x"], gated, given.get("bias"), given["dy"])
    dradius = adaptive.radius_gradient(spec, full, radius, dw).astype(np.int64)
    shut = (dw * adaptive.gates(spec, radius)[..., None, None]).astype(np.int64)
    return _named(y, (dx, shut, db)) | {"dradius": dradius}


def _low_rank(case: ExtensionCase, given: Arrays) -> Arrays:
    spec, mixing, kernels, bias = case.layer, given["mixing"], given["kernels"], given.get("bias")
    y = low_rank.forward(spec, given["x"], mixing, kernels, bias).astype(np.int64)
    dx, dw, db = api.vjp(spec, given["x"], low_rank.weight(spec, mixing, kernels), bias, given["dy"])
    dmixing, dkernels = low_rank.gradients(spec, mixing, kernels, dw)
    found = _named(y, (dx, dw, db)) | {"dmixing": dmixing, "dkernels": dkernels}
    return {name: array for name, array in found.items() if name != "dw"}


def _unequal(case: ExtensionCase, given: Arrays) -> Arrays:
    blocks = unequal.Blocks(case.settings["sizes"])
    y = unequal.forward(blocks, given["x"], given["weight"], given["bias"])
    cuts = [np.cumsum([size[side] for size in blocks.sizes])[:-1] for side in (0, 1)]
    parts = list(zip(np.split(given["x"], cuts[0], 1), np.split(given["dy"], cuts[1], 1), strict=True))
    weights = [block[:i, :f] for block, (i, f) in zip(given["weight"], blocks.sizes, strict=True)]
    dx = np.concatenate([dy @ weight.T for (_, dy), weight in zip(parts, weights, strict=True)], 1)
    dw = unequal.pack(blocks, [x.T @ dy for x, dy in parts])
    return {"y": y, "dx": dx, "dw": dw, "db": given["dy"].sum(0)}


def _borders(case: ExtensionCase, given: Arrays) -> Arrays:
    rule, operands = case.settings["rule"], (given["x"], given["weight"], given.get("bias"))
    y = borders.forward(case.layer, *operands, rule)
    return _named(y, borders.vjp(case.layer, *operands, given["dy"], rule))


def _transposed(case: ExtensionCase, given: Arrays) -> Arrays:
    operands = given["y"], given["weight"], given["bias"]
    dy, dw, db = transposed.vjp(case.layer, *operands, given["dz"])
    assert db is not None
    return {"z": transposed.forward(case.layer, *operands), "dy": dy, "dw": dw, "db": db}


def _quantised(case: ExtensionCase, given: Arrays) -> Arrays:
    layer = quantised.prepare(case.layer, given["weight"], None, case.settings["per"])
    sums = quantised.integer_part(layer, given["x"].astype(np.int8))
    return {"scale": layer.scale, "quantised": layer.weight, "sums": sums}


def _regions(case: ExtensionCase, given: Arrays) -> Arrays:
    where, operands = given["regions"], (given["x"], given["kernels"], given.get("bias"))
    y = regions.forward(case.layer, where, *operands)
    found = _named(y, regions.vjp(case.layer, where, *operands, given["dy"]))
    return {"dkernels" if name == "dw" else name: array for name, array in found.items()}


_MODULES = {
    "pruned": _pruned,
    "adaptive": _adaptive,
    "low-rank": _low_rank,
    "unequal": _unequal,
    "borders": _borders,
    "transposed": _transposed,
    "quantised": _quantised,
    "regions": _regions,
}
