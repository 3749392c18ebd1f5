"""Right answers of a layer in chosen orders of summation: what a limit of SPEC clause 12.2 must let pass.

Every result is laid out as rows of terms, ``left (e, k)`` times ``right (e, k)`` plus ``start (e,)``, one row per
element, so that one order of summation runs over all elements at once. Terms that do not exist are zeros, which round
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core.dense_oracle import connectivity
from lcl_ref.core.spec import Spec

Array = NDArray[Any]
Floats = NDArray[np.float64]

LANES = 8
SPLITTER = 2.0**27 + 1
"""Veltkamp's: splits a float64 into two halves whose products are exact."""


@dataclass(frozen=True)
class Terms:
    """The terms of every element of one result: ``left (e, k)``, ``right (e, k)``, ``start (e,)``."""

    left: Array
    right: Array
    start: Array

    def astype(self, dtype: Any) -> Terms:
        """Return the same terms in another dtype."""
        return Terms(self.left.astype(dtype), self.right.astype(dtype), self.start.astype(dtype))


def terms_of(spec: Spec, operands: Mapping[str, Array], result: str) -> Terms:
    """Return the terms of ``y``, ``dx``, ``dw`` or ``db``; elements are in C order, as in the result itself."""
    dy = operands["dy"].reshape(len(operands["dy"]), -1)
    if result == "db":
        rows = dy if spec.bias == "position" else dy.reshape(-1, spec.out_channels)
        return Terms(rows.T, np.ones_like(rows.T), np.zeros(rows.shape[1], dy.dtype))
    route = connectivity(spec)
    site, place = np.nonzero(route.joined)  # one entry per term of the layer: which input feeds which output
    number = route.weight_index[site, place]
    x, weight = operands["x"].reshape(len(dy), -1), operands["weight"].reshape(-1)
    if result == "y":
        table = _rows(place, dy.shape[1])
        start = np.zeros(spec.y_shape(len(dy)), x.dtype)
        if "bias" in operands:
            start = start + operands["bias"]
        return Terms(_taken(x[:, site], table), _taken(np.tile(weight[number], (len(x), 1)), table), start.reshape(-1))
    if result == "dx":
        table = _rows(site, x.shape[1])
        left, right = dy[:, place], np.tile(weight[number], (len(x), 1))
        return Terms(_taken(left, table), _taken(right, table), np.zeros(x.size, x.dtype))
    # A row of dw runs over samples as well: their terms lie behind each other.
    table = _rows(np.tile(number, len(x)), weight.size)
    left, right = x[:, site].reshape(1, -1), dy[:, place].reshape(1, -1)
    return Terms(_taken(left, table), _taken(right, table), np.zeros(weight.size, x.dtype))


def _rows(keys: Array, count: int) -> Array:
    """Return ``(count, k)``: the places of each key, -1 where a row is shorter than the longest."""
    order = np.argsort(keys, kind="stable")
    lengths = np.bincount(keys, minlength=count)
    table = np.full((count, int(lengths.max(initial=0))), -1)
    table[np.arange(table.shape[1]) < lengths[:, None]] = order
    return table


def _taken(values: Array, table: Array) -> Array:
    """Return ``(n * rows, k)`` of ``values (n, terms)``, zero where the table has none."""
    taken = np.where(table >= 0, values[:, table], np.zeros((), values.dtype))
    return taken.reshape(len(values) * len(table), table.shape[1])


AddProduct = Callable[[Array, Array, Array], Array]
"""``(total, left, right) -> total + left * right``, rounded once or twice."""


def apart(total: Array, left: Array, right: Array) -> Array:
    """Round the product, then the sum."""
    rounded: Array = total + left * right
    return rounded


def together(total: Array, left: Array, right: Array) -> Array:
    """Round product and addition together, by fused multiply-add."""
    return fma(left, right, total)


def serial(terms: Terms, add: AddProduct = apart) -> Array:
    """From the bias on, one product after the other."""
    total = terms.start
    for k in range(terms.left.shape[1]):
        total = add(total, terms.left[:, k], terms.right[:, k])
    return total


