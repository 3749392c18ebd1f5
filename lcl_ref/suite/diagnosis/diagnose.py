"""Naming what is wrong with a layer: behaviours, then known deviations, then what experiments show.

A deviation is named only where it reproduces every answer that was observed. Where none does, nothing is guessed: the
experiments of `lcl_ref.suite.diagnosis.probes` say what is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from lcl_ref.suite.adapter import Adapter
from lcl_ref.suite.diagnosis.deviations import Deviation, find
from lcl_ref.suite.diagnosis.hypothesis_search import Explanation, find_explanations
from lcl_ref.suite.diagnosis.locate.located import Located, errors_located
from lcl_ref.suite.diagnosis.narrowed import Narrowed, narrowed
from lcl_ref.suite.diagnosis.of_values import apart
from lcl_ref.suite.diagnosis.probes import Prober, behaviours, findings
from lcl_ref.suite.diagnosis.reproducer import Invocation, reproducer, shows
from lcl_ref.suite.diagnosis.stages import observe, stages
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.answers import Key
from lcl_ref.suite.judge.evaluate import Evaluator
from lcl_ref.suite.judge.observation import Observation
from lcl_ref.suite.judge.outcome import Cell
from lcl_ref.suite.run.questions import Questions

NO_FUNCTION = ("behaviour/nondeterministic", "behaviour/stale-weights")
"""Behaviours that make answers depend on more than the operands: nothing else can be concluded from them."""

PROBED = 2
"""How many of the smallest wrong cases, of different ranks, are experimented with."""

Kind = Literal["deviation", "behaviour", "values", "check", "location", "experiment", "form"]


@dataclass(frozen=True)
class Finding:
    """One thing known about a wrong layer.

    Parameters
    ----------
    kind : str
        ``deviation`` (reproduces every answer), ``behaviour``, ``values`` (depends on the numbers of the operands),
        ``check`` (memory orders and state), ``location`` (which results are wrong with which settings), ``experiment``,
        or ``form`` (shape, dtype, errors).
    text : str
        The finding in one sentence.
    deviations : tuple of str
        Ids of the catalogue, for the first two kinds; the name of the mistake, or the id of a check.
    ops : tuple of str
        Operations concerned.
    explained : int
        Wrong answers reproduced.
    fix, known_in : str
        What to change, and which implementations do the same.
    same : tuple of str
        Other explanations that the cases cannot tell apart.
    program : str
        A program that shows it, or empty.
    """

    kind: Kind
    text: str
    deviations: tuple[str, ...] = ()
    ops: tuple[str, ...] = ()
    explained: int = 0
    fix: str = ""
    known_in: str = ""
    same: tuple[str, ...] = ()
    program: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """What is known about one backend.

    Parameters
    ----------
    backend : str
        Its name.
    line : str
        The outcome in one line.
    counts : dict of str to int
        Cells by verdict.
    findings : tuple of Finding
        What was found; empty where there is nothing to diagnose.
    """

    backend: str
    line: str
    counts: dict[str, int]
    findings: tuple[Finding, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Return the diagnosis as JSON-ready values."""
        return asdict(self)


def diagnose(
    adapter: Adapter,
    store: Store,
    cases: Sequence[str],
    how: Invocation | None = None,
    known: Mapping[Key, Observation] = MappingProxyType({}),
    seed: int = 0,
) -> Diagnosis:
    """Observe a layer in this process and name what is wrong with it.

    Parameters
    ----------
    adapter : Adapter
        The layer.
    store : Store
        Golden data.
    cases : sequence of str
        Case ids it is asked about.
    how : Invocation, optional
        How a program calls the layer; without it no reproducers are written.
    known : mapping of (case, op, dtype) to Observation
        What it answered before, which it is not asked again.
    seed : int
        Where fresh layers are drawn from.
    """
    seen: list[Observation] = []
    evaluator, questions = Evaluator(adapter, keep=seen.append, twice=False), Questions(store)

    def ask(key: Key) -> Observation:
        if key in known:
            return known[key]
        case, op, dtype = key
        evaluator.judge_task(Cell(adapter.declaration.name, case, op, dtype), questions.task(case, dtype))
        return seen.pop()

    failed = [key for key, one in known.items() if one.verdict in ("fail", "error")]
    return judge(adapter, observe(stages(adapter, store, cases, failed, seed), ask), how)


def judge(
    adapter: Adapter, seen: Sequence[Observation], how: Invocation | None = None, *, experiment: bool = True
) -> Diagnosis:
    """Name what is wrong with a layer whose answers were observed; without `experiment` it is asked nothing more."""
    counts = {
        verdict: sum(one.verdict == verdict for one in seen) for verdict in ("pass", "fail", "error", "unsupported")
    }
    name = adapter.declaration.name
    idle = _nothing_to_diagnose(seen, counts)
    found = list(_behaviours(adapter, seen)) if experiment and not idle.startswith("cannot") else []
    if idle and not found:
        return Diagnosis(name, idle, counts)
    values, seen = apart(seen)
    found += [Finding("values", *facts) for facts in values]
    programs = _Programs(adapter, seen, how)
    no_function = any(one.deviations[0] in NO_FUNCTION for one in found)
    explained = [] if no_function else find_explanations(seen)
    found += [_deviation(one, programs) for one in explained]
    left = {one.op for one in seen if one.verdict == "fail"} - {op for one in explained for op in one.ops}
    plain = not any(one.kind == "behaviour" for one in found)
    parts = narrowed(seen, left) if left and plain else []
    found += [_narrowed(one, programs) for one in parts]
    unexplained = [one.where for one in parts if one.explanation is None]
    if unexplained and experiment:
        found += _experiments(adapter, seen, unexplained)
    if counts["error"] and not (explained and not counts["fail"]):
        found.append(_errors(seen))
    line = _line(found, counts)
    return Diagnosis(name, line, counts, tuple(found))


