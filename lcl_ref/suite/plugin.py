"""pytest plugin: the conformance matrix, one test per (backend, case, operation, dtype).

``pytest --pyargs lcl_ref.suite --lcl-backend my_layer.py``. Cells that a layer declares unsupported are no tests; the
header counts them. ``--lcl-fresh N`` adds one test per backend, of N fresh cases. With pytest-xdist, add
``--dist loadfile``: each backend is then asked by one process, and backends that can share a process by the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from lcl_ref.errors import LclError
from lcl_ref.suite.adapter import OPS
from lcl_ref.suite.cases.catalogue import CASES
from lcl_ref.suite.cases.tiers import TIERS, asks
from lcl_ref.suite.checks.catalogue import CHECKS
from lcl_ref.suite.checks.choosing import chosen
from lcl_ref.suite.golden import fixtures
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.outcome import Cell, Outcome
from lcl_ref.suite.report.looked_at import looked_at
from lcl_ref.suite.run import registry
from lcl_ref.suite.run.cells import RunPlan, make_plan, matches, supports
from lcl_ref.suite.run.drawn_cases import Fresh, is_fresh, new_seed
from lcl_ref.suite.run.loading import BackendRef, resolve
from lcl_ref.suite.run.matrix import MatrixRun
from lcl_ref.suite.run.process_sharing import WorkerGroups
from lcl_ref.suite.run.settings import BackendReport, Settings
from lcl_ref.suite.run.supporting import declined_cells

PLAN = pytest.StashKey[RunPlan]()
UNSUPPORTED = pytest.StashKey[int]()
CELLS = pytest.StashKey[Mapping[str, int]]()
LOOKED = pytest.StashKey[list[str]]()
FRESH = "lcl_fresh_backend"
HERE = Path(__file__).with_name("test_conformance.py")
UNNAMED = "lcl_ref.suite: name a layer, as in --lcl-backend my_layer.py; --lcl-backend '*' asks every registered one"
ACCEPTED = {case.id: case for case in CASES}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the matrix; they take the same words as ``lcl run``."""
    group = parser.getgroup("lcl", "conformance of locally connected layers")
    group.addoption("--lcl-backend", action="append", default=[], metavar="BACKEND", help="Backends, as in lcl run -b.")
    group.addoption("--lcl-case", action="append", default=[], metavar="GLOB", help="Cases, as in lcl run -c.")
    group.addoption("--lcl-tier", choices=list(TIERS), default=None, help="Only the cases of this size of a run.")
    group.addoption("--lcl-dtype", action="append", default=[], metavar="DTYPE", help="Dtypes, as in lcl run --dtype.")
    group.addoption("--lcl-require", action="append", default=[], metavar="NAME", help="Backends that must be present.")
    group.addoption("--lcl-data", type=Path, default=None, metavar="DIR", help="Folder of the golden data.")
    group.addoption("--lcl-jobs", type=int, default=os.cpu_count() or 1, help="Workers at a time.")
    group.addoption("--lcl-fresh", type=int, default=0, metavar="N", help="Fresh layers per backend, as one test.")
    unset = "a new one for fresh layers, 0 for checks"
    group.addoption("--lcl-seed", type=int, default=None, help=f"Seed of what is drawn.  [default: {unset}]")
    group.addoption("--lcl-timeout", type=float, default=60.0, help="Seconds a cell may take.")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of every cell for each test function that asks for ``lcl_cell``."""
    if "lcl_cell" in metafunc.fixturenames:
        named = metafunc.config.getoption("--lcl-backend") or Path(metafunc.module.__file__) != HERE
        cells = [cell for cells in _plan(metafunc.config).values() for cell in cells] if named else []
        metafunc.parametrize("lcl_cell", cells, ids=[cell.id for cell in cells])
    if FRESH in metafunc.fixturenames:
        refs = _backends(metafunc.config) if metafunc.config.getoption("--lcl-fresh") else []
        metafunc.parametrize(FRESH, refs, ids=[f"{ref.name}-fresh" for ref in refs])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests of `lcl_ref.testing.conformance_tests` that the options leave out; none of fresh cases unasked."""
    if not config.getoption("--lcl-backend") and any(item.path == HERE for item in items):
        raise pytest.UsageError(UNNAMED)
    if not config.getoption("--lcl-fresh"):
        items[:] = [item for item in items if FRESH not in getattr(item, "fixturenames", ())]
    wanted = {item: _wanted(config, item) for item in items}
    if not all(wanted.values()):
        config.hook.pytest_deselected(items=[item for item in items if not wanted[item]])
        items[:] = [item for item in items if wanted[item]]


