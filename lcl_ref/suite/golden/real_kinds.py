"""Kinds of real operands (SPEC 11.1, 11.10): integers ``m`` at a scale ``e``, for numbers ``m * 2**-e`` of a format."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core import batched
from lcl_ref.core.spec import Spec
from lcl_ref.suite.cases.case import Case
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.golden import values

Array = NDArray[Any]


class Scaled(NamedTuple):
    """Numbers ``whole * 2**-scale``; `whole` has Python's integers (dtype object)."""

    whole: Array
    scale: int

    def floats(self) -> NDArray[np.float64]:
        """Return the numbers themselves, of which none needs more bits than float64 has."""
        return np.ldexp(self.whole.astype(np.float64), -self.scale)


Drawn = dict[str, Scaled]


class Within(NamedTuple):
    """Where numbers lie within a format in every order of summation."""

    small: int
    apart: int
    spread: int


WITHIN = {
    "float16": Within(-5, 4, 4),
    "bfloat16": Within(-56, 3, 20),
    "float32": Within(-40, 10, 20),
    "float64": Within(-460, 20, 200),
}
"""Per format: the lowest exponent of `small` operands, of which no sum is subnormal, and how far apart magnitudes of
`mixed` and of `wide` ones lie."""


class Draw:
    """The operands of one case in one format."""

    def __init__(self, case: Case, dtype: str) -> None:
        self.case, self.dtype, self.format, self.within = case, dtype, FORMATS[dtype], WITHIN[dtype]
        self.shapes = case.spec.operand_shapes(case.batch)

    def raw(self, name: str) -> NDArray[np.uint64]:
        """Return the raw numbers of an operand."""
        return values.raw(self.case.id, f"{self.dtype}/{name}", self.shapes[name])

    def reals(self, name: str, low: int, binades: int = values.SPREAD + 1) -> Scaled:
        """Return numbers with full significands and exponents from `low` on, of either sign."""
        key, shape = f"{self.dtype}/{name}", self.shapes[name]
        whole = values.significands(self.case.id, key, shape, self.dtype, binades)
        return Scaled(whole, self.format.precision - 1 - low)

    def subnormals(self, name: str) -> Scaled:
        """Return odd multiples of the smallest number below the least normal one."""
        magnitude = (self.raw(name) >> np.uint64(65 - self.format.precision)) | np.uint64(1)
        scale = self.format.precision - 1 - self.format.min_exponent
        return Scaled(self._signed(name, magnitude.astype(object)), scale)

    def apart(self, name: str) -> Scaled:
        """Return numbers of which one in four is large, and the others small beside it."""
        full, steps = self.reals(name, 0, 1), self.within.apart
        large = (self.raw(name) >> np.uint64(1)) % np.uint64(4) == 0
        return Scaled(full.whole << np.where(large, steps, 0).astype(object), full.scale + steps)

    def each(self, draw: Callable[[str], Scaled], bias: Callable[[], Scaled]) -> Drawn:
        """Return every operand, the bias, where there is one, in its own way."""
        return {name: bias() if name == "bias" else draw(name) for name in self.shapes}

    def _signed(self, name: str, magnitude: Array) -> Array:
        signed: Array = magnitude * np.where(self.raw(name) & np.uint64(1), -1, 1).astype(object)
        return signed


def plain(draw: Draw) -> Drawn:
    """Return operands of four binades below 2."""
    return draw.each(lambda name: draw.reals(name, -values.SPREAD), lambda: draw.reals("bias", -values.SPREAD))


def worst(draw: Draw) -> Drawn:
    """Return the plain operands with some numbers drawn again, as `tools/worst_operands.py` found them."""
    drawn = plain(draw)
    for name, place, again in draw.case.moves:
        key = f"{draw.dtype}/{name}/{again}"
        drawn[name].whole.flat[place] = values.significands(draw.case.id, key, (place + 1,), draw.dtype)[-1]
    return drawn


def positive(draw: Draw) -> Drawn:
    """Return the plain operands without signs."""
    return {name: Scaled(abs(drawn.whole), drawn.scale) for name, drawn in plain(draw).items()}


