"""What adapters may import, what they are registered by, and that neither they nor the core need a framework."""

import ast
import dataclasses
import doctest
import importlib
import inspect
import json
import tomllib
from importlib.metadata import entry_points

import numpy as np
import pytest

import lcl_ref
from lcl_backends import support
from lcl_backends.support import prepared, provider
from lcl_ref import layouts
from lcl_ref.suite.adapter import Capabilities, Declaration
from lcl_ref.suite.run.registered import families, registered
from tests.support.paths import ROOT
from tests.support.programs import python

FRAMEWORKS = ("torch", "jax", "jaxlib", "flax", "mlx", "keras", "tf_keras", "tensorflow")
MODULES = sorted(
    ".".join(path.relative_to(ROOT / "backends").with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "backends" / "lcl_backends").rglob("*.py")
)
SHARED = ("lcl_backends.support", "lcl_backends.layers")
ADAPTERS = [name for name in MODULES if name.count(".") == 2 and not name.startswith(SHARED)]

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


def loaded_by(program, before=""):
    """Return the top-level modules outside the standard library that `program` adds to those of `before`."""
    done = python("-c", LOADED.format(before=before, program=program))
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def without_frameworks(program):
    """Run `program` where no framework can be imported."""
    return python("-c", BLOCKED.format(frameworks=FRAMEWORKS, program=program))


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


@pytest.mark.parametrize(
    ("module", "reads"), [("lcl_ref.suite.run.asking", False), ("lcl_ref.suite.run.planning", True)]
)
def test_processes_of_layers_do_not_read_the_catalogue_of_cases(module, reads):
    """They start by the dozen, and it takes longer than all else that they import of the suite."""
    done = python("-c", f"import sys, {module}; print('lcl_ref.suite.cases.catalogue' in sys.modules)")
    assert done.stdout.strip() == str(reads)


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


def test_adapters_never_import_tests_or_each_other():
    for path in files_of("backends"):
        names = set(imports_of(path))
        assert not any(name.partition(".")[0] == "tests" for name in names), path
        others = {name for name in names if name.startswith("lcl_backends.") and not name.startswith(SHARED)}
        assert not others, f"{path.name} imports {others}: what adapters share lives in lcl_backends.support"


def test_only_support_knows_where_the_suite_keeps_what_adapters_need():
    for name in ADAPTERS:
        names = set(imports_of(ROOT / "backends" / f"{name.replace('.', '/')}.py"))
        assert not {name for name in names if name.startswith("lcl_ref.suite")}, name


def test_the_public_names_of_support_are_there():
    assert all(hasattr(support, name) for name in support.__all__)
    assert doctest.testmod(support).failed == doctest.testmod(prepared).failed == doctest.testmod(provider).failed == 0


def test_adapter_modules_load_without_their_frameworks():
    names = [name for name in MODULES if not name.startswith("lcl_backends.layers")]
    done = without_frameworks(f"for name in {names}: importlib.import_module(name)")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_test_above_does_block_frameworks(framework):
    done = without_frameworks(f"import {framework}")
    assert f"ImportError: {framework} is blocked" in done.stderr


def test_installed_entry_points_are_those_of_pyproject():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["lcl.backends"]
    installed = {point.name: point.value for point in entry_points(group="lcl.backends")}
    assert installed == listed, "the installed package is older than pyproject.toml: run `make setup`"


def test_every_framework_has_a_provider_and_every_module_a_backend_under_its_name():
    assert {one.location.partition(":")[0] for one in registered().values()} == set(ADAPTERS)
    assert families() == {name.split(".")[1] for name in ADAPTERS}


def test_every_registered_adapter_declares_the_name_it_is_registered_by():
    declared = {name: one.declaration for name, one in registered().items()}
    assert all(isinstance(declaration, Declaration) for declaration in declared.values())
    assert {name: declaration.name for name, declaration in declared.items()} == {name: name for name in declared}


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_adapter_class_of_a_module_is_registered(name):
    module = importlib.import_module(name)
    classes = {
        f"{name}:{attribute}"
        for attribute, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == name and hasattr(value, "declaration")
    }
    assert classes == {one.location for one in registered().values() if one.location.startswith(f"{name}:")}


def test_declarations_name_known_dtypes_layouts_and_reasons():
    names = {field.name for field in dataclasses.fields(Capabilities)}
    for one in registered().values():
        declaration = one.declaration
        assert set(declaration.live_layouts) <= set(layouts.LAYOUTS), declaration.name
        assert declaration.summary.endswith("."), declaration.name
        assert set(declaration.capabilities.why) <= names, declaration.name


def test_the_oldest_supported_numpy_is_stated():
    requirements = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert any(requirement.startswith("numpy>=") for requirement in requirements)
    assert np.lib.NumpyVersion(np.__version__) >= "1.26.0"
