"""Layers that are right for plain numbers, and wrong for zeros, large, small, subnormal or inexact ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from lcl_ref.core import batched
from lcl_ref.suite.formats import FORMATS
from tools.limits.directed import DIRECTIONS, serial
from tools.limits.summation import terms_of

Array = np.ndarray
Read = Callable[[str, Array], Array]
Write = Callable[[str, Array], Array]


def as_it_is(_name: str, array: Array) -> Array:
    return array


class Layer:
    """The layer in float64, rounded once; `read` changes operands and `write` results, where they are wrong."""

    nonfinite = False

    def __init__(self, read: Read = as_it_is, write: Write = as_it_is) -> None:
        self.read, self.write = read, write

    def forward(self, spec, x, weight, bias):
        given = self._given(x=x, weight=weight, bias=bias)
        y = batched.forward(spec, given["x"], given["weight"], given["bias"])
        return self._results(x.dtype, y=y)[0]

    def vjp(self, spec, x, weight, bias, dy):
        del bias
        given = self._given(x=x, weight=weight, dy=dy)
        dx, dw, db = batched.vjp(spec, given["x"], given["weight"], given["dy"])
        return self._results(x.dtype, dx=dx, dw=dw, db=db)

    def _given(self, **operands):
        return {
            name: None if array is None else self.read(name, array).astype(np.float64)
            for name, array in operands.items()
        }

    def _results(self, dtype, **results):
        with np.errstate(all="ignore"):
            return tuple(
                None if array is None else self.write(name, array.astype(dtype)).astype(dtype)
                for name, array in results.items()
            )


# --- zeros ------------------------------------------------------------------------------------------------------------


class WithoutBias(Layer):
    """Leaves the bias out where its measure of x and weight is 0."""

    def __init__(self, measure: Callable[..., Any]) -> None:
        super().__init__()
        self.measure = measure

    def forward(self, spec, x, weight, bias):
        y = super().forward(spec, x, weight, bias)
        kept = self.measure(spec, np.abs(x.astype(float)), np.abs(weight.astype(float))) != 0
        inside = batched.forward(spec, np.ones(x.shape), np.ones(weight.shape), None) > 0  # padding is no zero of x
        return np.where(kept | ~inside, y, 0).astype(y.dtype)


class CountsWhatIsNotZero(Layer):
    """Takes 0 for missing: scales a window up by what it lacks."""

    def forward(self, spec, x, weight, bias):
        ones = np.ones(weight.shape)
        there = batched.forward(spec, np.ones(x.shape), ones, None)
        present = batched.forward(spec, (x != 0).astype(float), ones, None)
        y = batched.forward(spec, x.astype(float), weight.astype(float), None)
        y = y * np.divide(there, present, out=np.ones_like(there), where=present > 0)
        return (y if bias is None else y + bias).astype(x.dtype)


def by_its_largest(_name: str, array: Array) -> Array:
    """Scales by a power of two near the largest number, and back."""
    with np.errstate(all="ignore"):
        scale = 2.0 ** np.floor(np.log2(np.abs(array.astype(float)).max(initial=-np.inf)))
        return array / scale * scale if array.size and np.isfinite(array.astype(float)).all() else array


ZEROS = {
    "skips zero windows": WithoutBias(lambda spec, x, w: batched.forward(spec, x, np.ones(w.shape), None)),
    "skips zero kernels": WithoutBias(lambda spec, x, w: batched.forward(spec, np.ones(x.shape), w, None)),
    "returns early for an x of zeros": WithoutBias(lambda _spec, x, _w: x.sum()),
    "returns early for a weight of zeros": WithoutBias(lambda _spec, _x, w: w.sum()),
    "takes 0 for missing": CountsWhatIsNotZero(),
    "scales by the largest number": Layer(read=by_its_largest),
}
NAMED_ZEROS = ("skips", "returns")


# --- large whole numbers ----------------------------------------------------------------------------------------------


def clamped(wanted: str, most: float) -> Layer:
    """Return the layer that clamps one operand."""
    return Layer(read=lambda name, array: np.clip(array, -most, most) if name == wanted else array)


def is_whole(array: Array) -> bool:
    wide = array.astype(float)
    return bool(np.isfinite(wide).all() and (wide == np.rint(wide)).all())


def whole_as(dtype: Any) -> Layer:
    """Return the layer that keeps results in another type where they are whole."""

    def write(_name: str, array: Array) -> Array:
        if not is_whole(array):
            return array
        kind = np.dtype(dtype)
        return (array.astype(np.int64) if kind.kind == "i" else array).astype(kind).astype(float)

    return Layer(write=write)


def whole_operands_as(dtype: Any) -> Layer:
    """Return the layer that rounds operands that are whole."""
    return Layer(read=lambda _name, array: array.astype(dtype).astype(float) if is_whole(array) else array)


LARGE = {
    "clamps x to 8 bits": (clamped("x", 127), ""),
    "clamps weights at 100": (clamped("weight", 100), ""),
    "clips cotangents at 10": (clamped("dy", 10), ""),
    "clamps the bias to 16 bits": (clamped("bias", 32767), ""),
    "saturates at 16 bits": (Layer(write=lambda _name, array: np.clip(array, -(2**15), 2**15 - 1)), ""),
    "wraps at 16 bits": (whole_as("int16"), "values/wraps"),
    "wraps at 32 bits": (whole_as("int32"), "values/wraps"),
    "whole numbers in float16": (whole_operands_as("float16"), ""),
    "whole numbers in bfloat16": (whole_operands_as(FORMATS["bfloat16"].dtype), "reduced precision: inputs rounded to"),
    "whole sums in float32": (whole_as("float32"), "reduced precision: computed in float32"),
}


# --- reals ------------------------------------------------------------------------------------------------------------


def nothing_below(least: float) -> Write:
    return lambda _name, array: np.where(np.abs(array) < least, 0, array)


def shared_exponent(_name: str, array: Array) -> Array:
    """Fixed point of 31 bits below the largest number of a tensor."""
    wide = array.astype(float)
    if not array.size or not np.isfinite(wide).all() or not wide.any():
        return array
    step = 2.0 ** (np.floor(np.log2(np.abs(wide).max())) - 30)
    return np.rint(wide / step) * step


def pruned(_name: str, array: Array) -> Array:
    """Drops what is a thousandth of the largest number of a tensor."""
    wide = np.abs(array.astype(float))
    return np.where(wide < wide.max(initial=0) * 2e-3, 0, array) if np.isfinite(wide).all() else array


def scaled_up(_name: str, array: Array) -> Array:
    """Scales by 2^96 in float32, and back."""
    with np.errstate(all="ignore"):
        return (array.astype(np.float32) * np.float32(2.0**96) / np.float32(2.0**96)).astype(array.dtype)


REALS = {
    "rounds to 9 decimals": (Layer(write=lambda _name, array: np.round(array.astype(float), 9)), "small"),
    "takes less than 1e-12 for 0": (Layer(write=nothing_below(1e-12)), "small"),
    "adds an epsilon": (Layer(write=lambda _name, array: np.where(array == 0, 0, array + 1e-16)), "small"),
    "clamps at 1e30": (Layer(write=lambda _name, array: np.clip(array, -1e30, 1e30)), "huge"),
    "scales by 2^96": (Layer(write=scaled_up), "huge"),
    "drops small operands": (Layer(read=pruned), "mixed"),
    "shares an exponent": (Layer(read=shared_exponent), "wide"),
    "takes cancelled sums for 0": (Layer(write=nothing_below(1e-5)), "cancelling"),
}
"""Layer, and a kind of operands that shows its mistake."""


# --- subnormal numbers ------------------------------------------------------------------------------------------------


def flushing(*names: str) -> Read:
    """Return what takes, or gives, numbers below the least normal one of their format as 0."""

    def flushed(name: str, array: Array) -> Array:
        least = 2.0 ** FORMATS[array.dtype.name].min_exponent
        return np.where(np.abs(array.astype(float)) < least, 0, array) if name in names else array

    return flushed


FLUSHING = {
    "x": (Layer(read=flushing("x")), "float32"),
    "weights": (Layer(read=flushing("weight")), "float32"),
    "results": (Layer(write=flushing("y", "dx", "dw")), "float32"),
    "gradients of weights": (Layer(write=flushing("dw")), "float32"),
    "operands and results": (Layer(flushing("x", "weight", "bias", "dy"), flushing("y", "dx", "dw", "db")), "float64"),
    "results in bfloat16": (Layer(write=flushing("y")), "bfloat16"),
    "results in float16": (Layer(write=flushing("y", "dx")), "float16"),
}
"""Layer, and a format in which its mistake shows."""


# --- rounding ---------------------------------------------------------------------------------------------------------


class Directed:
    """Every product and every sum is rounded to one side."""

    def __init__(self, direction: str) -> None:
        self.sum = partial(serial, direction=DIRECTIONS[direction])

    def forward(self, spec, x, weight, bias):
        operands = {"x": x, "weight": weight, "dy": np.zeros(spec.y_shape(len(x)), x.dtype)}
        terms = terms_of(spec, operands | ({} if bias is None else {"bias": bias}), "y")
        return self.sum(terms.astype(x.dtype)).reshape(spec.y_shape(len(x)))

    def vjp(self, spec, x, weight, bias, dy):
        operands = {"x": x, "weight": weight, "dy": dy} | ({} if bias is None else {"bias": bias})
        results = {
            name: self.sum(terms_of(spec, operands, name).astype(x.dtype)).reshape(spec.result_shapes(len(x))[name])
            for name in ("dx", "dw", "db")
            if name != "db" or bias is not None
        }
        return results["dx"], results["dw"], results.get("db")
