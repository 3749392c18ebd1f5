"""The matrix as a test: ``pytest --pyargs lcl_ref.suite``."""

from __future__ import annotations

import pytest

from lcl_ref.suite.judge.outcome import Cell
from lcl_ref.suite.plugin import Outcomes, judge, judge_fresh
from lcl_ref.suite.run.loading import BackendRef


def test_conforms(lcl_cell: Cell, lcl_outcomes: Outcomes, request: pytest.FixtureRequest) -> None:
    """The layer gives the golden results, bit for bit where they are exact and within the proved limit elsewhere."""
    required = request.config.getoption("--lcl-require")
    judge(lcl_outcomes(lcl_cell), lcl_outcomes.names_of(lcl_cell), required)


def test_fresh_cases(lcl_fresh_backend: BackendRef, request: pytest.FixtureRequest) -> None:
    """The layer gives the reference's results for layers drawn at random (``--lcl-fresh N``), bit for bit."""
    judge_fresh(lcl_fresh_backend, request.config)
