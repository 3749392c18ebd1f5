"""What a diagnosis asks, in stages: small layers first, and nothing more once something is wrong.

A mistake shows in small layers nearly always, and what it is can be read off them in seconds. Layers of many positions
take a loop over positions minutes; they are asked where nothing else is wrong.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from lcl_ref.suite.adapter import OPS, Adapter
from lcl_ref.suite.cases.tiers import in_tier
from lcl_ref.suite.formats import DTYPES
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.answers import Key
from lcl_ref.suite.judge.observation import Observation
from lcl_ref.suite.judge.tasks import cell_exists
from lcl_ref.suite.run.drawn_cases import Fresh, supported_draws
from lcl_ref.suite.run.user_layer import DEFAULT_DTYPES, UserAdapter

FEW_WINDOWS, MANY_WINDOWS = 300, 4096
"""Windows, over all samples, up to which a case of sizes is asked among small ones, and before everything else was."""

FRESH = (8, 32)
"""How many fresh layers are asked, and how many where few are supported."""


ENOUGH_SECONDS = 3.0
"""After so much work of this process no further cell is asked once something is wrong."""

LONG_SECONDS = 7.0
"""After so long neither, however little work that was: the layer may be in another process, the machine busy."""


class Enough(Exception):  # noqa: N818 -- ends a stage, no error
    """No further cell can be asked."""


def stages(
    adapter: Adapter, store: Store, cases: Sequence[str], failed: Iterable[Key] = (), seed: int = 0
) -> Iterator[list[Key]]:
    """Yield the cells of one stage after the other; none is in two.

    Small cases of the core tier, then all others, exact ones in one dtype and rounded ones in float64 too; cases of
    values, in which one mistake looks like another; larger cases of sizes; other dtypes; `failed` ones, that some run
    found wrong; fresh layers drawn from `seed`; layers of very many positions.
    """
    dtypes = _dtypes(adapter)
    core = set(in_tier("core"))
    known = [case for case in cases if case in store.entries]
    small = [case for case in known if "/sizes/" not in case and "/values/" not in case]
    values = [case for case in known if "/values/" in case]
    sizes = sorted((case for case in known if "/sizes/" in case), key=lambda case: _windows(store, case))
    few = [case for case in sizes if _windows(store, case) <= FEW_WINDOWS]
    many = [case for case in sizes if FEW_WINDOWS < _windows(store, case) <= MANY_WINDOWS]
    yield from _new(
        lambda: _cells(store, [case for case in small if case in core], dtypes[:1]),
        lambda: _cells(store, sorted([*few, *small], key=lambda case: "/nonfinite/" not in case), dtypes[:1]),
        lambda: _cells(store, values, dtypes[:1]),
        lambda: _cells(store, many, dtypes[:1]),
        lambda: _cells(store, [*small, *values, *few], dtypes),
        lambda: list(failed),
        lambda: _drawn(adapter, dtypes, seed),
        lambda: _cells(store, sizes, dtypes),
    )


def observe(todo: Iterable[Sequence[Key]], ask: Callable[[Key], Observation]) -> list[Observation]:
    """Return what was observed up to where something is wrong, or up to where `ask` had enough.

    The first stage is asked whole. Once something is wrong there, the second is asked for some seconds; once something
    is wrong in a later one, that one is.
    """
    seen: list[Observation] = []
    began, worked, wrong = time.monotonic(), time.process_time(), False
    for number, cells in enumerate(todo):
        if wrong and number > 1:
            break
        for cell in cells:
            if not wrong:
                began, worked = time.monotonic(), time.process_time()
            elif number:
                work, long = time.process_time() - worked, time.monotonic() - began
                if work > ENOUGH_SECONDS or long > LONG_SECONDS:
                    return seen
            try:
                seen.append(ask(cell))
            except Enough:
                return seen
            wrong = wrong or seen[-1].verdict in ("fail", "error")
    return seen


def _new(*made: Callable[[], list[Key]]) -> Iterator[list[Key]]:
    """Yield the cells of each stage, made when it is reached, without those of stages before."""
    asked: set[Key] = set()
    for make in made:
        cells = [cell for cell in dict.fromkeys(make()) if cell not in asked]
        asked.update(cells)
        yield cells


def _dtypes(adapter: Adapter) -> list[str]:
    """Return the dtypes in which a layer is asked, float32 first if it is one of them."""
    can = adapter.declaration.capabilities.dtypes
    asked = DEFAULT_DTYPES if isinstance(adapter, UserAdapter) else DTYPES
    return [dtype for dtype in dict.fromkeys(("float32", *asked)) if dtype in can] or ["float32"]


def _windows(store: Store, case: str) -> int:
    return int(store.entries[case]["batch"]) * math.prod(store.spec(case).output_size)


def _cells(store: Store, cases: Sequence[str], dtypes: Sequence[str]) -> list[Key]:
    """Return the cells of real numbers that the golden data answers; rounded cases in float64 too."""
    return [
        (case, op, dtype)
        for case in cases
        for entry in [store.entries[case]]
        for dtype in dict.fromkeys((*dtypes, "float64") if entry["values"] == "rounded" else dtypes)
        for op in OPS
        if cell_exists(entry, op, dtype)
    ]


def _drawn(adapter: Adapter, dtypes: Sequence[str], seed: int) -> list[Key]:
    return supported_draws(adapter.declaration.capabilities, Fresh(seed, *FRESH, dtypes, OPS))
