"""The job of a measurement, inside a worker process: answers to every question under every circumstance."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.suite.adapter import Adapter
from lcl_ref.suite.judge.ask import Arrays, Reply, answers_of, finding
from lcl_ref.suite.judge.transport import packed
from lcl_ref.suite.reproducibility.questions import OPS, VARIANTS, Question, questions
from lcl_ref.suite.run.loading import Loaded, Send

Array = NDArray[Any]


def serve(loaded: Loaded, send: Send, dtype: str, threads: int, variants: Sequence[str]) -> None:
    """Send an ``answer`` for each question, operation and variant, on so many cores where the system can say so."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    for question in questions(dtype):
        layer: list[Any] = []
        for op in OPS:
            for variant in variants:
                facts, arrays = packed(answers_to(loaded.adapter, question, op, variant, dtype, layer))
                send("answer", arrays, case=question.case, op=op, variant=variant, **facts)


def answers_to(adapter: Adapter, question: Question, op: str, variant: str, dtype: str, layer: list[Any]) -> Reply:
    """Ask one layer, kept in `layer` once it is prepared; nothing it raises escapes."""
    reason = adapter.declaration.capabilities.refusal(question.spec, dtype, op)
    if reason is not None:
        return Reply(0.0, {}, {}, {"state": "unsupported", "message": reason}, "")

    def ask(operands: Mapping[str, Array]) -> Arrays:
        return {name: array.copy() for name, array in answers_of(layer[0], op, operands).items()}

    given = {name: operand.copy() for name, operand in question.operands.items()}
    try:
        if not layer:
            layer.append(adapter.prepare(question.spec, given["weight"].copy(), given.get("bias"), dtype))
        with np.errstate(all="ignore"):
            return Reply(0.0, VARIANTS[variant](ask, given), {}, {}, "")
    except Exception as error:  # noqa: BLE001 -- the layer under test may raise anything
        return Reply(0.0, {}, {}, finding(error), "")
