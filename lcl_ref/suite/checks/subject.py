"""The layer under a check: calls whose answers must be right, and a control that tells what the check alone shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray

from lcl_ref.suite.adapter import Adapter, Prepared, Unsupported
from lcl_ref.suite.checks.variants import Asked
from lcl_ref.suite.judge.ask import Arrays, Changed, answers_of
from lcl_ref.suite.judge.bounds import accumulation_of
from lcl_ref.suite.judge.compare import Malformed, Mismatch, check, same_numbers
from lcl_ref.suite.judge.outcome import NotRun
from lcl_ref.suite.judge.tasks import Task

Array = NDArray[Any]


class Deviates(Changed):
    """A layer that is right when it is asked plainly, and not under a check."""


class PlainlyWrong(Exception):  # noqa: N818 -- not for a check to judge
    """The layer does the same when it is asked plainly: its cells say so, and no check can tell more."""


def one_by_one(
    about: Callable[[Subject, Asked, str], None],
) -> Callable[[Subject, Sequence[Asked], str], None]:
    """Return a check of several layers from one of a single layer."""

    def about_all(subject: Subject, layers: Sequence[Asked], op: str) -> None:
        subject.each([[layer] for layer in layers], lambda group: about(subject, group[0], op))

    return about_all


class Subject:
    """An adapter, asked on behalf of one check in one dtype, one operation after the other.

    Parameters
    ----------
    adapter : Adapter
        The layer.
    seed : int
        For what a check draws.
    at_load : mapping
        Parts of the state of the process as they were when the layer had just been loaded, by name, where nothing but
        the layer changes them.

    Attributes
    ----------
    error_ratio : float
        Largest error of a right answer, as a share of its limit.
    """

    def __init__(self, adapter: Adapter, seed: int, at_load: Mapping[str, Any]) -> None:
        self.adapter, self.seed, self.at_load, self.error_ratio = adapter, seed, at_load, 0.0
        self._alive: list[Arrays] = []
        self._held: dict[tuple[object, ...], tuple[Arrays, Prepared]] = {}

    def each(self, groups: Sequence[Sequence[Asked]], about: Callable[[Sequence[Asked]], None]) -> None:
        """Ask about each group of layers; those that are plainly wrong or not offered do not count.

        Raises
        ------
        Unsupported, NotRun
            If no group counts.
        """
        asked, reason = 0, Exception()
        for group in groups:
            try:
                with _named(group):
                    about(group)
                asked += 1
            except (Unsupported, PlainlyWrong) as error:
                reason = error
        if asked or not groups:
            return
        if isinstance(reason, Unsupported):
            raise reason
        raise NotRun(f"plain questions are answered the same way already: {reason}")

    def given(self, task: Task, laid: Callable[[Array], Array] | None = None) -> Arrays:
        """Return copies of the operands at addresses that no other question of this check has."""
        lay = laid or (lambda array: array.copy("C"))
        operands = {name: lay(operand) for name, operand in task.operands.items()}
        self._alive.append(operands)
        return operands

    def prepared(self, task: Task, given: Mapping[str, Array]) -> Prepared:
        """Return a new layer that holds weight and bias of `given`."""
        return self.adapter.prepare(task.spec, given["weight"], given.get("bias"), task.dtype)

    def held(
        self, task: Task, lay: Callable[[Array], Array] | None = None, tag: object = ""
    ) -> tuple[Arrays, Prepared]:
        """Return operands and the layer that was prepared with them, once for each `tag`."""
        key = id(task), lay, tag
        if key not in self._held:
            given = self.given(task, lay)
            self._held[key] = given, self.prepared(task, given)
        return self._held[key]

    def right(
        self,
        task: Task,
        op: str,
        given: Mapping[str, Array],
        when: str,
        layer: Prepared | None = None,
        lay: Callable[[Array], Array] | None = None,
    ) -> Arrays:
        """Ask a layer for one operation, by default the one that `held` returns; return the right answer.

        Raises
        ------
        Deviates
            If it is wrong; `when` says under which circumstances.
        PlainlyWrong
            If a plain question is answered the same way, or raises too.
        """
        answers = self.answers(task, op, given, layer or self.held(task, lay)[1])
        self.require(task, op, answers, when)
        return answers

    def answers(self, task: Task, op: str, given: Mapping[str, Array], layer: Prepared) -> Arrays:
        """Return what a layer answers, right or wrong.

        Raises
        ------
        PlainlyWrong
            If it raises, and does so when it is asked plainly.
        """
        try:
            return answers_of(layer, op, given)
        except Unsupported:
            raise
        except Exception as error:
            if self.plain(task, op) is None:
                raise PlainlyWrong(f"{type(error).__name__}: {error}") from error
            raise

    def require(self, task: Task, op: str, answers: Mapping[str, Array], when: str) -> None:
        """Compare answers with the right ones; raises as `right` does."""
        declared = self.adapter.declaration.capabilities.accumulation
        try:
            for expected in task.expected(op, accumulation_of(task.dtype, op, declared)):
                agreement = check(expected, answers[expected.result])
                self.error_ratio = max(self.error_ratio, agreement.error_ratio)
        except (Mismatch, Malformed) as wrong:
            plain = self.plain(task, op)
            if plain is None or all(_same(answers[name], plain[name]) for name in answers):
                raise PlainlyWrong(str(wrong)) from wrong
            raise Deviates(f"{when}: {wrong}") from wrong

    def plain(self, task: Task, op: str) -> Arrays | None:
        """Return what a new layer answers to new copies of the operands; None where it raises."""
        given = self.given(task)
        try:
            return answers_of(self.prepared(task, given), op, given)
        except Unsupported:
            raise
        except Exception:  # noqa: BLE001 -- the layer under test may raise anything
            return None


def _same(one: Array, other: Array) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and same_numbers(one, other)


@contextmanager
def _named(group: Sequence[Asked]) -> Iterator[None]:
    """Put the cases before what is found with them."""
    try:
        yield
    except Deviates as finding:
        cases = " and ".join(dict.fromkeys(layer.case for layer in group))
        raise Deviates(f"{cases}: {finding}") from finding