def _wanted(config: pytest.Config, item: pytest.Item) -> bool:
    cell = _params(item).get("lcl_cell_here")
    if cell is None:
        return True
    tier = config.getoption("--lcl-tier") or item.function.lcl_tier  # type: ignore[attr-defined]
    globs, dtypes = config.getoption("--lcl-case"), config.getoption("--lcl-dtype")
    matches_glob = not globs or any(fnmatchcase(cell.case, glob) for glob in globs)
    if cell.case in CHECKS or is_fresh(cell.case):
        return matches_glob and tier != "smoke" and (not dtypes or cell.dtype in dtypes)
    case = ACCEPTED[cell.case]
    in_dtype = cell.dtype in dtypes if dtypes else asks(tier, case, cell.dtype)
    return matches_glob and in_dtype and TIERS[tier](case)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Deal out the matrix by group where ``--dist loadfile`` would keep it together."""
    if config.getoption("dist") != "loadfile":
        return None
    from lcl_ref.suite.scheduling import LoadWorkerGroups  # noqa: PLC0415 -- xdist is optional

    return LoadWorkerGroups(config, log, WorkerGroups({ref: [] for ref in _backends(config)}).numbers())


def pytest_report_collectionfinish(config: pytest.Config) -> str | None:
    """Say how many cells are no tests because they are declared unsupported."""
    count = config.stash.get(UNSUPPORTED, None)
    return None if count is None else f"lcl: {count} cells are declared unsupported (`lcl run --reasons` says why)"


def _data(config: pytest.Config) -> Path:
    given: Path | None = config.getoption("--lcl-data")
    return given or fixtures.default_root()


def _backends(config: pytest.Config) -> list[BackendRef]:
    """Return the backends that the options name; wrong words end the session with one clear line."""
    try:
        return resolve(config.getoption("--lcl-backend"))
    except LclError as error:
        raise pytest.UsageError(str(error)) from error


def _plan(config: pytest.Config) -> RunPlan:
    """Return the plan of this session, made once; wrong words end the session with one clear line."""
    if PLAN not in config.stash:
        try:
            refs = _backends(config)
            store = fixtures.verify(_data(config))
            tier = config.getoption("--lcl-tier") or "full"
            ids = chosen(tier, config.getoption("--lcl-case"))
            full = make_plan(refs, store, ids, config.getoption("--lcl-dtype"), tier=tier)
        except LclError as error:
            raise pytest.UsageError(str(error)) from error
        settings = Settings(_data(config), 1, config.getoption("--lcl-timeout"))
        config.stash[PLAN] = _supported(full, store, settings)
        config.stash[UNSUPPORTED] = sum(map(len, full.values())) - sum(map(len, config.stash[PLAN].values()))
        config.stash[CELLS] = {ref.name: sum(cell.case not in CHECKS for cell in cells) for ref, cells in full.items()}
    return config.stash[PLAN]


def _supported(plan: RunPlan, store: Store, settings: Settings) -> RunPlan:
    """Drop what backends decline: registered ones by their declarations, others when their processes are asked."""
    known = {declaration.name: declaration.capabilities for declaration in registry.declarations()}
    kept: RunPlan = {}
    for ref, cells in plan.items():
        if ref.name in known:
            kept[ref] = [cell for cell in cells if supports(known[ref.name], cell, store)]
        else:
            declined = declined_cells(ref, cells, settings)
            kept[ref] = [cell for cell in cells if cell not in declined]
    return kept


class Outcomes:
    """Outcomes of the selected cells; the matrix runs while tests wait for theirs.

    Backends run side by side from the first request on, all of them or, where `groups` has their numbers, those of
    the group that is asked.
    """

    def __init__(self, plan: RunPlan, settings: Settings, groups: Mapping[str, int]) -> None:
        self._plan, self._settings, self._groups = plan, settings, groups
        self._asked: set[Cell] = set()
        self._found: dict[Cell, Outcome] = {}
        self._reports: dict[str, BackendReport] = {}
        self._run: MatrixRun | None = None
        self._events: Iterator[BackendReport | Outcome] = iter(())

    def __call__(self, cell: Cell) -> Outcome:
        """Return the outcome of one cell, waiting for it where needed."""
        if cell not in self._found and cell not in self._asked:
            self._ask_group(self._groups.get(cell.backend))
        while cell not in self._found:
            event = next(self._events)
            if isinstance(event, Outcome):
                self._found[event.cell] = event
            else:
                self._reports[event.name] = event
        return self._found[cell]

    def _ask_group(self, number: int | None) -> None:
        """Run what is not yet known of a group, instead of what runs now."""
        self.close()
        group = {ref: cells for ref, cells in self._plan.items() if self._groups.get(ref.name) == number}
        plan = {ref: [cell for cell in cells if cell not in self._found] for ref, cells in group.items()}
        self._asked = {cell for cells in plan.values() for cell in cells}
        self._run = MatrixRun({ref: cells for ref, cells in plan.items() if cells}, self._settings)
        self._events = iter(self._run)

    def names_of(self, cell: Cell) -> tuple[str, str]:
        """Return the backend's name and its framework's, as far as known."""
        report = self._reports.get(cell.backend)
        return cell.backend, report.framework if report else ""

    def found(self) -> tuple[list[BackendReport], list[Outcome]]:
        """Return what is known so far."""
        return list(self._reports.values()), list(self._found.values())

    def close(self) -> None:
        """End every worker process."""
        if self._run is not None:
            self._run.__exit__(None, None, None)
            self._run = None


def _selected(request: pytest.FixtureRequest) -> RunPlan:
    """Return the plan reduced to the cells of this session's tests."""
    wanted = {item.callspec.params["lcl_cell"] for item in request.session.items if _asks(item)}  # type: ignore[attr-defined]
    plan: RunPlan = request.config.stash[PLAN]
    reduced = {ref: [cell for cell in cells if cell in wanted] for ref, cells in plan.items()}
    return {ref: cells for ref, cells in reduced.items() if cells}


