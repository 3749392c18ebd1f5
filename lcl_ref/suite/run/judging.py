"""Judging in the host what the process of a layer answered, so that nothing done in that process can turn a verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from lcl_ref.suite.adapter import OPERATIONS
from lcl_ref.suite.checks.catalogue import CHECKS
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.answers import AnswerFile
from lcl_ref.suite.judge.evaluate import judged, observed
from lcl_ref.suite.judge.observation import Observation
from lcl_ref.suite.judge.outcome import Cell, Outcome, outcome
from lcl_ref.suite.judge.tasks import Task
from lcl_ref.suite.judge.transport import unpacked
from lcl_ref.suite.run.questions import Questions


class Judge:
    """Judges the replies of one backend.

    Parameters
    ----------
    store : Store
        Golden data.
    answers : str or None
        File in which the answers are kept for a diagnosis.
    declared : mapping of str to str
        Accumulation formats that the backend declares.
    """

    def __init__(self, store: Store, answers: str | None, declared: Mapping[str, str]) -> None:
        self._questions, self._declared = Questions(store), declared
        self._file = AnswerFile(Path(answers)) if answers else None

    def outcome(self, cell: Cell, message: Mapping[str, Any]) -> Outcome:
        """Return the outcome of a cell by what the worker sent; of a check that is the outcome itself."""
        if cell.case in CHECKS:
            return checked(cell, message)
        keep = None if self._file is None else self._file.add
        return outcome_of(cell, self._questions.task(cell.case, cell.dtype), message, self._declared, keep)


def checked(cell: Cell, message: Mapping[str, Any]) -> Outcome:
    """Return the outcome of a check as it was judged in the process of the layer (SPEC clause 12.10)."""
    names = [field.name for field in fields(Outcome)]
    if message["event"] != "outcome" or not message.keys() >= set(names):
        return outcome(cell, "error", message="the process of the layer sent no outcome", error_kind="malformed")
    return Outcome(**({name: message[name] for name in names} | asdict(cell)))


def outcome_of(
    cell: Cell,
    task: Task,
    message: Mapping[str, Any],
    declared: Mapping[str, str],
    keep: Callable[[Observation], object] | None = None,
) -> Outcome:
    """Return the outcome of a cell by a message with the reply; what is no answer is an error of the layer's.

    `keep` is called with the answers where a diagnosis can use them.
    """
    try:
        reply = unpacked(message, message["data"], {*OPERATIONS[cell.op].results} & task.golden.keys())
    except Exception as error:  # noqa: BLE001 -- what is in it may be anything
        text = f"the process of the layer sent no answer: {type(error).__name__}: {error}"
        return outcome(cell, "error", message=text, error_kind="malformed")
    with np.errstate(all="ignore"):  # the numbers are a layer's
        found = judged(cell, task, reply, declared)
        real = all(array.dtype.kind != "c" for array in reply.answers.values())
        if keep is not None and real:  # a diagnosis is of real numbers
            keep(observed(found, task, reply, declared))
    return found
