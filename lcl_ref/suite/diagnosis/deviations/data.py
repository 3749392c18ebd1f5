"""Data in the wrong order: layout, batch, positions left out (SPEC clauses 3.1, 3.4, 1.2)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from lcl_ref.suite.diagnosis.deviations.deviation import Deviation, Edit
from lcl_ref.suite.diagnosis.deviations.edits import linear, move, named, per_axis, planned_move, position_axes
from lcl_ref.suite.diagnosis.deviations.hooks import Array, Move
from lcl_ref.suite.diagnosis.deviations.layer_plan import Plan, Refused


def taken_for_channels_first(array: Array) -> Array:
    """Return the channels-last array one gets by calling its buffer channels-first and transposing that."""
    return np.moveaxis(array.reshape(array.shape[0], array.shape[-1], *array.shape[1:-1]), 1, -1)


def taken_for_channels_last(array: Array) -> Array:
    """Return the array one gets by transposing to channels-first and calling that buffer channels-last."""
    return np.ascontiguousarray(np.moveaxis(array, -1, 1)).reshape(array.shape)


def _axes_reversed(array: Array) -> Array:
    """Return the array one gets by reading the spatial axes of its buffer in reverse order."""
    spatial = range(1, array.ndim - 1)
    foreign = array.reshape(array.shape[0], *array.shape[-2:0:-1], array.shape[-1])
    return foreign.transpose(0, *reversed(spatial), array.ndim - 1)


def _layout(tensor: str, word: str) -> tuple[Deviation, ...]:
    """Return the ways of reshaping `word` where a transpose is needed."""
    field = f"on_{tensor}"
    needs = "more than one channel and more than one site"
    return (
        Deviation(
            id=f"{word}/reshaped-from-channels-first",
            sentence=f"the {word} buffer is taken to be channels-first: reshaped to (n, c, ...) instead of transposed",
            clause="3.1",
            fix="move the channel axis; reshape does not reorder memory",
            needs=needs,
            known_in="the usual slip between NHWC and NCHW",
            edit=move(field, taken_for_channels_first),
        ),
        Deviation(
            id=f"{word}/reshaped-to-channels-last",
            sentence=f"the {word} is channels-first inside and reshaped to channels-last instead of transposed",
            clause="3.1",
            fix="move the channel axis; reshape does not reorder memory",
            needs=needs,
            known_in="the usual slip between NCHW and NHWC",
            edit=move(field, taken_for_channels_last),
        ),
        Deviation(
            id=f"{word}/axes-transposed",
            sentence=f"the spatial axes of the {word} are taken in reverse order",
            clause="3.1",
            fix="the last spatial axis is the fastest",
            needs="two spatial axes longer than 1",
            edit=move(field, _axes_reversed),
        ),
    )


def _running_sum(y: Array) -> Array:
    return np.cumsum(y, axis=0)


def _running_sum_adjoint(dy: Array) -> Array:
    return np.cumsum(dy[::-1], axis=0)[::-1]


def _first_sample(x: Array) -> Array:
    return np.broadcast_to(x[:1], x.shape) if len(x) else x


def _blanked(array: Array, index: tuple[slice | int, ...]) -> Array:
    """Return a copy of `array` with zeros at `index`."""
    blank = array.copy()
    blank[index] = 0
    return blank


def _skipped(which: str, at: int) -> list[Deviation]:
    def one(only: str) -> Deviation:
        def skip(plan: Plan, y: Array) -> Array:
            chosen = position_axes(plan, only)
            if not chosen:
                return y
            index = [at if axis in chosen else slice(None) for axis in range(plan.rank)]
            return _blanked(y, (slice(None), *index))

        place = f"position along axis {only}" if only else "position"
        return Deviation(
            id=named(f"positions/{which}-skipped", only),
            sentence=f"the {which} {place} stays zero",
            clause="1.2",
            fix="loop over all positions: 0 ... output_size - 1",
            needs="a spatial axis",
            edit=planned_move("on_y", skip),
        )

    return list(per_axis(one))


def _border_skipped(plan: Plan, y: Array) -> Array:
    inner = (slice(None), *[slice(1, -1)] * plan.rank)
    kept = np.zeros_like(y)
    kept[inner] = y[inner]
    return kept if plan.rank else y


def _tiles(plan: Plan) -> bool:
    """Return whether windows lie side by side along one axis and cover the input: blocks of a vector."""
    return plan.rank == 1 and all(
        axis.stride == axis.kernel and axis.dilation == 1 and axis.lo == 0 and axis.size == axis.positions * axis.kernel
        for axis in plan.axes
    )


def _dealt_to_blocks(plan: Plan, x: Array) -> Array:
    """``(n, i, ci) -> (n, i, ci)``: block s gets elements s, s + blocks, ... of each sample."""
    width = plan.kernel[0] * plan.in_channels
    return x.reshape(len(x), width, plan.positions[0]).swapaxes(1, 2).reshape(x.shape)


def _blocks_interleaved(plan: Plan) -> Plan:
    if not _tiles(plan):
        return plan
    dealt = plan.adding("on_x", Move(partial(_dealt_to_blocks, plan)))
    return dealt.adding("on_y", Move(taken_for_channels_last))


def _returned(how: Callable[[Array], Array]) -> Edit:
    """Return the edit that changes the form of the output."""
    return lambda plan: plan.finishing(how)


def _refuse_empty(array: Array) -> Array:
    if not len(array):
        raise Refused("a batch of 0")
    return array


def _filters_of_all_samples(plan: Plan) -> Plan:
    """Let filter ``(n*co + f) // batch`` stand where f should, as where ``(co, n)`` filters are read as ``(n, co)``."""

    def chosen(sums: Array) -> Array:
        batch, width = len(sums), plan.out_channels
        filters = np.arange(batch * width).reshape(batch, *(1,) * plan.rank, width) // max(batch, 1)
        return np.take_along_axis(sums, np.broadcast_to(filters, sums.shape), axis=-1)

    return plan if plan.groups > 1 or plan.tabled else plan.adding("on_sums", Move(chosen))