def _nothing_to_diagnose(seen: Sequence[Observation], counts: dict[str, int]) -> str:
    """Return the one line for a layer that is right, supports nothing, or never answers; an empty one for others."""
    if counts["fail"] or (counts["error"] and counts["pass"]):
        return ""
    if counts["error"]:
        return f"cannot diagnose: {_errors(seen).text}"
    if counts["pass"]:
        unsupported = f" ({counts['unsupported']} declared unsupported)" if counts["unsupported"] else ""
        return f"nothing to diagnose: all {counts['pass']} answers are right{unsupported}"
    if counts["unsupported"]:
        return f"nothing to diagnose: all {counts['unsupported']} cells are declared unsupported ({seen[0].message})"
    return "nothing to diagnose: no cell of real numbers was asked (what is wrong with complex ones stands beside each)"


def _errors(seen: Sequence[Observation]) -> Finding:
    errors = [one for one in seen if one.verdict == "error"]
    first = min(errors, key=lambda one: one.weight)
    where = f"{len(errors)} of {len(seen)} cells end in an error, {errors_located(seen)}"
    text = f"{where}; {first.case} {first.op}: {first.message}"
    return Finding("form", text, ops=tuple(dict.fromkeys(one.op for one in errors)))


def _line(found: Sequence[Finding], counts: dict[str, int]) -> str:
    named = [one.text for one in found if one.kind in ("deviation", "behaviour", "values")]
    unknown = [one.text for one in found if one.kind == "location"]
    if unknown:
        count = "" if named else f"the {counts['fail']} wrong answers"
        named.append(f"no known deviation explains {count or 'this'}: {'; '.join(unknown)}")
    return "; ".join(named) if named else f"no answer is wrong, but {found[0].text}"


def _behaviours(adapter: Adapter, seen: Sequence[Observation]) -> list[Finding]:
    """Experiment with the smallest case that is answered at all."""
    answered = [
        one for one in seen if one.verdict in ("pass", "fail") and one.op == "forward" and one.answers["y"].size
    ]
    for one in sorted(answered, key=lambda one: (not one.task.exact, one.weight))[:1]:
        try:
            ids = list(behaviours(Prober(adapter, one.task.spec, one.task.dtype)))
        except Exception:  # noqa: BLE001 -- the layer under test may raise anything; errors are reported elsewhere
            return []
        return [_behaviour(find(identity)) for identity in ids]
    return []


def _behaviour(deviation: Deviation) -> Finding:
    return Finding("behaviour", deviation.sentence, (deviation.id,), ("forward",), 0, deviation.fix, deviation.known_in)


def _deviation(explanation: Explanation, programs: _Programs) -> Finding:
    parts = explanation.deviations
    cells = f"{explanation.explained} of {explanation.explained} wrong answers ({', '.join(explanation.ops)})"
    return Finding(
        kind="deviation",
        text=f"explains {cells}: " + ", and ".join(part.sentence for part in parts),
        deviations=tuple(part.id for part in parts),
        ops=explanation.ops,
        explained=explanation.explained,
        fix="; ".join(part.fix for part in parts),
        known_in="; ".join(part.known_in for part in parts if part.known_in),
        same=tuple(" + ".join(part.id for part in one) for one in explanation.same),
        program=programs.smallest(explanation.ops),
    )


def _narrowed(one: Narrowed, programs: _Programs) -> Finding:
    """Return what is known of one place where answers are wrong: the deviation that explains them, or the place."""
    ops = one.where.ops
    if one.explanation is None:
        return Finding("location", one.where.text, ops=ops, program=programs.smallest(ops))
    found = _deviation(replace(one.explanation, ops=ops), programs)
    return replace(found, text=f"{found.text}, {one.text}" if one.text else found.text)


def _experiments(adapter: Adapter, seen: Sequence[Observation], where: Sequence[Located]) -> list[Finding]:
    """Return what probing shows on the smallest wrong cases of each rank; each sentence once."""
    concerned = [one for one in seen if one.verdict == "fail" and one.task.exact]
    found: dict[str, Finding] = {}
    for op in dict.fromkeys(op for one in where for op in one.ops):
        wrong = sorted((one for one in concerned if one.op == op), key=lambda one: -one.weight)
        smallest = {one.task.spec.rank: one for one in wrong}  # the last of each rank
        for one in sorted(smallest.values(), key=lambda one: one.weight)[:PROBED]:
            for text in findings(Prober(adapter, one.task.spec, one.task.dtype), op):
                found.setdefault(text, Finding("experiment", f"{one.case}: {text}", ops=(op,)))
    return list(found.values())


class _Programs:
    """Writes the program for the smallest wrong case whose failure it really shows."""

    def __init__(self, adapter: Adapter, seen: Sequence[Observation], how: Invocation | None) -> None:
        self.adapter, self.how = adapter, how
        self.wrong = sorted((one for one in seen if one.verdict == "fail"), key=lambda one: one.weight)

    def smallest(self, ops: tuple[str, ...]) -> str:
        """Return a program for one of these operations, or nothing where none shows the failure."""
        if self.how is None:
            return ""
        for one in self.wrong:
            spec, batch, dtype = one.task.spec, len(one.task.operands["x"]), one.task.dtype
            if one.op in ops and shows(self.adapter, spec, batch, one.op, dtype):
                return reproducer(self.how, spec, batch, one.op, dtype)
        return ""
