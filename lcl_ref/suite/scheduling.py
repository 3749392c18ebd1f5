"""How pytest-xdist deals out the matrix: a group of backends to one process, which asks each of them once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]


class LoadWorkerGroups(LoadFileScheduling):  # type: ignore[misc]
    """``--dist loadfile``, with cells of the matrix by group instead.

    Parameters
    ----------
    config : pytest.Config
        Of the run.
    log : xdist.remote.Producer
        For what is done.
    groups : mapping of str to int
        Number of the group of each backend, by name.
    """

    def __init__(self, config: pytest.Config, log: Any, groups: Mapping[str, int]) -> None:
        super().__init__(config, log)
        self._groups = groups

    def _split_scope(self, nodeid: str) -> str:
        """Return what a test is dealt out with."""
        file, _, test = nodeid.partition("::")
        cell = test.partition("[")[2]
        numbers = (number for name, number in self._groups.items() if cell.startswith(f"{name}-"))
        number = next(numbers, None)
        return file if number is None else f"group {number}"