def _in_binade(draw: Draw, low: int, binades: int = values.SPREAD + 1) -> Drawn:
    return draw.each(lambda name: draw.reals(name, low, binades), lambda: draw.reals("bias", 2 * low, 2 * binades - 1))


def small(draw: Draw) -> Drawn:
    """Return operands whose products are near the least normal number."""
    return _in_binade(draw, draw.within.small)


def huge(draw: Draw) -> Drawn:
    """Return operands of which every sum of magnitudes is below the largest number, by four binades at most."""
    terms = most_terms(draw.case.spec, draw.case.batch) + 1
    too_large = 2 - draw.format.min_exponent  # the exponent of the first power of two that is, by IEEE 754
    return _in_binade(draw, (too_large - 3 - math.ceil(math.log2(terms))) // 2 - values.SPREAD)


def wide(draw: Draw) -> Drawn:
    """Return operands of very different magnitudes."""
    return _in_binade(draw, -draw.within.spread, 2 * draw.within.spread)


def mixed(draw: Draw) -> Drawn:
    """Return operands few of which are large: small products are added to large ones."""
    return draw.each(draw.apart, lambda: draw.reals("bias", -2 * draw.within.apart))


def cancelling(draw: Draw) -> Drawn:
    """Return operands that differ from channel to channel, and sample to sample, by a sign and half their bits."""
    half = draw.format.precision // 2
    drawn = draw.each(lambda name: draw.reals(name, 0, 1), lambda: draw.reals("bias", -half))
    for name in ("x", "weight", "dy"):
        whole = drawn[name].whole
        size = abs(whole[..., : (whole.shape[-1] + 1) // 2].repeat(2, axis=-1)[..., : whole.shape[-1]])
        if name == "weight":
            size = size[..., ::2, :].repeat(2, axis=-2)[..., : whole.shape[-2], :]
        else:
            size = size[::2].repeat(2, axis=0)[: len(whole)]
        low = (draw.raw(name) >> np.uint64(20)) % np.uint64(1 << half)
        drawn[name] = Scaled((size ^ low.astype(object)) * _alternating(name, whole.shape), drawn[name].scale)
    return drawn


def _alternating(name: str, shape: tuple[int, ...]) -> Array:
    """Return signs that alternate along the channels of a weight and the samples of x: so sums over either cancel."""
    places = np.indices(shape)
    along = {"weight": places[-1] + places[-2], "x": places[0]}.get(name, np.zeros(shape, np.int64))
    return np.where(along % 2, -1, 1).astype(object)


def subnormal_operands(name: str) -> Callable[[Draw], Drawn]:
    """Return the kind in which one operand, and the bias, is subnormal."""

    def drawn(draw: Draw) -> Drawn:
        return plain(draw) | {other: draw.subnormals(other) for other in (name, "bias") if other in draw.shapes}

    return drawn


def subnormal_products(draw: Draw) -> Drawn:
    """Return normal operands whose products, and most sums, are subnormal."""
    low = draw.format.min_exponent // 2 - 4
    return draw.each(lambda name: draw.reals(name, low), lambda: draw.subnormals("bias"))


KINDS: Mapping[str, Callable[[Draw], Drawn]] = {
    "": plain,
    "worst": worst,
    "positive": positive,
    "small": small,
    "huge": huge,
    "wide": wide,
    "mixed": mixed,
    "cancelling": cancelling,
    "subnormal-x": subnormal_operands("x"),
    "subnormal-weight": subnormal_operands("weight"),
    "subnormal-products": subnormal_products,
}
"""Kind -> the operands of a rounded case."""


def most_terms(spec: Spec, batch: int) -> int:
    """Return the most products of any element of any result."""
    ones = {name: np.ones(shape) for name, shape in spec.operand_shapes(batch).items() if name != "bias"}
    y = batched.forward(spec, ones["x"], ones["weight"], None)
    dx, dw, _ = batched.vjp(spec, ones["x"], ones["weight"], ones["dy"])
    return int(max(y.max(), dx.max(), dw.max()))


def drawn(case: Case, dtype: str) -> Drawn:
    """Return the operands of a rounded case in one format; nothing is ever rounded."""
    return KINDS[case.operands](Draw(case, dtype))
