"""The wheel in a virtual environment that holds its own requirements, pytest, and at most one framework."""

import re
import shutil
import venv
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support.paths import ROOT
from tests.support.programs import run


def required_by(name):
    """Return a distribution and all it requires, by canonical name; extras aside."""
    found, left = {}, [name]
    while left:
        one = canonical(left.pop())
        if one in found:
            continue
        found[one] = metadata.distribution(one)
        requirements = map(Requirement, found[one].requires or [])
        left += [
            requirement.name
            for requirement in requirements
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        ]
    return found


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def link(distribution, site):
    """Put what a distribution installed at the top level into another site-packages."""
    for top in {file.parts[0] for file in distribution.files if file.parts[0] != ".."}:
        if not (site / top).exists() and top != "__pycache__":
            (site / top).symlink_to(Path(distribution.locate_file(top)).resolve())


@pytest.fixture
def environment(wheel, tmp_path):
    """Give a function that makes a virtual environment with the wheel and some distributions."""

    def make(*names):
        venv.create(tmp_path / "venv", symlinks=True)
        (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
        for name in ("pytest", *names):
            for distribution in required_by(name).values():
                link(distribution, site)
        for name, distribution in required_by("lcl-ref").items():
            if name != "lcl-ref":
                link(distribution, site)
        wheel.extractall(site)
        return tmp_path / "venv" / "bin" / "python"

    return make


def test_the_suite_runs_without_any_framework(environment, tmp_path):
    python = environment()
    shutil.copy(ROOT / "examples" / "my_layer.py", tmp_path)
    assert run(python, "-P", "-c", "import torch", cwd=tmp_path).returncode == 1
    words = ["--pyargs", "lcl_ref.suite", "--lcl-backend", "my_layer.py", "--lcl-tier", "smoke"]
    done = run(python, "-P", "-m", "pytest", "-q", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d\d passed", done.stdout)


@pytest.mark.slow
def test_the_plugin_runs_beside_one_framework(environment, tmp_path):
    python = environment("torch")
    shutil.copy(ROOT / "examples" / "my_torch_layer.py", tmp_path)
    lines = [
        "from my_torch_layer import Layer",
        "from lcl_ref.testing import conformance_tests",
        "test_conformance = conformance_tests(Layer)",
    ]
    (tmp_path / "test_theirs.py").write_text("\n".join(lines) + "\n")
    assert run(python, "-P", "-c", "import jax", cwd=tmp_path).returncode == 1
    done = run(python, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=prepend", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d\d passed", done.stdout)
