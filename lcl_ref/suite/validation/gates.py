"""What the cases and checks promise besides the kill matrix, counted: each gate is whole, or names what it lacks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from lcl_ref.core.spec import Spec
from lcl_ref.suite.adapter import OPS
from lcl_ref.suite.cases.case import Case
from lcl_ref.suite.cases.catalogue import CASES
from lcl_ref.suite.cases.loader import REAL, WHOLE
from lcl_ref.suite.checks.catalogue import CHECKS
from lcl_ref.suite.checks.examiner import Examiner
from lcl_ref.suite.checks.orders import ORDERS
from lcl_ref.suite.formats import DTYPES
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.outcome import Cell
from lcl_ref.suite.judge.tasks import cell_exists
from lcl_ref.suite.run.user_layer import UserAdapter
from lcl_ref.suite.validation import coverage, families
from lcl_ref.suite.validation.history import recall
from lcl_ref.suite.validation.misreading import MISREADING, Layer

ASKED_IN = "float32"


@dataclass(frozen=True)
class Gate:
    """A promise, counted.

    Parameters
    ----------
    name : str
        One word.
    counts : str
        What is counted, and who holds that a wrong layer fails there.
    held, of : int
        How many of how many.
    missing : tuple of str
        The others.
    """

    name: str
    counts: str
    held: int
    of: int
    missing: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the gate as JSON-ready values."""
        return asdict(self)


def gates(
    store: Store,
    inside: families.Seen,
    triples: Mapping[coverage.Together, list[str]],
    history: Sequence[recall.Seen],
) -> list[Gate]:
    """Return every gate.

    Parameters
    ----------
    store : Store
        Golden data.
    inside : families.Seen
        What families see.
    triples : mapping
        Which cases ask for each triple of settings.
    history : sequence of recall.Seen
        What sees each public bug.
    """
    mistakes = inside.killed + len(inside.survivors)
    return [
        _gate("triples", "legal triples of settings that a cell asks for", _triples(triples)),
        Gate(
            "families",
            "known mistakes that a case of the family itself kills",
            inside.killed,
            mistakes,
            tuple(map(str, inside.survivors)),
        ),
        _gate("sizes", "sizes, and their neighbours on either side, that a case has", _sizes(CASES)),
        _gate("memory", "layers that misread one memory order, in one operation, that fail its check", _memory(store)),
        _gate("state", "checks of state, in each operation, that layers are asked for", _state(store)),
        _gate("values", "kinds of operands, in each format that can hold them, that a cell asks for", _values(store)),
        Gate(
            "history",
            "public bugs that a cell or a check sees (docs/history.md gives the reason of each other)",
            sum(bool(one.full) for one in history),
            len(history),
            tuple(recall.unexplained(history)),
        ),
    ]


def _gate(name: str, counts: str, items: Iterable[tuple[str, bool]]) -> Gate:
    found = list(items)
    missing = tuple(item for item, holds in found if not holds)
    return Gate(name, counts, len(found) - len(missing), len(found), missing)


def _triples(covered: Mapping[coverage.Together, list[str]]) -> Iterator[tuple[str, bool]]:
    for together, cases in covered.items():
        yield ", ".join(f"{name} {value}" for name, value in together), bool(cases)


Measure = Callable[[Spec, int], Iterable[int]]

SIZES: dict[str, tuple[Measure, tuple[int, ...]]] = {
    "input channels": (lambda spec, _: [spec.in_channels], (16, 32, 64, 128, 256)),
    "output channels": (lambda spec, _: [spec.out_channels], (16, 32, 64, 128, 256)),
    "products": (lambda spec, _: [spec.fan_in], (512,)),
    "axis": (lambda spec, _: spec.input_size, (64, 128, 256, 1024)),
    "batch": (lambda _, batch: [batch], (32, 64)),
    "kernel": (lambda spec, _: spec.kernel_size, (6, 16)),
    "padding": (lambda spec, _: [lo for lo, _ in spec.padding], (6,)),
    "dilation": (lambda spec, _: spec.dilation, (4,)),
    "groups": (lambda spec, _: [spec.groups], (16,)),
    "weights": (lambda spec, _: [math.prod(spec.weight_shape)], (2**16,)),
    "positions": (lambda spec, _: [math.prod(spec.output_size)], (2**16,)),
}
"""Quantity -> how it is measured, and the sizes that kernels break at (SPEC 11.8)."""


def _sizes(cases: Iterable[Case]) -> Iterator[tuple[str, bool]]:
    sized = [case for case in cases if case.generated]
    for name, (measure, thresholds) in SIZES.items():
        there = {size for case in sized for size in measure(case.spec, case.batch)}
        for size in thresholds:
            near = max(1, size // 50)
            yield f"{name} just below {size}", any(size - near <= found < size for found in there)
            yield f"{name} of {size}", size in there
            yield f"{name} just above {size}", any(size < found <= size + near for found in there)


def _memory(store: Store) -> Iterator[tuple[str, bool]]:
    for order in ORDERS:
        examiner = Examiner(UserAdapter(order, MISREADING[order]), store, 0, alone=False)
        for op in OPS:
            outcome = examiner.judge(Cell(order, f"memory/{order}", op, ASKED_IN))
            yield f"memory/{order} {op}", outcome.state == "fail"


def _state(store: Store) -> Iterator[tuple[str, bool]]:
    examiner = Examiner(UserAdapter("layer", Layer()), store, 0, alone=False)
    for name, check in CHECKS.items():
        if name.startswith("state/"):
            for op in check.ops:
                yield f"{name} {op}", examiner.offers(Cell("layer", name, op, ASKED_IN))


def _values(store: Store) -> Iterator[tuple[str, bool]]:
    for kind in (*WHOLE, *REAL):
        entries = [store.entries[case.id] for case in CASES if case.operands == kind and case.id in store.entries]
        for dtype in ("float32", "float64") if kind.startswith("large") else DTYPES:
            asked = any(cell_exists(entry, op, dtype) for entry, op in product(entries, OPS))
            yield f"{kind} in {dtype}", asked
