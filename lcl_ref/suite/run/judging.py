"""Judging in the host what the process of a layer answered, so that nothing done in that process can turn a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.answers import AnswerFile
from lcl_ref.suite.judge.evaluate import judged, observed
from lcl_ref.suite.judge.outcome import Cell, Outcome, outcome
from lcl_ref.suite.judge.tasks import RESULTS_OF
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
        """Return the outcome of a cell by what the worker sent; what is no answer is an error of the layer's."""
        task = self._questions.task(cell.case, cell.dtype)
        try:
            reply = unpacked(message, message["data"], {*RESULTS_OF[cell.op]} & task.golden.keys())
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            text = f"the process of the layer sent no answer: {type(error).__name__}: {error}"
            return outcome(cell, "error", message=text, error_kind="malformed")
        with np.errstate(all="ignore"):  # the numbers are a layer's
            found = judged(cell, task, reply, self._declared)
            kinds = {array.dtype.kind for array in reply.answers.values()}
            if self._file is not None and "c" not in kinds:  # a diagnosis is of real numbers
                self._file.add(observed(found, task, reply, self._declared))
        return found
