"""The checks: what each asks, and the clause of SPEC.md it tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Literal

from lcl_ref.suite.adapter import OPS
from lcl_ref.suite.checks import descriptions, state, surroundings, transforms
from lcl_ref.suite.checks.memory import in_order, native, takes_tensors
from lcl_ref.suite.checks.orders import ORDERS, WORDS
from lcl_ref.suite.checks.subject import Subject
from lcl_ref.suite.checks.threads import two_threads
from lcl_ref.suite.checks.variants import Asked

Ask = Callable[[Subject, Sequence[Asked], str], None]


ALL_RANKS = 4
"""How many layers have one of each rank."""

ASKED_ABOUT = {"transposed": ALL_RANKS + 1, "one-sample": 2}
"""Memory order -> how many layers, where that is another number: the fifth has one input channel, which lies first and
last alike, and of one sample every framework compiles anew."""


@dataclass(frozen=True)
class Check:
    """A question that is asked with several layers of the golden data.

    Parameters
    ----------
    id : str
        ``memory/<order>``, ``state/<name>`` or the like; never renamed, never reused.
    sentence : str
        What a layer does that fails it; ends with no stop.
    clause : str
        Clause of SPEC.md.
    ask : callable
        Asks layers for one operation; raises what it finds.
    ops : tuple of str
        Operations it is asked about.
    may_decline : bool
        Whether a layer may declare that it does not offer this.
    most : int
        How many layers it asks about.
    programs : {"too", "only", "never"}
        Whether it is asked of programs.
    thorough : bool
        Whether tiers below full ask it of recommended routes only, among registered backends.
    requires : callable, optional
        Raises `Unsupported` for a layer that has nothing to be asked about, before it is asked.
    """

    id: str
    sentence: str
    clause: str
    ask: Ask
    ops: tuple[str, ...] = OPS
    may_decline: bool = False
    most: int = 2
    programs: Literal["too", "only", "never"] = "too"
    thorough: bool = False
    requires: Callable[[Subject, Sequence[Asked]], object] | None = None

    def refusal(self, declines: Mapping[str, str]) -> str | None:
        """Return why a layer declines this check, or None."""
        found = (reason for glob, reason in declines.items() if fnmatchcase(self.id, glob))
        return next(found, None) if self.may_decline else None


def _memory(order: str) -> Check:
    sentence = f"wrong where operands are {WORDS[order]}"
    most = ASKED_ABOUT.get(order, ALL_RANKS)
    return Check(f"memory/{order}", sentence, "8.5", in_order(order), may_decline=True, most=most)


def _global(name: str) -> Check:
    sentence = f"changes {surroundings.SURROUNDINGS[name].what}"
    return Check(f"state/global-{name}", sentence, "8.8", surroundings.left_alone(name), may_decline=True)


_STATE = (
    Check(
        "state/stale-input", "answers for the numbers an array held before", "8.4", state.stale_input, most=ALL_RANKS
    ),
    Check("state/stale-weight", "keeps what it made of weights since changed", "8.4", state.stale_weight),
    Check("state/after-batch", "wrong after a batch of another length", "8.4", state.after_batch),
    Check("state/after-spec", "wrong after a layer of another spec", "8.4", state.after_spec, most=ALL_RANKS),
    Check("state/after-weights", "wrong after a layer of the same spec with other weights", "8.4", state.after_weights),
    Check("state/saved-input", "differentiates at the x it saw last", "8.4", state.saved_input, ("vjp",)),
    Check("state/call-order", "wrong after other calls", "8.4", state.call_order, most=ALL_RANKS),
    Check("state/shared-buffer", "gives every answer in one buffer", "8.6", state.shared_buffer),
    Check("state/aliases-operand", "gives an answer that shares memory with an operand", "8.6", state.aliases_operand),
    Check("state/aliases-answer", "gives answers that share memory", "8.6", state.aliases_answer),
    Check("state/writes-operands", "writes into its operands", "8.4", state.writes_operands),
    Check("state/threads", "wrong when two threads call at once", "8.7", two_threads, may_decline=True),
)

_NATIVE = Check(
    "memory/native",
    "wrong where operands are tensors that are views",
    "8.5",
    native,
    most=ALL_RANKS,
    requires=takes_tensors,
)

_DESCRIPTIONS = (
    Check(
        "describe/layers",
        "takes what users write for another layer",
        "2.2",
        descriptions.resolved,
        ("forward",),
        may_decline=True,
        programs="only",
        requires=descriptions.describer,
    ),
    Check(
        "describe/refusals",
        "does not refuse layers that cannot exist",
        "10.1",
        descriptions.refused,
        ("forward",),
        may_decline=True,
        programs="only",
        requires=descriptions.describer,
    ),
)

_transform = partial(Check, may_decline=True, programs="never", thorough=True)

_TRANSFORMS = (
    _transform(
        "transform/jvp",
        "wrong in forward mode",
        "9.7",
        transforms.forward_mode,
        ("forward",),
        requires=transforms.has("jvp"),
    ),
    _transform(
        "transform/second-derivative",
        "wrong in second derivatives",
        "9.8",
        transforms.second_derivative,
        ("vjp",),
        requires=transforms.has("second_derivative"),
    ),
    _transform(
        "transform/vmap",
        "wrong where it is mapped over a stack",
        "8.10",
        transforms.mapped,
        ("forward", "vjp"),
        requires=transforms.has("mapped"),
    ),
    _transform(
        "transform/compiled",
        "wrong where it is compiled, or where it is not",
        "8.10",
        transforms.compiled,
        ("forward", "vjp"),
        most=1,
        requires=transforms.has("compiled"),
    ),
    _transform(
        "transform/exported",
        "wrong where it is exported and run again",
        "8.10",
        transforms.exported,
        ("forward",),
        most=1,
        requires=transforms.has("exported"),
    ),
)

_ALL = (
    *_DESCRIPTIONS,
    *map(_global, surroundings.SURROUNDINGS),
    *_STATE,
    *map(_memory, ORDERS),
    _NATIVE,
    *_TRANSFORMS,
)

CHECKS: dict[str, Check] = {check.id: check for check in _ALL}
"""Every check by its id, in the order they are asked."""
