"""Whether a program keeps to lcl-exec/1, right or wrong as its numbers may be: one finding per rule."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lcl_ref.core.spec import Spec
from lcl_ref.suite.adapter import OPERATIONS, Capabilities, Unsupported
from lcl_ref.suite.exec.adapter import Arrays, Conversation, Limits, ProgramError, forms_of
from lcl_ref.suite.exec.program import STOP_SECONDS, Ending, cut
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.judge.compare import Malformed
from lcl_ref.suite.judge.outcome import Fault

BATCH = 2

SPECS = (
    Spec(input_size=(4, 3), in_channels=2, out_channels=3, kernel_size=(2, 1)),
    Spec(input_size=7, in_channels=2, out_channels=3, kernel_size=3),
    Spec(input_size=6, in_channels=2, out_channels=3, kernel_size=2, stride=2),
    Spec(input_size=(4, 3), in_channels=2, out_channels=3, kernel_size=(2, 1), shared=True, bias="channel"),
    Spec(input_size=(), in_channels=2, out_channels=3, kernel_size=()),
    Spec(input_size=(3, 4, 5), in_channels=2, out_channels=3, kernel_size=(1, 2, 3)),
)
"""Small layers, one of which a program should support."""


@dataclass(frozen=True)
class Finding:
    """Whether one rule is kept, and what was seen."""

    rule: str
    kept: bool
    seen: str


class Checker:
    """Checks one command; iterate over `findings`.

    Parameters
    ----------
    argv : sequence of str
        The command.
    limits : Limits
        Seconds per answer.
    """

    def __init__(self, argv: Sequence[str], limits: Limits) -> None:
        self._argv, self._limits = argv, limits
        self._talk: Conversation
        self._spec: Spec

    def findings(self) -> Iterator[Finding]:
        """Yield one finding per rule; the first that leaves no program to talk to is the last."""
        for rule, check in self._rules():
            try:
                yield Finding(rule, True, check())
            except (Malformed, Unsupported, ProgramError, _Broken) as error:
                yield Finding(rule, False, str(error))
            except Fault as fault:
                yield Finding(rule, False, f"{fault.kind}: {fault}")
                return
        yield self._end("stops when told to, with exit status 0", self._talk.stop())
        yield self._end("ends when its input ends", Conversation(self._argv, self._limits).hang_up())

    def _rules(self) -> Iterator[tuple[str, Callable[[], str]]]:
        yield "starts, and says who it is", self._start
        can = self._capabilities
        yield "supports one of the layers it is tried with", self._choose
        dtypes = list(can.dtypes)
        for op in can.ops:
            for dtype in dtypes:
                yield f"answers {op} in {dtype}", lambda op=op, dtype=dtype: self._answers(op, dtype)  # type: ignore[misc]
        if self._talk.inline_bytes:
            yield "takes operands as a file although it takes them inline", self._by_file
        if can.empty_batch:
            yield "answers a batch of 0", lambda: self._answers(can.ops[0], dtypes[0], batch=0)
        yield "answers the same question with the same bits", lambda: self._again(can.ops[0], dtypes[0])
        yield "answers an unknown command with an error, and goes on", self._unknown

    @property
    def _capabilities(self) -> Capabilities:
        return Capabilities(**self._talk.greeting["capabilities"])

    def _start(self) -> str:
        self._talk = Conversation(self._argv, self._limits)
        greeting = self._talk.greeting
        return f"{greeting['name']} {greeting['version']}, {greeting['language']}"

    def _choose(self) -> str:
        can = self._capabilities
        refusals = [can.refusal(spec, can.dtypes[0], can.ops[0]) for spec in SPECS]
        if None not in refusals:
            raise Fault("malformed", f"it declares all unsupported: {'; '.join(sorted(set(map(str, refusals))))}")
        self._spec = SPECS[refusals.index(None)]
        return self._spec.to_json()

    def _answers(self, op: str, dtype: str, batch: int = BATCH) -> str:
        results = self._ask(op, dtype, batch)
        return ", ".join(f"{name} {array.shape}" for name, array in results.items())

    def _ask(self, op: str, dtype: str, batch: int = BATCH) -> Arrays:
        spec = self._spec
        operation, shapes = OPERATIONS[op], spec.operand_shapes(batch)
        operands = {
            operation.called.get(name, name): np.ones(shapes[name], FORMATS[dtype].dtype)
            for name in operation.operands
            if name in shapes
        }
        return self._talk.run(spec, op, dtype, operands, forms_of(spec, op, dtype, batch))

    def _by_file(self) -> str:
        can, limit = self._capabilities, self._talk.inline_bytes
        self._talk.inline_bytes = 0
        try:
            return self._answers(can.ops[0], can.dtypes[0])
        finally:
            self._talk.inline_bytes = limit

    def _again(self, op: str, dtype: str) -> str:
        first, second = self._ask(op, dtype), self._ask(op, dtype)
        if any(first[name].tobytes() != second[name].tobytes() for name in first):
            raise _Broken("the bits differ")
        return "the bits agree"

    def _unknown(self) -> str:
        answer = self._talk.say({"command": "no-such-command"})
        if "error" not in answer:
            raise _Broken(f"got {json.dumps(answer)[:80]}, expected an error")
        return f"error {answer['error']!r}; {self._answers(self._capabilities.ops[0], self._capabilities.dtypes[0])}"

    def _end(self, rule: str, ending: Ending) -> Finding:
        if ending.leftover:
            return Finding(rule, False, f"stdout holds what no command asked for: {cut(ending.leftover)}")
        if ending.status is None:
            return Finding(rule, False, f"still running after {STOP_SECONDS:g} s, and killed")
        return Finding(rule, ending.status == 0, f"exit status {ending.status}")


class _Broken(Exception):  # noqa: N818 -- a finding
    """A rule that is not kept."""
