"""What may import what: tests -> lcl_backends -> lcl_ref -> NumPy and the standard library."""

import ast
import importlib
import inspect
import json
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest

import lcl_backends
import lcl_ref
from lcl_ref.suite.adapter import Declaration
from tests.support.paths import ROOT

FRAMEWORKS = ("torch", "jax", "jaxlib", "flax", "mlx", "keras", "tf_keras", "tensorflow")
BACKENDS = sorted(path.stem for path in Path(lcl_backends.__file__).parent.glob("*.py"))
ADAPTERS = [name for name in BACKENDS if not name.startswith("_")]

LOADED = """
import json, sys
{before}
before = set(sys.modules)
{program}
new = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(json.dumps(sorted(new - set(sys.stdlib_module_names))))
"""

BLOCKED = """
import importlib, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {frameworks}:
            raise ImportError(name + " is blocked")

sys.meta_path.insert(0, Blocker())
{program}
"""


def run(program):
    """Run a program in a fresh interpreter and return the completed process."""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)


def loaded_by(program, before=""):
    """Return the top-level modules outside the standard library that `program` adds to those of `before`."""
    done = run(LOADED.format(before=before, program=program))
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def without_frameworks(program):
    """Run `program` where no framework can be imported."""
    return run(BLOCKED.format(frameworks=FRAMEWORKS, program=program))


def test_lcl_ref_loads_numpy_and_the_standard_library_only():
    assert loaded_by("import lcl_ref", before="import numpy") <= {"lcl_ref", "numpy"}  # numpy loads parts on use


@pytest.mark.parametrize("module", ["click", "torch", "safetensors.numpy", "lcl_ref.suite.formats"])
def test_the_test_above_would_see_a_further_module(module):
    assert loaded_by(f"import lcl_ref, {module}", before="import numpy") - {"lcl_ref", "numpy"}


@pytest.mark.parametrize("call", ["lcl.forward(s, x, w, b)", "lcl.vjp(s, x, w, b, y)", "lcl.transpose(s, y, w)"])
def test_computing_loads_nothing_more(call):
    make = (
        "import numpy as np, lcl_ref as lcl; s = lcl.Spec(input_size=3, in_channels=1, out_channels=1, kernel_size=2)"
    )
    arrays = "x, w, b, y = (np.ones(t) for t in (s.x_shape(1), s.weight_shape, s.bias_shape, s.y_shape(1)))"
    assert loaded_by(f"{make}; {arrays}; {call}", before="import numpy") <= {"lcl_ref", "numpy"}


def test_the_names_of_the_package_are_there_and_listed():
    assert all(hasattr(lcl_ref, name) for name in lcl_ref.__all__)
    public = {
        name for name in vars(lcl_ref) if not name.startswith("_") and not inspect.ismodule(getattr(lcl_ref, name))
    }
    assert public <= set(lcl_ref.__all__)


def imports_of(path):
    """Yield every module name that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module


def files_of(folder):
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found
    return found


def test_lcl_ref_never_imports_adapters_or_frameworks():
    for path in files_of("lcl_ref"):
        tops = {name.partition(".")[0] for name in imports_of(path)}
        assert not tops & {"lcl_backends", "tests", *FRAMEWORKS}, path


def test_adapters_never_import_tests_or_each_other():
    for path in files_of("backends"):
        names = set(imports_of(path))
        assert not any(name.partition(".")[0] == "tests" for name in names), path
        siblings = {name.partition(".")[2] for name in names if name.startswith("lcl_backends.")}
        others = {name for name in siblings if not name.startswith(("_", "layers"))}
        assert not others, f"{path.name} imports {others}: what adapters share lives in layers/ or a module named _*"


def test_reference_and_dense_oracle_share_no_geometry():
    names = set(imports_of(ROOT / "lcl_ref" / "core" / "dense_oracle.py"))
    assert {name for name in names if name.startswith("lcl_ref")} == {"lcl_ref.core.spec"}
    text = (ROOT / "lcl_ref" / "core" / "dense_oracle.py").read_text()
    derived = ("output_size", "group_channels", "weight_size", "weight_shape", "fan_in", "channels")
    assert not [name for name in derived if f"spec.{name}" in text]


def test_adapter_modules_load_without_their_frameworks():
    names = [f"lcl_backends.{name}" for name in BACKENDS if name != "__init__"]
    done = without_frameworks(f"for name in {names}: importlib.import_module(name)")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_test_above_does_block_frameworks(framework):
    done = without_frameworks(f"import {framework}")
    assert f"ImportError: {framework} is blocked" in done.stderr


def registered():
    return {point.name: point for point in entry_points(group="lcl.backends")}


def test_installed_entry_points_are_those_of_pyproject():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["lcl.backends"]
    installed = {name: point.value for name, point in registered().items()}
    assert installed == listed, "the installed package is older than pyproject.toml: run `make setup`"


def test_every_registered_adapter_declares_the_name_it_is_registered_by():
    declared = {name: point.load().declaration for name, point in registered().items()}
    assert all(isinstance(declaration, Declaration) for declaration in declared.values())
    assert {name: declaration.name for name, declaration in declared.items()} == {name: name for name in declared}
    assert all(name.partition(".")[0] for name in declared)


def test_modules_on_disk_are_the_registered_ones():
    assert {point.module.removeprefix("lcl_backends.") for point in registered().values()} == set(ADAPTERS)


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_adapter_class_of_a_module_is_registered(name):
    module = importlib.import_module(f"lcl_backends.{name}")
    classes = {
        attribute
        for attribute, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__ and hasattr(value, "declaration")
    }
    points = {point.attr for point in registered().values() if point.module == module.__name__}
    assert classes == points


def test_declarations_name_known_dtypes_layouts_and_reasons():
    names = {"ranks", "stride", "dilation", "padding", "groups", "channel_table", "sharing", "bias", "dtypes", "ops"}
    for point in registered().values():
        declaration = point.load().declaration
        assert declaration.summary.endswith("."), declaration.name
        assert set(declaration.capabilities.why) <= names | {"empty_batch", "nonfinite"}, declaration.name


def test_the_oldest_supported_numpy_is_stated():
    requirements = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert any(requirement.startswith("numpy>=") for requirement in requirements)
    assert np.lib.NumpyVersion(np.__version__) >= "1.26.0"
