"""Old import paths of the layers warn and give the same layers; names that files and graphs hold stay as they are."""

import ast
import importlib
import json
import zipfile

import numpy as np
import pytest

from tests.support.child import run
from tests.support.marks import quick
from tests.support.paths import ROOT

PUBLIC = {
    "torch": ("LocallyConnected1d", "LocallyConnected2d", "LocallyConnected3d", "BlockLinear"),
    "mlx": ("LocallyConnected1d", "LocallyConnected2d", "LocallyConnected3d", "BlockLinear"),
    "flax_linen": ("LocallyConnected",),
    "flax_nnx": ("LocallyConnected",),
    "keras": ("LocallyConnected1D", "LocallyConnected2D", "LocallyConnected3D", "load_model", "restore"),
}

OLD = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from lcl_backends.layers import {name} as old
print([str(warning.message) for warning in caught if warning.category is DeprecationWarning][0])
from lcl_ref.layers import {name} as new
assert all(getattr(old, layer) is getattr(new, layer) for layer in {layers})
"""


@pytest.mark.parametrize("name", quick(PUBLIC, "torch"))
def test_old_paths_warn_and_give_the_same_layers(name):
    said = run(program=OLD.format(name=name, layers=PUBLIC[name]), backend="jax")
    assert said == f"lcl_backends.layers.{name} has moved: import lcl_ref.layers.{name}\n"


def imported(path):
    """The modules that a source file imports, with the names it takes from them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def sources(*folders):
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def is_old(module):
    return module.startswith("lcl_backends.layers")


def test_nothing_imports_old_paths():
    files = sources("lcl_ref", "backends", "tools", "examples", "benchmarks")
    found = [path for path in files if any(map(is_old, imported(path)))]
    assert {path.parent.name for path in found} == {"layers"}  # the old modules themselves, which warn together
    assert all(path.parent.parent.name == "lcl_backends" for path in found)


OURS = ("lcl_ref", "lcl_backends")
BELOW = tuple(f"lcl_ref.{room}" for room in ("core", "extensions", "layouts", "errors", "files", "layers"))


def strangers(modules):
    """Those of our modules that a layer may not import."""
    ours = [module for module in modules if module.partition(".")[0] in OURS]
    return [name for name in ours if not any(name == room or name.startswith(f"{room}.") for room in BELOW)]


def test_layers_import_no_adapter_and_nothing_of_the_suite():
    assert {
        path.name: strangers(imported(path)) for path in sources("lcl_ref/layers") if strangers(imported(path))
    } == {}


@pytest.mark.parametrize("module", ["lcl_backends.support.jax.layer", "lcl_ref.suite.adapter.Declaration"])
def test_the_test_above_would_see_adapters_and_the_suite(module):
    assert strangers([module]) == [module]


def test_operators_of_torch_keep_their_names():
    importlib.import_module("lcl_ref.layers.torch")
    import torch

    names = ("output", "input_cotangent", "weight_cotangent")
    assert all(isinstance(getattr(torch.ops.lcl, name).default, torch._ops.OpOverload) for name in names)


SAVE = """
import keras, numpy as np
from lcl_ref.layers.keras import LocallyConnected2D
model = keras.Sequential([keras.Input((5, 4, 2)), LocallyConnected2D(3, 2)])
model.save({path!r})
np.save({answer!r}, keras.ops.convert_to_numpy(model(np.ones((1, 5, 4, 2), np.float32))))
"""

LOAD = """
import warnings
import keras, numpy as np
warnings.simplefilter("ignore", DeprecationWarning)
import {module}
model = keras.models.load_model({path!r})
assert type(model.layers[0]).__module__ == "lcl_ref.layers.keras"
y = keras.ops.convert_to_numpy(model(np.ones((1, 5, 4, 2), np.float32)))
assert np.array_equal(y, np.load({answer!r}))
"""


@pytest.mark.slow
def test_models_saved_under_the_old_module_load_and_names_in_files_stay(tmp_path):
    new, old, answer = (str(tmp_path / name) for name in ("new.keras", "old.keras", "answer.npy"))
    run(program=SAVE.format(path=new, answer=answer), backend="jax")
    with zipfile.ZipFile(new) as archive, zipfile.ZipFile(old, "w") as target:
        config = json.loads(archive.read("config.json"))
        layer = config["config"]["layers"][1]
        assert layer["registered_name"] == "lcl_backends>LocallyConnected2D"
        layer["module"] = "lcl_backends.layers.keras"  # as the package wrote it that had the layers there
        for name in archive.namelist():
            target.writestr(name, json.dumps(config) if name == "config.json" else archive.read(name))
    for module in ("lcl_ref.layers.keras", "lcl_backends.layers.keras"):
        run(program=LOAD.format(path=old, answer=answer, module=module), backend="jax")
    assert np.load(answer).shape == (1, 4, 3, 3)