def _rows_as_channels(plan: Plan) -> Plan:
    """Let a matrix ``(n, ci)`` be one sample ``(channels, sites)``, which runs for as many rows as channels."""
    if plan.rank:
        return plan

    def returned(y: Array) -> Array:
        if len(y) != plan.in_channels:
            raise Refused(f"{len(y)} rows where there are {plan.in_channels} channels")
        return y.T

    exchanged = Move(lambda x: x.T if len(x) == plan.in_channels else x)
    return plan.adding("on_x", exchanged).finishing(returned)


DEVIATIONS: tuple[Deviation, ...] = (
    *_layout("x", "input"),
    *_layout("y", "output"),
    Deviation(
        id="output/channels-first",
        sentence="the output is returned channels-first, (n, co, o*)",
        clause="8.2",
        fix="move the channel axis to the end",
        needs="a spatial axis",
        known_in="every PyTorch layer",
        edit=_returned(lambda y: np.moveaxis(y, -1, 1) if y.ndim > 2 else y),
        parts=("y",),
    ),
    Deviation(
        id="output/flattened",
        sentence="the output is returned as one row per sample",
        clause="8.2",
        fix="keep the position axes",
        needs="a spatial axis",
        known_in="EIR's LCL, and forum layers that end in view(batch, -1)",
        edit=_returned(lambda y: y.reshape(len(y), math.prod(y.shape[1:])) if y.ndim > 2 else y),
        parts=("y",),
    ),
    Deviation(
        id="blocks/interleaved",
        sentence="a view as (n, k*ci, blocks) deals the input to the blocks in turn, and outputs come out so too",
        clause="1.7",
        fix="reshape to (n, blocks, k*ci), and move blocks behind the channels by a transpose",
        needs="windows that tile one axis, more than one of them",
        known_in="view(B, C // S, -1) before a shared 1x1 convolution, as a forum thread posts it",
        edit=_blocks_interleaved,
    ),
    Deviation(
        id="output/squeezed",
        sentence="axes of length 1 are dropped from the output",
        clause="3.1",
        fix="squeeze(-1) the one axis that was added, not every axis of length 1",
        needs="a batch of one, one position along an axis, or one output channel",
        known_in="a published grouped module that ends in squeeze()",
        edit=_returned(np.squeeze),
        parts=("y",),
    ),
    Deviation(
        id="batch/empty-refused",
        sentence="a batch of 0 is refused",
        clause="3.4",
        fix="write reshapes that do not have to guess a size from no elements: reshape(n, ...), not reshape(-1, ...)",
        needs="an empty batch",
        known_in="reshape(0, -1), which NumPy and PyTorch call ambiguous",
        edit=_returned(_refuse_empty),
        parts=("y", "dx"),
    ),
    Deviation(
        id="batch/taken-for-channels",
        sentence="rows (n, c) are taken for one sample of n channels and c sites",
        clause="3.4",
        fix="add an axis of one site behind the channels before the convolution, and drop that one again",
        needs="a matrix of as many rows as channels; others do not run",
        known_in="torch.nn.Conv1d fed with (n, c): its input without a batch is (c, length)",
        edit=_rows_as_channels,
        parts=("y",),
    ),
    Deviation(
        id="batch/filters-interleaved",
        sentence="the batch is in the groups of a convolution with filters ordered (co, n): samples meet wrong ones",
        clause="3.4",
        fix="repeat the filters as a whole for every sample: (n, co, ...), not (co, n, ...)",
        needs="a batch of more than one, more than one output channel, no groups",
        known_in="an article's LocallyConnectedConv2d, once its shapes are repaired: weight.unsqueeze(1).expand(-1, n)",
        edit=_filters_of_all_samples,
    ),
    Deviation(
        id="batch/reversed",
        sentence="samples come out in reverse order",
        clause="3.4",
        fix="sample n of the output belongs to sample n of the input",
        needs="a batch of more than one",
        edit=move("on_x", lambda x: x[::-1]),
    ),
    Deviation(
        id="batch/first-sample",
        sentence="every sample gets the result of the first one",
        clause="3.4",
        fix="compute each sample from its own input",
        needs="a batch of more than one",
        edit=move("on_x", _first_sample),
    ),
    Deviation(
        id="batch/leak",
        sentence="samples leak into the ones after them: the accumulator is not cleared between samples",
        clause="3.4",
        fix="clear the accumulator for every sample",
        needs="a batch of more than one",
        edit=linear("on_y", _running_sum, _running_sum_adjoint),
    ),
    *_skipped("first", 0),
    *_skipped("last", -1),
    Deviation(
        id="positions/border-skipped",
        sentence="border positions stay zero: only the interior is computed",
        clause="1.2",
        fix="loop over all positions: 0 ... output_size - 1",
        needs="a spatial axis",
        edit=planned_move("on_y", _border_skipped),
    ),
)
