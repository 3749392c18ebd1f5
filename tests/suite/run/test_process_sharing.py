"""Backends that share processes: which they are, that they do, and that none of them feels the others."""

from collections import Counter

import pytest

from lcl_ref.suite.adapter import Capabilities, Declaration
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.outcome import Cell, Outcome
from lcl_ref.suite.run import matrix, process_sharing
from lcl_ref.suite.run.cells import make_plan
from lcl_ref.suite.run.loading import resolve
from lcl_ref.suite.run.matrix import MatrixRun
from lcl_ref.suite.run.process_sharing import WorkerGroups
from lcl_ref.suite.run.settings import Settings
from tests.support.paths import SUPPORT

MISBEHAVING = SUPPORT / "misbehaving.py"


def groups_of(*words):
    """Return the names of each group, in the order in which one worker would take them."""
    queue = WorkerGroups({ref: [] for ref in resolve(list(words))})
    found, group = {}, None
    while (turn := queue.next(group)) is not None:
        group, ref, _ = turn
        found.setdefault(id(group), []).append(ref.name)
    return sorted(found.values())


def test_all_backends_of_a_framework_are_one_group_and_every_backend_is_in_one():
    found = groups_of()
    assert sorted(name for names in found for name in names) == [ref.name for ref in resolve([])]
    assert [{name.split(".")[0] for name in names} for names in found] == [
        {"jax", "flax", "keras3", "numpy"},
        {"keras", "tensorflow", "keras3"},
        {"torch", "keras3"},
        {"mlx"},
    ]


def test_keras_is_in_one_group_per_backend_of_its_own():
    (jax, tensorflow, torch) = groups_of("keras3.*")
    assert all(name.endswith(".tensorflow") for name in tensorflow)
    assert all(name.endswith(".torch") for name in torch)
    assert "keras3.fast" in jax


def test_files_and_modules_keep_to_themselves():
    assert groups_of("numpy.fast", "numpy.loop", f"{MISBEHAVING}:right", f"{MISBEHAVING}:prints") == [
        [f"{MISBEHAVING}:prints"],
        [f"{MISBEHAVING}:right"],
        ["numpy.fast", "numpy.loop"],
    ]
    assert len(groups_of(f"{MISBEHAVING}:right", "numpy.fast")) == 2


def queue_of(**cells):
    """Return the groups of backends with so many cells each."""
    names = {name.replace("__", "."): count for name, count in cells.items()}
    return WorkerGroups({ref: [Cell("", "", "", "")] * names[ref.name] for ref in resolve(list(names))})


def taken(queue, group):
    """Return the group and the name of what a worker of a group is given."""
    turn = queue.next(group)
    return turn and (turn[0], turn[1].name)


def test_a_worker_stays_with_its_group_and_then_takes_the_largest():
    queue = queue_of(numpy__fast=1, numpy__loop=1, mlx__fast=3, torch__fast=2, torch__loop=2)
    order, group = [], None
    while (turn := taken(queue, group)) is not None:
        group, name = turn
        order.append(name)
    assert order == ["torch.fast", "torch.loop", "mlx.fast", "numpy.fast", "numpy.loop"]


def test_a_second_worker_takes_what_nobody_has_begun_and_joins_large_groups_only():
    queue = queue_of(numpy__loop=1, torch__fast=9, torch__loop=2, torch__unfold=process_sharing.WORTH_A_START - 2)
    torch, name = taken(queue, None)
    assert name == "torch.fast"
    numpy, name = taken(queue, None)
    assert name == "numpy.loop"
    assert taken(queue, numpy) == (torch, "torch.loop")  # enough is left of it
    assert taken(queue, numpy) is None
    assert taken(queue, torch) == (torch, "torch.unfold")
    assert taken(queue, torch) is None


@pytest.fixture
def together(monkeypatch):
    """Make all backends one group, and count the processes that are started."""
    declaration = Declaration(
        name="any", framework="numpy", modules=("numpy",), summary="", layout="canonical", capabilities=Capabilities()
    )
    monkeypatch.setattr(process_sharing, "_declarations", lambda refs: dict.fromkeys(refs, declaration))
    started = []

    class Counted(matrix.Worker):
        def __init__(self, ref, *terms, **more):
            started.append(ref.name.rpartition(":")[2])
            super().__init__(ref, *terms, **more)

    monkeypatch.setattr(matrix, "Worker", Counted)
    return started


def states(*names):
    """Return the states of one cell of layers, asked in this order by one lane."""
    refs = resolve([f"{MISBEHAVING}:{name}" for name in names])
    plan = make_plan(refs, Store(default_root()), ["1d/stride/two-even"], ["float32"], ["forward"])
    with MatrixRun(plan, Settings(default_root(), 1, 30.0)) as matrix:
        return {event.backend.rpartition(":")[2]: event.state for event in matrix if isinstance(event, Outcome)}


def test_backends_of_a_group_run_in_one_process(together):
    assert set(states("right", "prints", "wrong_shape", "Stateful").values()) == {"pass", "error"}
    assert together == ["right"]


def test_a_crash_is_the_crashing_layers_own(together):
    assert states("right", "dies", "prints", "crashes", "Prepares") == {
        "right": "pass",
        "dies": "error",
        "prints": "pass",
        "crashes": "error",
        "Prepares": "pass",
    }
    assert Counter(together) == Counter(["right", "prints", "Prepares"])


def test_what_is_left_in_a_process_is_not_blamed_on_the_next(together, monkeypatch):
    """A worker that dies between two backends is replaced, and the second one answers from a new process."""
    take_up = matrix.Worker.take_up

    def killed_first(self, ref, cells):
        if ref.name.endswith(":prints") and together == ["right"]:
            self._process.kill()
            self._process.wait()
        take_up(self, ref, cells)

    monkeypatch.setattr(matrix.Worker, "take_up", killed_first)
    assert states("right", "prints") == {"right": "pass", "prints": "pass"}
    assert together == ["right", "prints"]
