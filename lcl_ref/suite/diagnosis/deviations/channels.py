"""The wrong channels: groups, the connection table, tails (SPEC clause 4)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lcl_ref.suite.diagnosis.deviations.deviation import Deviation, Edit
from lcl_ref.suite.diagnosis.deviations.edits import move, planned_move
from lcl_ref.suite.diagnosis.deviations.hooks import Array
from lcl_ref.suite.diagnosis.deviations.layer_plan import Plan

GROUPS = "more than one group"


def _reading(plan: Plan, rows: list[int]) -> Plan:
    """Let output channel f read the input channels of output channel ``rows[f]``."""
    return replace(plan, channels=tuple(plan.channels[row] for row in rows))


def _first_block(plan: Plan) -> Plan:
    return replace(plan, channels=(tuple(range(len(plan.channels[0]))),) * plan.out_channels)


def _table_ignored(plan: Plan) -> Plan:
    """Read the first channels, as a layer that never heard of the table; groups are no table."""
    return _first_block(plan) if plan.tabled else plan


def _interleaved_input(plan: Plan) -> Plan:
    width = plan.in_channels // plan.groups
    place = [channel % width * plan.groups + channel // width for channel in range(plan.in_channels)]
    return replace(plan, channels=tuple(tuple(place[channel] for channel in row) for row in plan.channels))


def _interleaved_output(plan: Plan) -> Plan:
    width = plan.out_channels // plan.groups
    return _reading(plan, [output % plan.groups * width for output in range(plan.out_channels)])


def _reversed_blocks(plan: Plan) -> Plan:
    width = plan.out_channels // plan.groups
    return _reading(plan, [(plan.groups - 1 - output // width) * width for output in range(plan.out_channels)])


def _with_groups(edit: Edit) -> Edit:
    """Return the edit for layers with groups; others stay as they are."""
    return lambda plan: edit(plan) if plan.groups > 1 else plan


def _shuffled(plan: Plan, y: Array) -> Array:
    width = plan.out_channels // plan.groups
    return y.reshape(*y.shape[:-1], plan.groups, width).swapaxes(-1, -2).reshape(y.shape)


def _sorted_table(plan: Plan) -> Plan:
    return replace(plan, channels=tuple(tuple(sorted(row)) for row in plan.channels))


def _without(array: Array, start: int) -> Array:
    """Return `array` with the channels from `start` on set to zero."""
    return np.where(np.arange(array.shape[-1]) < start, array, np.zeros((), array.dtype))


DEVIATIONS: tuple[Deviation, ...] = (
    Deviation(
        id="groups/ignored",
        sentence="every group reads the first Cg input channels",
        clause="4.1",
        fix="output channel f reads input channels g(f)*Cg + c, with g(f) = f // (out_channels / groups)",
        needs=GROUPS,
        edit=_with_groups(_first_block),
    ),
    Deviation(
        id="groups/interleaved-input",
        sentence="input channels are dealt to the groups in turn: group g reads g, g + groups, g + 2*groups, ...",
        clause="4.1",
        fix="input channels of a group are contiguous",
        needs=f"{GROUPS}, of more than one input channel",
        known_in="a channel-local formula published with c*G + g where G is called the number of groups",
        edit=_with_groups(_interleaved_input),
    ),
    Deviation(
        id="groups/interleaved-output",
        sentence="output channels are dealt to the groups in turn: channel f belongs to group f % groups",
        clause="4.1",
        fix="output channels of a group are contiguous: g(f) = f // (out_channels / groups)",
        needs=f"{GROUPS}, of more than one output channel",
        edit=_with_groups(_interleaved_output),
    ),
    Deviation(
        id="groups/reversed",
        sentence="the blocks are taken in reverse order: the first outputs read the last input channels",
        clause="4.1",
        fix="the first block of outputs reads the first block of inputs",
        needs=GROUPS,
        edit=_with_groups(_reversed_blocks),
    ),
    Deviation(
        id="groups/outputs-shuffled",
        sentence="the outputs of the groups come out interleaved: a channel shuffle",
        clause="4.1",
        fix="concatenate the groups' outputs; do not stack them on a last axis",
        needs=f"{GROUPS}, of more than one output channel",
        edit=planned_move("on_y", _shuffled),
    ),
    Deviation(
        id="table/ignored",
        sentence="the connection table is ignored: every output channel reads the first Cg input channels",
        clause="4.3",
        fix="weight channel c of output channel f reads input channel table[f][c]",
        needs="a connection table",
        edit=_table_ignored,
    ),
    Deviation(
        id="table/sorted",
        sentence="the rows of the connection table are sorted before use",
        clause="4.3",
        fix="weight channel c of output channel f reads input channel table[f][c], in the order given",
        needs="a connection table with an unsorted row",
        edit=_sorted_table,
    ),
    Deviation(
        id="channels/input-reversed",
        sentence="input channels are read in reverse order (BGR for RGB)",
        clause="3.1",
        fix="channel 0 is the first one in memory",
        needs="more than one input channel",
        known_in="OpenCV image readers feed BGR",
        edit=move("on_x", lambda x: x[..., ::-1]),
    ),
    Deviation(
        id="channels/last-input-skipped",
        sentence="the last input channel is not read",
        clause="4.1",
        fix="sum over all Cg channels",
        needs="a layer that reads the last input channel",
        edit=move("on_x", lambda x: _without(x, x.shape[-1] - 1)),
    ),
    Deviation(
        id="channels/vector-tail",
        sentence="input channels beyond the last multiple of four are not read",
        clause="4.1",
        fix="handle the tail of a vectorised loop",
        needs="an input channel count that is no multiple of four",
        known_in="kernels written for channel counts that are multiples of 4 (cuda-convnet refuses others)",
        edit=move("on_x", lambda x: _without(x, x.shape[-1] // 4 * 4)),
    ),
    Deviation(
        id="channels/last-output-skipped",
        sentence="the last output channel stays zero",
        clause="3.1",
        fix="compute all output channels",
        needs="nothing",
        edit=move("on_y", lambda y: _without(y, y.shape[-1] - 1)),
    ),
)
