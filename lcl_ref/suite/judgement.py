"""One call from a layer to its verdict, for programs that judge many layers.

::

    from lcl_ref.testing import judge

    found = judge(layer, tier="smoke", in_process=True)
    found.conforms, found.diagnosis, found.not_seen
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import numpy as np

from lcl_ref.errors import AdapterError, LclError, Violation
from lcl_ref.outside import scratch
from lcl_ref.suite.adapter import OPS, Adapter
from lcl_ref.suite.cases.tiers import TIERS
from lcl_ref.suite.checks.catalogue import CHECKS
from lcl_ref.suite.diagnosis.annotate import accounted, name_mistakes
from lcl_ref.suite.diagnosis.diagnose import Diagnosis, diagnose
from lcl_ref.suite.diagnosis.failed_checks import with_checks
from lcl_ref.suite.formats import ALL_DTYPES
from lcl_ref.suite.golden import fixtures
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.observation import Observation
from lcl_ref.suite.judge.outcome import Cell, Outcome
from lcl_ref.suite.report import document
from lcl_ref.suite.report.looked_at import looked_at
from lcl_ref.suite.run.drawn_cases import Fresh, new_seed, supported_draws
from lcl_ref.suite.run.in_process import InProcess
from lcl_ref.suite.run.loading import BackendRef, Kind, load, resolve
from lcl_ref.suite.run.matrix import MatrixRun
from lcl_ref.suite.run.planning import fresh_cases, planned
from lcl_ref.suite.run.questions import KeptQuestions
from lcl_ref.suite.run.settings import BackendReport, Settings, require_present
from lcl_ref.suite.run.user_layer import UserAdapter, as_adapter

FORMAT = "lcl-judgement/1"
SECONDS = 60.0
"""How long one cell may take in a process of its own; in this one there is no limit."""


@dataclass(frozen=True)
class Judgement:
    """What the suite says of a layer.

    Parameters
    ----------
    name : str
        The layer's name.
    outcomes : tuple of Outcome
        One for each cell: the fields of ``lcl-report/1``.
    seed : int
        Where fresh layers and the orders of calls were drawn from; given again, it asks the same.
    """

    name: str
    outcomes: tuple[Outcome, ...]
    seed: int
    _diagnose: Callable[[], Diagnosis | None] = field(repr=False, compare=False)
    _store: Store = field(repr=False, compare=False)

    @property
    def counts(self) -> dict[str, int]:
        """Cells by state."""
        return document.summary(self.outcomes)

    @property
    def conforms(self) -> bool:
        """Whether something was asked and nothing is wrong: exit status 0 of ``lcl run``."""
        return document.exit_status(self.outcomes) == 0

    @cached_property
    def diagnosis(self) -> Diagnosis | None:
        """What is wrong, by name or place; None where nothing is. It is made when it is first read."""
        return self._diagnose()

    @cached_property
    def not_seen(self) -> tuple[str, ...]:
        """Known deviations that the layer may have though nothing it was asked shows them; none for a broad one."""
        report = BackendReport(self.name, "present")
        return looked_at([report], self.outcomes, self._store)[self.name].not_seen

    def to_json(self) -> str:
        """Return all of it as a JSON document."""
        diagnosis = self.diagnosis and self.diagnosis.to_dict()
        facts = {"format": FORMAT, "name": self.name, "seed": self.seed, "conforms": self.conforms}
        facts |= {"summary": self.counts, "diagnosis": diagnosis, "not_seen": self.not_seen}
        return json.dumps(facts | {"outcomes": [one.to_dict() for one in self.outcomes]}, allow_nan=False)


def judge(
    layer: Any,
    *,
    tier: str = "core",
    cases: Sequence[str] | None = None,
    ops: Sequence[str] | None = None,
    dtypes: Sequence[str] | None = None,
    seed: int | None = None,
    in_process: bool = False,
) -> Judgement:
    """Judge a layer as ``lcl run`` does, without a table.

    Parameters
    ----------
    layer : str or object
        A word as for ``lcl run -b``; or a module, class, object or function as in ``examples/my_layer.py``, which is
        always asked in this process.
    tier : {"core", "full", "smoke"}
        Which cases.
    cases : sequence of str, optional
        Only cases and checks whose id matches one of these globs.
    ops, dtypes : sequence of str, optional
        Only these operations and dtypes.
    seed : int, optional
        For fresh layers and what checks draw; without it another every time.
    in_process : bool
        Ask the layer that a word names in this process too: much faster, but a layer that crashes or hangs takes the
        program with it, and one that means to can change its verdict (SPEC clause 12.10).

    Returns
    -------
    Judgement
        The verdicts, and what explains wrong ones.

    Raises
    ------
    LclError
        If the layer is none, or a word or glob names nothing.

    Examples
    --------
    >>> import lcl_ref
    >>> from lcl_ref.testing import judge
    >>> def forward(spec, x, weight, bias):
    ...     return lcl_ref.forward(spec, x, weight, None)
    >>> found = judge(forward, tier="smoke", seed=1)
    >>> found.conforms
    False
    >>> found.diagnosis.findings[0].deviations
    ('bias/dropped',)
    """
    asked = _Asked(
        tier, tuple(cases or ()), tuple(ops or ()), tuple(dtypes or ()), new_seed() if seed is None else seed
    )
    if isinstance(layer, str):
        refs = resolve([layer])
        if len(refs) != 1:
            names = ", ".join(ref.name for ref in refs)
            raise LclError(Violation("judge/layer", "layer", f"{layer!r}, which names {names}", "one layer"))
        return _here(refs[0], load(refs[0]), asked) if in_process else _in_worker(refs[0], asked)
    adapter = as_adapter(getattr(layer, "__name__", type(layer).__name__), layer)
    kind: Kind = "module" if isinstance(adapter, UserAdapter) else "registered"
    return _here(BackendRef(adapter.declaration.name, kind, ""), adapter, asked)


@dataclass(frozen=True)
class _Asked:
    """What is asked, by the words of the caller."""

    tier: str
    cases: tuple[str, ...]
    ops: tuple[str, ...]
    dtypes: tuple[str, ...]
    seed: int

    def __post_init__(self) -> None:
        for name, given, known in (
            ("tier", (self.tier,), TIERS),
            ("ops", self.ops, OPS),
            ("dtypes", self.dtypes, ALL_DTYPES),
        ):
            for one in given:
                if one not in known:
                    raise LclError(Violation(f"judge/{name}", name, repr(one), f"one of {', '.join(known)}"))

    def plan(self, ref: BackendRef, store: Store) -> list[Cell]:
        """Return the cells of the golden data and the checks."""
        return planned([ref], store, self.cases, self.dtypes, self.ops, self.tier)[ref]

    @property
    def fresh(self) -> Fresh | None:
        """Which fresh layers are drawn."""
        return fresh_cases(self.seed, None, self.tier, self.cases, self.dtypes, self.ops)


@cache
def _store() -> Store:
    """Return the golden data, its checksums compared once in a process."""
    return fixtures.verify(fixtures.default_root())


@cache
def _questions() -> KeptQuestions:
    return KeptQuestions(_store())


def _here(ref: BackendRef, adapter: Adapter, asked: _Asked) -> Judgement:
    """Ask a layer in this process."""
    store = _store()
    seen: list[Observation] = []
    here = InProcess(adapter, store, _questions(), asked.seed, seen.append)
    cells = asked.plan(ref, store)
    settings = Settings(store.root, 1, SECONDS, seed=asked.seed, fresh=asked.fresh)
    if (fresh := settings.fresh_of(ref)) is not None:
        drawn = supported_draws(adapter.declaration.capabilities, fresh)
        cells = [*cells, *(Cell(ref.name, *question) for question in drawn)]
    with np.errstate(all="ignore"):  # the numbers are a layer's
        found = [replace(here.judge(cell), backend=ref.name) for cell in cells]
    known = {(one.case, one.op, one.task.dtype): one for one in seen if one.task.dtype != "complex64"}

    def explain() -> Diagnosis | None:
        return _explained(ref, adapter, found, known, asked)

    return Judgement(ref.name, tuple(found), asked.seed, explain, store)


def _explained(
    ref: BackendRef,
    adapter: Adapter,
    outcomes: Sequence[Outcome],
    known: dict[tuple[str, str, str], Observation],
    asked: _Asked,
) -> Diagnosis | None:
    wrong = [one for one in outcomes if one.state in ("fail", "error")]
    if not wrong:
        return None
    diagnosis = Diagnosis(ref.name, "", {})
    if any(one.case not in CHECKS for one in wrong):
        cases = list(dict.fromkeys(one.case for one in outcomes if one.case not in CHECKS))
        with np.errstate(all="ignore"):
            diagnosis = diagnose(adapter, _store(), cases, known=known, seed=asked.seed)
    return accounted(with_checks(diagnosis, [one for one in outcomes if one.case in CHECKS]), outcomes)


def _in_worker(ref: BackendRef, asked: _Asked) -> Judgement:
    """Ask a layer in a process of its own, and diagnose it there."""
    store = _store()
    plan = {ref: asked.plan(ref, store)}
    with scratch.folder() as folder:
        settings = Settings(store.root, os.cpu_count() or 1, SECONDS, answers=folder, seed=asked.seed)
        settings = replace(settings, fresh=asked.fresh)
        with MatrixRun(plan, settings) as matrix:
            events = list(matrix)
        for event in events:
            if isinstance(event, BackendReport) and event.availability == "refused":
                require_present(event)
        outcomes, diagnoses = name_mistakes(plan, [one for one in events if isinstance(one, Outcome)], settings)
    if not outcomes:
        raise AdapterError(Violation("judge/nothing", ref.name, "no outcome", "a layer that is asked something"))
    return Judgement(ref.name, tuple(outcomes), asked.seed, lambda: diagnoses.get(ref.name), store)