def backwards(terms: Terms, add: AddProduct = apart) -> Array:
    """Last product first, the bias at the end."""
    return serial(Terms(terms.left[:, ::-1], terms.right[:, ::-1], np.zeros_like(terms.start)), add) + terms.start


def pairwise(terms: Terms, add: AddProduct = apart) -> Array:
    """As a balanced tree, the bias being one leaf."""
    left = np.concatenate([terms.left, terms.start[:, None]], axis=1)
    right = np.concatenate([terms.right, np.ones_like(terms.start[:, None])], axis=1)
    if left.shape[1] % 2:
        left, right = (np.concatenate([array, np.zeros_like(array[:, :1])], axis=1) for array in (left, right))
    level = add(left[:, ::2] * right[:, ::2], left[:, 1::2], right[:, 1::2])
    while level.shape[1] > 1:
        if level.shape[1] % 2:
            level = np.concatenate([level, np.zeros_like(level[:, :1])], axis=1)
        level = level[:, ::2] + level[:, 1::2]
    return level[:, 0]


def blocked(terms: Terms, add: AddProduct = apart) -> Array:
    """In lanes, as vector units do; then lane after lane, and the bias."""
    lanes = np.zeros((len(terms.start), LANES), terms.start.dtype)
    for k in range(0, terms.left.shape[1], LANES):
        left, right = terms.left[:, k : k + LANES], terms.right[:, k : k + LANES]
        lanes[:, : left.shape[1]] = add(lanes[:, : left.shape[1]], left, right)
    total = lanes[:, 0]
    for lane in range(1, LANES):
        total = total + lanes[:, lane]
    return total + terms.start


APART: dict[str, Callable[[Terms], Array]] = {
    "serial": serial,
    "reversed": backwards,
    "pairwise": pairwise,
    "blocked": blocked,
}
"""Name -> sum of the terms in their own dtype."""

TOGETHER: dict[str, Callable[[Terms], Array]] = {
    f"{name}, fma": partial(order, add=together) for name, order in APART.items()
}
"""The same by fused multiply-add."""

ORDERS: dict[str, Callable[[Terms], Array]] = APART | {"fma": TOGETHER["serial, fma"]}
"""Those the limits are tried with; matrix products come from `lcl_ref.core.batched`."""


def two_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Return ``a + b`` and what its rounding lost, exactly (Knuth)."""
    total = a + b
    seen = total - a
    return total, (a - (total - seen)) + (b - seen)


def two_product(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Return ``a * b`` and what its rounding lost, exactly (Dekker, Veltkamp)."""
    product = a * b
    (a_high, a_low), (b_high, b_low) = _split(a), _split(b)
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def _split(a: Floats) -> tuple[Floats, Floats]:
    scaled = SPLITTER * a
    high = scaled - (scaled - a)
    return high, a - high


def odd_sum(a: Floats, b: Floats) -> Floats:
    """Return ``a + b`` rounded to odd: a second, narrower rounding then gives what one rounding would have given."""
    total, lost = two_sum(a, b)
    even = (total.view(np.int64) & 1) == 0
    odd: Floats = np.where((lost != 0) & even, np.nextafter(total, np.copysign(np.inf, lost)), total)
    return odd


def fma(a: Array, b: Array, c: Array) -> Array:
    """Return ``a * b + c`` rounded once, in float32 or float64 (Boldo and Melquiond; clear of under- and overflow)."""
    wide = [array.astype(np.float64) for array in (a, b, c)]
    if c.dtype == np.float32:  # the product is exact in float64
        return odd_sum(wide[0] * wide[1], wide[2]).astype(np.float32)
    high, low = two_product(wide[0], wide[1])
    first, first_lost = two_sum(wide[2], low)
    second, second_lost = two_sum(high, first)
    return second + odd_sum(first_lost, second_lost)


def nearest(terms: Terms) -> Floats:
    """Return the sums in twice the precision of float64, rounded to float64 (Ogita, Rump and Oishi)."""
    wide = terms.astype(np.float64)
    total, lost = wide.start, np.zeros_like(wide.start)
    for k in range(wide.left.shape[1]):
        product, product_lost = two_product(wide.left[:, k], wide.right[:, k])
        total, sum_lost = two_sum(total, product)
        lost = lost + (product_lost + sum_lost)
    return total + lost
