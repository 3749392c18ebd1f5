"""The three products of a layer as Pallas kernels: what `triton_kernels` does, in JAX's words.

Operands and results are flat. A program makes `together` products of matrices, whole, of blocks of their factors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as memory

from lcl_ref.layers.engines.accelerators.kernel_tables import Blocks, Sizes


class Product(NamedTuple):
    """A batch of `total` products ``(rows, inner) @ (inner, columns)``, and what a program takes of it."""

    total: int
    rows: int
    inner: int
    columns: int
    blocks: Blocks

    @property
    def programs(self) -> int:
        """How many programs make all."""
        return -(-self.total // self.blocks.together) * self.row_tiles * self.column_tiles

    @property
    def row_tiles(self) -> int:
        """How many programs share the rows of a product."""
        return -(-self.rows // self.blocks.rows)

    @property
    def column_tiles(self) -> int:
        """How many programs share the columns of a product."""
        return -(-self.columns // self.blocks.columns)


Factors = Callable[[Any], tuple[Any, Any]]


def output(size: Sizes, product: Product, batch: int, operands: Any, y: Any) -> None:
    """``(tied * n, k*cg) @ (k*cg, co/g)`` of one own position and group."""
    x, weight, site_table, position_table, channel_table = operands
    here, row, column = _place(product)
    own, group = _div(here, size.groups), _rest(here, size.groups)
    in_rows, in_columns = _both(here < product.total, row < product.rows), column < product.columns
    place, sample = own[:, None] * size.tied + _div(row, batch)[None, :], _rest(row, batch)
    features = group[:, None] * size.width + column[None, :]

    def factors(inner: Any) -> tuple[Any, Any]:
        live = _both(here < product.total, inner < product.inner)
        tap, channel = _div(inner, size.group_channels), _rest(inner, size.group_channels)
        source = _load(channel_table, group[:, None] * size.group_channels + channel[None, :], live, 0)
        both = in_rows[:, :, None] & live[:, None, :]
        site = _load(site_table, place[:, :, None] * size.taps + tap[None, None, :], both, -1)
        number = (sample[None, :, None] * size.sites + site) * size.in_channels + source[:, None, :]
        kernel = own[:, None] * product.inner + inner[None, :]
        mask = live[:, :, None] & in_columns[None, None, :]
        matrix = kernel[:, :, None] * size.out_channels + features[:, None, :]
        return _load(x, number, site >= 0, 0), _load(weight, matrix, mask, 0)

    position = _load(position_table, place, in_rows, 0)
    target = (sample[None, :] * size.positions + position)[:, :, None] * size.out_channels + features[:, None, :]
    _store(y, target, _sum(product, factors, y.dtype), in_rows[:, :, None] & in_columns[None, None, :])


def input_gradient(size: Sizes, product: Product, shape: tuple[int, ...], operands: Any, dx: Any) -> None:
    """``(n, readers * outputs) @ (readers * outputs, width)`` of one site and block of input channels."""
    dy, weight, position_table, kernel_table, output_table, weight_table = operands
    readers, blocks, outputs = shape
    place, row, column = _place(product)
    site, block = _div(place, blocks), _rest(place, blocks)
    in_rows, in_columns = _both(place < product.total, row < product.rows), column < product.columns

    def factors(inner: Any) -> tuple[Any, Any]:
        given = _both(place < product.total, inner < product.inner)
        reader = site[:, None] * readers + _div(inner, outputs)[None, :]
        entry = block[:, None] * outputs + _rest(inner, outputs)[None, :]
        position, feature = _load(position_table, reader, given, -1), _load(output_table, entry, given, -1)
        live = (position >= 0) & (feature >= 0)
        kernel, channel = _load(kernel_table, reader, live, 0), _load(weight_table, entry, live, 0)
        number = (row[None, :, None] * size.positions + position[:, None, :]) * size.out_channels + feature[:, None, :]
        matrix = (kernel * size.group_channels + channel)[:, :, None] + column[None, None, :]
        matrix = matrix * size.out_channels + feature[:, :, None]
        cotangent = _load(dy, number, in_rows[:, :, None] & live[:, None, :], 0)
        return cotangent, _load(weight, matrix, live[:, :, None] & in_columns[None, None, :], 0)

    target = (row[None, :] * size.sites + site[:, None]) * size.in_channels + (block * product.columns)[:, None]
    target = target[:, :, None] + column[None, None, :]
    _store(dx, target, _sum(product, factors, dx.dtype), in_rows[:, :, None] & in_columns[None, None, :])


def weight_gradient(size: Sizes, product: Product, batch: int, operands: Any, dw: Any) -> None:
    """``(k*cg, tied * n) @ (tied * n, co/g)`` of one own position and group."""
    x, dy, site_table, position_table, channel_table = operands
    here, row, column = _place(product)
    own, group = _div(here, size.groups), _rest(here, size.groups)
    in_rows, in_columns = _both(here < product.total, row < product.rows), column < product.columns
    tap, channel = _div(row, size.group_channels), _rest(row, size.group_channels)
    source = _load(channel_table, group[:, None] * size.group_channels + channel[None, :], in_rows, 0)
    features = group[:, None] * size.width + column[None, :]

    def factors(inner: Any) -> tuple[Any, Any]:
        live = _both(here < product.total, inner < product.inner)
        place, sample = own[:, None] * size.tied + _div(inner, batch)[None, :], _rest(inner, batch)
        both = in_rows[:, :, None] & live[:, None, :]
        site = _load(site_table, place[:, None, :] * size.taps + tap[None, :, None], both, -1)
        number = (sample[None, None, :] * size.sites + site) * size.in_channels + source[:, :, None]
        position = _load(position_table, place, live, 0)
        target = (sample[None, :] * size.positions + position)[:, :, None] * size.out_channels + features[:, None, :]
        mask = live[:, :, None] & in_columns[None, None, :]
        return _load(x, number, site >= 0, 0), _load(dy, target, mask, 0)

    target = (own[:, None] * product.rows + row[None, :])[:, :, None] * size.out_channels + features[:, None, :]
    _store(dw, target, _sum(product, factors, dw.dtype), in_rows[:, :, None] & in_columns[None, None, :])


def _place(product: Product) -> tuple[Any, Any, Any]:
    """Return the numbers of the products of this program, of its rows, and of its columns."""
    blocks, program = product.blocks, pl.program_id(0)
    column = _rest(program, product.column_tiles) * blocks.columns + _range(blocks.columns)
    rest = _div(program, product.column_tiles)
    row = _rest(rest, product.row_tiles) * blocks.rows + _range(blocks.rows)
    return _div(rest, product.row_tiles) * blocks.together + _range(blocks.together), row, column


def _sum(product: Product, factors: Factors, dtype: Any) -> Any:
    """Return the product of ``factors(inner)``, added up over runs of inner numbers in the wide dtype."""
    count, rows, run, columns = product.blocks
    wide = jnp.promote_types(dtype, jnp.float32)

    def add(step: Any, total: Any) -> Any:
        left, right = factors(step * run + _range(run))
        if left.dtype != right.dtype:
            left, right = left.astype(wide), right.astype(wide)
        if count == 1:
            left, right = left.reshape(rows, run), right.reshape(run, columns)
        return total + jnp.matmul(left, right, precision=lax.Precision.HIGHEST, preferred_element_type=wide)

    total = jnp.zeros((rows, columns) if count == 1 else (count, rows, columns), wide)
    total = lax.fori_loop(0, -(-product.inner // run), add, total)
    return total.reshape(count, rows, columns).astype(dtype)


def _div(index: Any, by: int) -> Any:
    return lax.div(index, np.int32(by))


def _rest(index: Any, by: int) -> Any:
    return lax.rem(index, np.int32(by))


def _range(length: int) -> Any:
    return jnp.arange(length, dtype=jnp.int32)


def _both(first: Any, second: Any) -> Any:
    return first[:, None] & second[None, :]


def _load(array: Any, index: Any, mask: Any, other: int) -> Any:
    return memory.load(array.at[index], mask=mask, other=jnp.asarray(other, array.dtype))


def _store(array: Any, index: Any, values: Any, mask: Any) -> None:
    """Store what the mask keeps; the interpreter drops what is past the end, and would write elsewhere otherwise."""
    memory.store(array.at[jnp.where(mask, index, array.size)], values, mask=mask)
