"""The suite inside somebody else's test file, in three lines.

::

    from lcl_ref.testing import conformance_tests
    from my_package import MyLayer

    test_conformance = conformance_tests(MyLayer, expected_failures={"*/groups/*-vjp-*": "gradients of groups, bug 12"})

One test per (case, operation, dtype), in the process of pytest; a layer that may crash is better asked in one of its
own, with ``pytest --pyargs lcl_ref.suite --lcl-backend my_package:MyLayer``. ``--lcl-tier``, ``--lcl-case`` and
``--lcl-dtype`` choose among the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lcl_ref.errors import LclError, Violation
from lcl_ref.suite.adapter import OPS, Adapter, Capabilities, Declaration, Prepared
from lcl_ref.suite.checks.catalogue import CHECKS
from lcl_ref.suite.checks.choosing import chosen
from lcl_ref.suite.checks.examiner import Examiner
from lcl_ref.suite.golden import fixtures
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.outcome import Cell, Outcome
from lcl_ref.suite.judge.tasks import cell_exists
from lcl_ref.suite.run.drawn_cases import Fresh, supported_draws
from lcl_ref.suite.run.in_process import InProcess
from lcl_ref.suite.run.loading import load, resolve
from lcl_ref.suite.run.questions import Questions
from lcl_ref.suite.run.supporting import lacks
from lcl_ref.suite.run.user_layer import DEFAULT_DTYPES, as_adapter

__all__ = ["Capabilities", "conformance_tests"]


def conformance_tests(
    layer: Any,
    *,
    name: str = "",
    capabilities: Capabilities | None = None,
    expected_failures: Mapping[str, str] | None = None,
    tier: str = "full",
    cases: Sequence[str] = (),
    seed: int = 0,
    fresh: int = 0,
    data: Path | None = None,
) -> Callable[[Cell], None]:
    """Return a parametrised test function that compares `layer` with the golden data.

    Parameters
    ----------
    layer : object or str
        A module, class, object or function as in ``examples/my_layer.py``, or a word as for ``lcl run -b``.
    name : str
        First part of the test ids; by default the layer's own name.
    capabilities : Capabilities, optional
        What the layer supports; cells beyond it are no tests. Without it, the layer's own declaration or ``supports``.
    expected_failures : mapping of str to str
        Glob over ``<case>-<op>-<dtype>`` -> reason. Strict: one that passes fails its test, and a glob that fits no
        test is an error.
    tier : {"full", "core", "smoke"}
        Which cases, unless ``--lcl-tier`` says otherwise.
    cases : sequence of str
        Only cases whose id matches one of these globs.
    seed : int
        For what checks draw, and fresh cases.
    fresh : int
        How many fresh layers are asked too (SPEC clause 11.9), the same ones for the same `seed`.
    data : Path, optional
        Folder of the golden data; by default the installed one.

    Raises
    ------
    LclError
        If the layer is none, a glob fits nothing, or the golden data is damaged.
    """
    store = fixtures.verify(data or fixtures.default_root())
    adapter = _adapter(layer, name, capabilities)
    ids = chosen("full", cases)
    here = InProcess(adapter, store, Questions(store), seed)
    cells = _cells(adapter, store, [name for name in ids if name not in CHECKS])
    cells += _checks(adapter, here.examiner, [name for name in ids if name in CHECKS])
    cells += _fresh(adapter, Fresh(seed, fresh, fresh, adapter.declaration.capabilities.dtypes, OPS))
    expected = _expected(cells, expected_failures or {})

    @pytest.mark.parametrize("lcl_cell_here", cells, ids=[cell.id for cell in cells])
    def test(lcl_cell_here: Cell) -> None:
        with np.errstate(invalid="ignore"):  # inf and NaN in the operands are legal
            outcome = here.judge(lcl_cell_here)
        judge(outcome, expected.get(lcl_cell_here))

    test.lcl_tier = tier  # type: ignore[attr-defined]
    return test


def judge(outcome: Outcome, reason: str | None) -> None:
    """Turn an outcome into the result of its test; `reason` is why a failure is expected, None where it is not."""
    text = f"{outcome.error_kind or outcome.state}: {outcome.message}"
    if outcome.state == "pass":
        if reason is not None:
            pytest.fail(f"it passes, so the expected failure is stale: {reason}", pytrace=False)
    elif outcome.state in ("unsupported", "not_run"):
        pytest.skip(text)
    elif reason is not None:
        pytest.xfail(f"{reason} ({text})")
    else:
        pytest.fail(text, pytrace=False)


@dataclass
class _Declared:
    """An adapter with capabilities declared for it."""

    adapter: Adapter
    declaration: Declaration

    def prepare(self, spec: Any, weight: Any, bias: Any, dtype: str) -> Prepared:
        """Prepare the adapter's layer."""
        return self.adapter.prepare(spec, weight, bias, dtype)


def _adapter(layer: Any, name: str, capabilities: Capabilities | None) -> _Declared:
    if isinstance(layer, str):
        (ref,) = resolve([layer])
        adapter = load(ref)
    else:
        adapter = as_adapter(name or getattr(layer, "__name__", type(layer).__name__), layer)
    declaration = replace(adapter.declaration, name=name or adapter.declaration.name)
    return _Declared(adapter, replace(declaration, capabilities=capabilities or declaration.capabilities))


def _cells(adapter: _Declared, store: Store, ids: Sequence[str]) -> list[Cell]:
    """Return the cells the layer declares it supports, the operations of one case and dtype together."""
    declaration = adapter.declaration
    return [
        Cell(declaration.name, case_id, op, dtype)
        for case_id in ids
        for entry in [store.entries[case_id]]
        for dtype in declaration.capabilities.dtypes
        for op in OPS
        if not lacks(adapter.adapter, op)
        and cell_exists(entry, op, dtype)
        and declaration.capabilities.refusal(store.spec(case_id), dtype, op, entry["tags"]) is None
    ]


def _checks(adapter: _Declared, examiner: Examiner, ids: Sequence[str]) -> list[Cell]:
    """Return the checks the layer can be asked, in one dtype."""
    can = adapter.declaration.capabilities
    dtype = next((name for name in DEFAULT_DTYPES if name in can.dtypes), can.dtypes[0])
    cells = [Cell(adapter.declaration.name, name, op, dtype) for name in ids for op in CHECKS[name].ops]
    return [cell for cell in cells if not lacks(adapter.adapter, cell.op) and examiner.offers(cell)]


def _fresh(adapter: _Declared, fresh: Fresh) -> list[Cell]:
    """Return the cells of fresh layers that the layer supports."""
    name, capabilities = adapter.declaration.name, adapter.declaration.capabilities
    drawn = supported_draws(capabilities, fresh) if fresh.count else []
    return [Cell(name, *question) for question in drawn if not lacks(adapter.adapter, question[1])]


def _expected(cells: Sequence[Cell], failures: Mapping[str, str]) -> dict[Cell, str]:
    """Return the reason of each cell that is expected to fail."""
    reasons: dict[Cell, str] = {}
    for glob, reason in failures.items():
        fitting = [cell for cell in cells if fnmatchcase(f"{cell.case}-{cell.op}-{cell.dtype}", glob)]
        if not fitting:
            expected = "a glob over <case>-<op>-<dtype> of what the layer supports"
            raise LclError(Violation("expected_failures/unknown", "expected_failures", repr(glob), expected))
        reasons |= dict.fromkeys(fitting, reason)
    return reasons
