"""Golden data is the same bytes in any surroundings, and a run gives the same verdicts twice."""

from __future__ import annotations

import json
import os
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

from lcl_ref.suite.cases.catalogue import EXTENSION_CASES, select
from lcl_ref.suite.golden import fixtures, regenerate, store
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.outcome import Outcome
from lcl_ref.suite.run.cells import make_plan
from lcl_ref.suite.run.loading import resolve
from lcl_ref.suite.run.matrix import MatrixRun
from lcl_ref.suite.run.settings import Settings
from tests.support.paths import ROOT, SUPPORT
from tests.support.programs import lcl, run

CHILD = SUPPORT / "determinism_child.py"

FEW = ("0d/rounded/few-terms", "1d/nonfinite/*", "1d/rounded/few-terms", "2d/plain/*", "3d/combined/*")
"""Every kind of values, and every rank."""

ALONE = ("2d/plain/square", "1d/nonfinite/gaps", "0d/rounded/few-terms")

SIMD = np.show_config(mode="dicts")["SIMD Extensions"]["found"]

SURROUNDINGS = {
    "hash seed 0": {"PYTHONHASHSEED": "0"},
    "hash seed 4711": {"PYTHONHASHSEED": "4711"},
    "locale C": {"LC_ALL": "C", "PYTHONUTF8": "0"},
    "another locale and time zone": {"LC_ALL": "tr_TR.UTF-8", "LANG": "de_DE", "TZ": "Asia/Kathmandu"},
    "one thread": {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    "four threads": {"OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "4", "MKL_NUM_THREADS": "4"},
    "BLAS kernels of 2013": {"OPENBLAS_CORETYPE": "Haswell"},
    "BLAS kernels of 2004": {"OPENBLAS_CORETYPE": "Prescott"},
    "NumPy without vector units": {"NPY_DISABLE_CPU_FEATURES": " ".join(SIMD)},
    "optimised Python": {"PYTHONOPTIMIZE": "2"},
}
"""Name -> what is set in the environment; kernels that do not fit the machine leave its own in place."""

ODD = ("hash seed 4711", "another locale and time zone", "four threads", "BLAS kernels of 2004")
"""Those of the fast test, together in one process."""

each_surroundings = pytest.mark.parametrize("name", SURROUNDINGS)


def child(*words: str, python: str = sys.executable, **environment: str) -> dict:
    """Return what the child process prints, in these surroundings."""
    done = run(python, CHILD, *words, env=os.environ | {"PYTHONPATH": str(ROOT)} | environment, timeout=None)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def here() -> dict[str, str]:
    made = regenerate.build([*select(FEW), *EXTENSION_CASES[::8]])
    return {name: store.sha256(data) for name, data in made.items()}


def frozen() -> dict[str, str]:
    listed = dict(line.split("  ")[::-1] for line in (fixtures.default_root() / store.SUMS).read_text().splitlines())
    return {name: digest for name, digest in listed.items() if name != store.README}


def test_odd_surroundings_and_the_other_order_make_the_same_files() -> None:
    together = {name: value for key in ODD for name, value in SURROUNDINGS[key].items()}
    assert child("--order", "backwards", *FEW, **together)["made"] == here()


def test_a_case_alone_has_the_arrays_of_the_golden_data() -> None:
    """Neither the cases before it nor those beside it matter."""
    entries = Store(fixtures.default_root()).entries
    for case in ALONE:
        stored = {name: facts["sha256"] for name, facts in entries[case]["arrays"].items()}
        assert child("--arrays", case)["made"] == {case: stored}


def test_hash_seeds_reach_the_child() -> None:
    seen = {child(ALONE[0], **SURROUNDINGS[name])["hash"] for name in ("hash seed 0", "hash seed 4711")}
    assert len(seen) == 2


@pytest.mark.slow
@each_surroundings
def test_all_golden_data_is_the_same_in_these_surroundings(name: str) -> None:
    done = lcl("fixtures", "check", env=os.environ | SURROUNDINGS[name], timeout=None)
    assert done.returncode == 0, done.stderr
    assert "regenerate byte for byte" in done.stdout


@pytest.mark.slow
def test_all_golden_data_is_the_same_in_the_other_order() -> None:
    assert child("--order", "backwards")["made"] == frozen()


@pytest.mark.slow
def test_the_oldest_numpy_makes_the_same_bytes(tmp_path: Path) -> None:
    """NumPy 1.26 in a virtual environment of its own; needs a package index."""
    venv.create(tmp_path, with_pip=True)
    python = str(tmp_path / "bin" / "python")
    packages = ["numpy==1.26.*", "ml_dtypes", "safetensors"]
    done = run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages, timeout=None)
    assert done.returncode == 0, done.stderr
    old = child(python=python)
    assert old["numpy"].startswith("1.26.")
    assert old["made"] == frozen()


@pytest.mark.parametrize("name", ["numpy.matmul", pytest.param("torch.unfold", marks=pytest.mark.slow)])
def test_a_run_gives_the_same_verdicts_and_figures_twice(name: str) -> None:
    runs = [_outcomes(name), _outcomes(name)]
    assert runs[0] == runs[1]
    assert len(runs[0]) > 20


def _outcomes(name: str) -> list[tuple]:
    data = fixtures.default_root()
    plan = make_plan(resolve([name]), Store(data), ["*/rounded/few-terms", "2d/plain/*"], ["float32", "bfloat16"])
    with MatrixRun(plan, Settings(data, 1, 60.0)) as matrix:
        found = [event for event in matrix if isinstance(event, Outcome)]
    return [(outcome.cell, outcome.state, outcome.error_ratio, outcome.message) for outcome in found]
