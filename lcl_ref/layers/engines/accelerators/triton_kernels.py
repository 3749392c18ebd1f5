"""The three products of a layer as Triton kernels, which gather windows where they lie by `kernel_tables`.

A layer is a batch of matrix products, one per own position and group. Each program makes a block of `COUNT` of them,
whole, and reads their factors piece by piece: so weights and their gradient move once, no window is ever stored, and
there is nothing to add up between programs. A graphics card takes one product per program; Triton's interpreter, which
pays for every operation, takes many.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def numbers(row_tiles, column_tiles, COUNT: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Return the numbers of the products of this program, of its rows, and of its columns."""
    program = tl.program_id(0)
    column = program % column_tiles * COLUMNS + tl.arange(0, COLUMNS)
    row = program // column_tiles % row_tiles * ROWS + tl.arange(0, ROWS)
    return program // (column_tiles * row_tiles) * COUNT + tl.arange(0, COUNT), row, column


@triton.jit
def added(
    total,
    left,
    right,
    WIDE: tl.constexpr,
    COUNT: tl.constexpr,
    ROWS: tl.constexpr,
    INNER: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Return a sum of products, and one more."""
    if COUNT == 1:
        left, right = tl.reshape(left, (ROWS, INNER)), tl.reshape(right, (INNER, COLUMNS))
    return tl.dot(left, right, acc=total, input_precision="ieee", out_dtype=WIDE)


@triton.jit
def output(
    x,
    weight,
    bias,
    y,
    site_table,
    position_table,
    channel_table,
    batch,
    sites,
    positions,
    tied,
    taps,
    groups,
    in_channels,
    out_channels,
    group_channels,
    width,
    products,
    row_tiles,
    column_tiles,
    BIAS: tl.constexpr,
    WIDE: tl.constexpr,
    COUNT: tl.constexpr,
    ROWS: tl.constexpr,
    INNER: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """``(tied * n, k*cg) @ (k*cg, co/g)`` of one own position and group."""
    block, row, column = numbers(row_tiles, column_tiles, COUNT, ROWS, COLUMNS)
    own, group = block // groups, block % groups
    in_rows, in_columns = (block < products)[:, None] & (row < tied * batch)[None, :], column < width
    place = own[:, None] * tied + (row // batch)[None, :]
    sample = (row % batch).to(tl.int64)
    inner_size = taps * group_channels
    features = group[:, None] * width + column[None, :]
    total = tl.full((ROWS, COLUMNS) if COUNT == 1 else (COUNT, ROWS, COLUMNS), 0, WIDE)
    for start in range(0, inner_size, INNER):
        inner = start + tl.arange(0, INNER)
        live = (block < products)[:, None] & (inner < inner_size)[None, :]
        tap, channel = inner // group_channels, inner % group_channels
        source = tl.load(channel_table + group[:, None] * group_channels + channel[None, :], mask=live, other=0)
        both = in_rows[:, :, None] & live[:, None, :]
        site = tl.load(site_table + place[:, :, None] * taps + tap[None, None, :], mask=both, other=-1)
        number = (sample[None, :, None] * sites + site) * in_channels + source[:, None, :]
        seen = tl.load(x + number, mask=site >= 0, other=0)
        kernel = own.to(tl.int64)[:, None] * inner_size + inner[None, :]
        mask = live[:, :, None] & in_columns[None, None, :]
        matrix = tl.load(weight + kernel[:, :, None] * out_channels + features[:, None, :], mask=mask, other=0)
        total = added(total, seen, matrix, WIDE, COUNT, ROWS, INNER, COLUMNS)
    total = tl.reshape(total, (COUNT, ROWS, COLUMNS))
    position = tl.load(position_table + place, mask=in_rows, other=0)
    kept = in_rows[:, :, None] & in_columns[None, None, :]
    if BIAS == "position":
        number = position[:, :, None] * out_channels + features[:, None, :]
        total += tl.load(bias + number, mask=kept, other=0).to(WIDE)
    if BIAS == "channel":
        here = (block < products)[:, None] & in_columns[None, :]
        total += tl.load(bias + features, mask=here, other=0).to(WIDE)[:, None, :]
    target = (sample[None, :] * positions + position)[:, :, None] * out_channels + features[:, None, :]
    tl.store(y + target, total.to(y.dtype.element_ty), mask=kept)


@triton.jit
def input_gradient(
    dy,
    weight,
    dx,
    position_table,
    kernel_table,
    output_table,
    weight_table,
    batch,
    sites,
    positions,
    readers,
    blocks,
    outputs,
    in_channels,
    out_channels,
    group_channels,
    width,
    products,
    row_tiles,
    column_tiles,
    WIDE: tl.constexpr,
    COUNT: tl.constexpr,
    ROWS: tl.constexpr,
    INNER: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """``(n, readers * outputs) @ (readers * outputs, width)`` of one site and block of input channels."""
    place, row, column = numbers(row_tiles, column_tiles, COUNT, ROWS, COLUMNS)
    site, block = place // blocks, place % blocks
    in_rows, in_columns = (place < products)[:, None] & (row < batch)[None, :], column < width
    sample = row.to(tl.int64)
    inner_size = readers * outputs
    total = tl.full((ROWS, COLUMNS) if COUNT == 1 else (COUNT, ROWS, COLUMNS), 0, WIDE)
    for start in range(0, inner_size, INNER):
        inner = start + tl.arange(0, INNER)
        given = (place < products)[:, None] & (inner < inner_size)[None, :]
        reader = site[:, None] * readers + (inner // outputs)[None, :]
        entry = block[:, None] * outputs + (inner % outputs)[None, :]
        position = tl.load(position_table + reader, mask=given, other=-1)
        feature = tl.load(output_table + entry, mask=given, other=-1)
        live = (position >= 0) & (feature >= 0)
        kernel = tl.load(kernel_table + reader, mask=live, other=0).to(tl.int64)
        channel = tl.load(weight_table + entry, mask=live, other=0)
        number = (sample[None, :, None] * positions + position[:, None, :]) * out_channels + feature[:, None, :]
        cotangent = tl.load(dy + number, mask=in_rows[:, :, None] & live[:, None, :], other=0)
        number = (kernel * group_channels + channel)[:, :, None] + column[None, None, :]
        mask = live[:, :, None] & in_columns[None, None, :]
        matrix = tl.load(weight + number * out_channels + feature[:, :, None], mask=mask, other=0)
        total = added(total, cotangent, matrix, WIDE, COUNT, ROWS, INNER, COLUMNS)
    total = tl.reshape(total, (COUNT, ROWS, COLUMNS))
    target = (sample[None, :] * sites + site[:, None]) * in_channels + block[:, None] * width
    kept = in_rows[:, :, None] & in_columns[None, None, :]
    tl.store(dx + target[:, :, None] + column[None, None, :], total.to(dx.dtype.element_ty), mask=kept)


@triton.jit
def weight_gradient(
    x,
    dy,
    dw,
    site_table,
    position_table,
    channel_table,
    batch,
    sites,
    positions,
    tied,
    taps,
    groups,
    in_channels,
    out_channels,
    group_channels,
    width,
    products,
    row_tiles,
    column_tiles,
    WIDE: tl.constexpr,
    COUNT: tl.constexpr,
    ROWS: tl.constexpr,
    INNER: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """``(k*cg, tied * n) @ (tied * n, co/g)`` of one own position and group."""
    block, row, column = numbers(row_tiles, column_tiles, COUNT, ROWS, COLUMNS)
    own, group = block // groups, block % groups
    rows = taps * group_channels
    in_rows, in_columns = (block < products)[:, None] & (row < rows)[None, :], column < width
    tap, channel = row // group_channels, row % group_channels
    source = tl.load(channel_table + group[:, None] * group_channels + channel[None, :], mask=in_rows, other=0)
    features = group[:, None] * width + column[None, :]
    total = tl.full((ROWS, COLUMNS) if COUNT == 1 else (COUNT, ROWS, COLUMNS), 0, WIDE)
    for start in range(0, tied * batch, INNER):
        inner = start + tl.arange(0, INNER)
        live = (block < products)[:, None] & (inner < tied * batch)[None, :]
        place, sample = own[:, None] * tied + (inner // batch)[None, :], (inner % batch).to(tl.int64)
        both = in_rows[:, :, None] & live[:, None, :]
        site = tl.load(site_table + place[:, None, :] * taps + tap[None, :, None], mask=both, other=-1)
        number = (sample[None, None, :] * sites + site) * in_channels + source[:, :, None]
        seen = tl.load(x + number, mask=site >= 0, other=0)
        position = tl.load(position_table + place, mask=live, other=0)
        number = (sample[None, :] * positions + position)[:, :, None] * out_channels + features[:, None, :]
        cotangent = tl.load(dy + number, mask=live[:, :, None] & in_columns[None, None, :], other=0)
        total = added(total, seen, cotangent, WIDE, COUNT, ROWS, INNER, COLUMNS)
    total = tl.reshape(total, (COUNT, ROWS, COLUMNS))
    kernel = own.to(tl.int64)[:, None] * rows + row[None, :]
    target = kernel[:, :, None] * out_channels + features[:, None, :]
    kept = in_rows[:, :, None] & in_columns[None, None, :]
    tl.store(dw + target, total.to(dw.dtype.element_ty), mask=kept)