def _params(item: pytest.Item) -> dict[str, Any]:
    params: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    return params


def _asks(item: pytest.Item) -> bool:
    return "lcl_cell" in _params(item)


@pytest.fixture(scope="session")
def lcl_outcomes(request: pytest.FixtureRequest) -> Iterator[Outcomes]:
    """Give outcomes of the cells this session selected."""
    config = request.config
    runs = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    jobs, seconds = config.getoption("--lcl-jobs"), config.getoption("--lcl-timeout")
    groups = WorkerGroups(_plan(config)).numbers() if runs > 1 else {}
    settings = Settings(_data(config), jobs, seconds, runs=runs, seed=config.getoption("--lcl-seed") or 0)
    plan, selected = _plan(config), _selected(request)
    chosen = {ref.name for ref, cells in selected.items() if len(cells) == len(plan[ref])}
    outcomes = Outcomes(selected, settings, groups)
    yield outcomes
    outcomes.close()
    whole = not config.getoption("--lcl-case") and not config.getoption("--lcl-dtype")
    looked = looked_at(*outcomes.found(), Store(_data(config)), naming=whole, of=config.stash[CELLS])
    narrow = [one for name, one in looked.items() if one.narrow and whole and name in chosen]
    said = [line for one in narrow for line in (one.sentence, one.not_seen and one.not_seen_sentence) if line]
    config.stash[LOOKED] = said
    if hasattr(config, "workeroutput"):
        config.workeroutput["lcl_looked"] = said


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Keep what a process of pytest-xdist has to say at the end."""
    del error
    said = getattr(node, "workeroutput", {}).get("lcl_looked", [])
    node.config.stash.setdefault(LOOKED, []).extend(said)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say of narrow layers how much was looked at, and what could not have been seen."""
    for line in config.stash.get(LOOKED, []):
        terminalreporter.write_line(f"lcl: {line}")


def judge(outcome: Outcome, names: tuple[str, str], required: list[str]) -> None:
    """Turn an outcome into the result of its test: pass, failure, or a skip that carries its reason."""
    missing = outcome.state == "not_run" and any(matches(name, required) for name in names)
    if outcome.state in ("unsupported", "not_run") and not missing:
        pytest.skip(f"{outcome.state}: {outcome.message}")
    if outcome.state != "pass":
        kind = outcome.error_kind or outcome.state
        rerun = f"lcl run -b '{outcome.backend}' -c '{outcome.case}' --op {outcome.op} --dtype {outcome.dtype}"
        pytest.fail(f"{kind}: {outcome.message}\nrerun: {rerun}", pytrace=False)


def judge_fresh(ref: BackendRef, config: pytest.Config) -> None:
    """Ask a backend the fresh cases of the options; every cell that is wrong is a line of the failure."""
    seed, count = config.getoption("--lcl-seed"), config.getoption("--lcl-fresh")
    fresh = Fresh(new_seed() if seed is None else seed, count, count, config.getoption("--lcl-dtype"), OPS)
    settings = Settings(_data(config), 1, config.getoption("--lcl-timeout"), fresh=fresh)
    with MatrixRun({ref: []}, settings) as run:
        events = list(run)
    outcomes = [event for event in events if isinstance(event, Outcome)]
    wrong = [
        f"{one.error_kind or one.state}: {one.case} {one.op} {one.dtype}: {one.message}"
        for one in outcomes
        if one.state in ("fail", "error")
    ]
    if wrong:
        rerun = f"lcl run -b '{ref.name}' -c '{wrong[0].split()[1]}'"
        pytest.fail("\n".join([*wrong, f"rerun: {rerun}"]), pytrace=False)
    if not any(one.state == "pass" for one in outcomes):
        pytest.skip(f"none of the layers drawn from seed {fresh.seed} is one that {ref.name} supports and answers")
