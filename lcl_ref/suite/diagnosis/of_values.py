"""Wrong answers whose numbers alone name the mistake: set apart, since no deviation of a layer explains them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from lcl_ref.suite.judge.bounds import accumulation_of
from lcl_ref.suite.judge.compare import same_numbers
from lcl_ref.suite.judge.observation import Observation
from lcl_ref.suite.judge.value_mistakes import SENTENCES, mistake_of

Facts = tuple[str, tuple[str, ...], tuple[str, ...], int]
"""The finding in a sentence, the name of the mistake, operations concerned, and how many answers show it."""


def apart(seen: Sequence[Observation]) -> tuple[list[Facts], list[Observation]]:
    """Return what mistakes of values were found, and the observations that show none.

    They explain all wrong answers or none: what else is wrong shows where numbers are plain, and these only look alike.
    """
    found = defaultdict[str, list[Observation]](list)
    for one in seen:
        if one.verdict == "fail":
            found[_name_of(one)].append(one)
    if "" in found:
        return [], list(seen)
    return [_facts(name, shown) for name, shown in found.items()], [one for one in seen if one.verdict != "fail"]


def _facts(name: str, shown: Sequence[Observation]) -> Facts:
    ops = tuple(dict.fromkeys(one.op for one in shown))
    text = f"explains {len(shown)} wrong answers ({', '.join(ops)}): {SENTENCES[name]}"
    return text, (name,), ops, len(shown)


def _name_of(one: Observation) -> str:
    """Return the name of the first wrong result that has one."""
    for expected in one.task.expected(one.op, accumulation_of(one.task.dtype, one.op, {})):
        got = one.answers[expected.result]
        if not same_numbers(got, expected.golden):
            name = mistake_of(one.task.spec, one.task.operands, expected, got)
            if name:
                return name
    return ""
