"""Mistakes located: results that are wrong under one condition, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lcl_ref.suite.diagnosis.locate.conditions import Condition, condition_of
from lcl_ref.suite.diagnosis.locate.manner import manner
from lcl_ref.suite.diagnosis.locate.parts import Part
from lcl_ref.suite.judge.observation import Observation

SHOWN_CASES = 3
"""Cases that a sentence names where no setting tells them from others."""

NAMES = {"xt": "what transpose gives"}


@dataclass(frozen=True)
class Located:
    """Results that are wrong under one condition.

    Parameters
    ----------
    labels : tuple of str
        Which results, as in `Part`.
    only : bool
        Whether other results were asked for and are right, or wrong elsewhere.
    condition : Condition
        Where they are wrong.
    manner : str
        In what way, or nothing.
    meeting : tuple of Part
        The answers that meet the condition, right ones too.
    """

    labels: tuple[str, ...]
    only: bool
    condition: Condition
    manner: str
    meeting: tuple[Part, ...]

    @property
    def ops(self) -> tuple[str, ...]:
        """Operations concerned."""
        return tuple(dict.fromkeys(part.seen.op for part in self.meeting if part.wrong))

    @property
    def text(self) -> str:
        """The sentence."""
        *most, last = (NAMES.get(label, label) for label in self.labels)
        subject = f"{', '.join(most)} and {last}" if most else last
        verb = "are wrong" if most else "is wrong"
        found = self.condition
        counts = f"{found.wrong} of {found.wrong + found.right} such answers"
        if not found.words and not found.exact:
            cases = list(dict.fromkeys(part.seen.case for part in self.meeting if part.wrong))
            more = f" and {len(cases) - SHOWN_CASES} more" if len(cases) > SHOWN_CASES else ""
            counts = f"{', '.join(cases[:SHOWN_CASES])}{more}: {counts}"
        others = f"; {found.others} others are right" if found.others else ""
        how = f"; {self.manner}" if self.manner else ""
        only = "only " if self.only and "y" not in self.labels else ""
        return f"{only}{subject} {verb}, {found.text} ({counts}{others}){how}"


def located(parts: Sequence[Part], asked: int) -> list[Located]:
    """Return where results are wrong: together, if one condition tells exactly where, else each by itself.

    `asked` is how many kinds of results were asked for, those of operations that are explained or right included.
    """
    wrong = tuple(dict.fromkeys(part.label for part in parts if part.wrong))
    if not wrong:
        return []
    together = _located(parts, wrong, len(wrong) < asked)
    if together.condition.exact or len(wrong) == 1:
        return [together]
    return _merged([located_alone(parts, label) for label in wrong], parts, asked)


def located_alone(parts: Sequence[Part], label: str) -> Located:
    """Return where one result is wrong."""
    return _located(parts, (label,), only=True)


def errors_located(observations: Sequence[Observation]) -> str:
    """Return where there is an error in the place of an answer, as words behind a verb."""
    parts = [Part(seen, seen.op) for seen in observations if seen.verdict in ("pass", "error")]
    return condition_of(parts)[0].text


def _located(parts: Sequence[Part], labels: tuple[str, ...], only: bool) -> Located:
    concerned = [part for part in parts if part.label in labels]
    condition, meeting = condition_of(concerned)
    chosen = tuple(part for part, meets in zip(concerned, meeting, strict=True) if meets)
    return Located(labels, only, condition, manner([part for part in chosen if part.wrong]), chosen)


def _merged(alone: Sequence[Located], parts: Sequence[Part], asked: int) -> list[Located]:
    """Return them with results of the same condition together."""
    labels: dict[tuple[str, ...], tuple[str, ...]] = {}
    for one in alone:
        labels[one.condition.words] = (*labels.get(one.condition.words, ()), *one.labels)
    return [_located(parts, group, only=len(group) < asked) for group in labels.values()]
