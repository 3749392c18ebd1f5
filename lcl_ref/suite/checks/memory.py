"""Checks of memory orders (SPEC clause 8.5): operands laid out as arrays of callers are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lcl_ref.suite.adapter import Unsupported
from lcl_ref.suite.checks.orders import ORDERS, WORDS
from lcl_ref.suite.checks.subject import Deviates, PlainlyWrong, Subject, one_by_one
from lcl_ref.suite.checks.variants import DATA, Asked
from lcl_ref.suite.judge.tasks import Task
from lcl_ref.suite.native_views import EXPANDED, Views


def in_order(order: str) -> Callable[[Subject, Sequence[Asked], str], None]:
    """Return the check of one memory order."""
    lay, words = ORDERS[order], WORDS[order]

    def about(subject: Subject, asked: Asked, op: str) -> None:
        for task in _tasks(asked, order):
            of_task(subject, task, op)

    def of_task(subject: Subject, task: Task, op: str) -> None:
        given = subject.given(task, lay)
        try:
            subject.right(task, op, given, f"operands {words}", lay=lay)
        except ValueError as error:
            if order == "negative-stride" and "negative" in str(error):
                raise Unsupported(f"refuses arrays with negative strides: {error}") from error
            raise
        except Deviates as finding:
            alone = [name for name in given if _fails(subject, task, op, name, order)]
            cause = f"; {', '.join(alone)} so laid out is enough" if alone else ""
            raise Deviates(f"{finding}{cause}") from finding

    return one_by_one(about)


def _tasks(asked: Asked, order: str) -> list[Task]:
    """Return what is asked in an order; another order of axes, at rank 0, also of one sample, which is often a row."""
    if order == "transposed" and asked.task.spec.rank == 0:
        return [asked.task, asked.single]
    variants = {"broadcast": "repeated", "one-sample": "single"}
    return [getattr(asked, variants.get(order, "task"))]


def _fails(subject: Subject, task: Task, op: str, name: str, order: str) -> bool:
    """Return whether one operand in this order is enough to make the answer wrong."""
    given = subject.given(task)
    given[name] = subject.given(task, ORDERS[order])[name]
    try:
        subject.right(task, op, given, "", subject.prepared(task, given))
    except (Deviates, PlainlyWrong):
        return True
    return False


def takes_tensors(subject: Subject, layers: Sequence[Asked]) -> None:
    """Refuse a layer that takes arrays only.

    Raises
    ------
    Unsupported
        If it is one.
    """
    if not _views(subject, layers[0]):
        raise Unsupported("takes arrays only")


def _views(subject: Subject, asked: Asked) -> Views:
    views: Views = getattr(subject.held(asked.task)[1], "views", {})
    return views


@one_by_one
def native(subject: Subject, asked: Asked, op: str) -> None:
    """Check x and dy as tensors of the layer's framework that are views; weight and bias stay arrays."""
    for words, view in _views(subject, asked).items():
        task = asked.repeated if words == EXPANDED else asked.task
        given = subject.given(task)
        layer = subject.prepared(task, given)
        tensors = {name: view(operand) if name in DATA else operand for name, operand in given.items()}
        subject.right(task, op, tensors, f"operands are {words}", layer)
