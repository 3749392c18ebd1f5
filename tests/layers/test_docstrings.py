"""Every public layer says all of itself, and its examples give what they show."""

import doctest
import importlib
import inspect

import pytest

from tests.layers.test_old_paths import PUBLIC
from tests.support.child import run

LAYERS = [(name, layer) for name, layers in PUBLIC.items() for layer in layers if layer[0].isupper()]
LAYERS += [(name, "UnequalBlockLinear") for name in PUBLIC]  # which no old path had

KERAS = """
import doctest
from lcl_ref.layers import keras as layers
for name in ("LocallyConnected1D", "LocallyConnected2D", "LocallyConnected3D", "UnequalBlockLinear"):
    text = getattr(layers, name).__doc__
    example = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
    print(len(example.examples), doctest.DocTestRunner().run(example).failed, all(
        f"{section}\\n{'-' * len(section)}" in text for section in ("Parameters", "Notes", "Examples")))
"""


@pytest.mark.parametrize(("name", "layer"), [pair for pair in LAYERS if pair[0] != "keras"])
def test_docstrings_are_whole_and_their_examples_true(name, layer):
    kind = getattr(importlib.import_module(f"lcl_ref.layers.{name}"), layer)
    text = inspect.getdoc(kind)
    for section in ("Parameters", "Notes", "Examples"):
        assert f"\n{section}\n{'-' * len(section)}\n" in text
    assert "$" not in text
    assert max(map(len, text.splitlines())) <= 120
    signature = inspect.signature(kind.__init__ if name == "flax_nnx" else kind)  # its metaclass hides the arguments
    arguments = [word for word in signature.parameters if word not in ("self", "parent", "name")]
    assert [word for word in arguments if word not in text] == []
    example = doctest.DocTestParser().get_doctest(text, {}, layer, None, 0)
    said = []
    assert doctest.DocTestRunner().run(example, out=said.append).attempted >= 5
    assert not said, "".join(said)


@pytest.mark.slow
def test_docstrings_of_keras_are_whole_and_their_examples_true():
    assert run(program=KERAS, backend="torch").splitlines() == ["6 0 True"] * 3 + ["5 0 True"]


def test_the_signature_names_what_the_framework_adds():
    torch, mlx = (importlib.import_module(f"lcl_ref.layers.{name}").LocallyConnected2d for name in ("torch", "mlx"))
    assert list(inspect.signature(torch).parameters)[-4:] == ["shared", "regions", "device", "dtype"]
    assert list(inspect.signature(mlx).parameters)[-2:] == ["shared", "regions"]
