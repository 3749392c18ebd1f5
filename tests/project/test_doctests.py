"""Every public function, class and method has an Examples section, and what it shows is what comes out."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import lcl_ref
from lcl_ref import extensions

EXTENSIONS = [module.name for module in pkgutil.iter_modules(extensions.__path__, "lcl_ref.extensions.")]
MODULES = ["lcl_ref", "lcl_ref.errors", "lcl_ref.layouts", "lcl_ref.initialisers", "lcl_ref.porting"] + [
    name for name in EXTENSIONS if not name.rpartition(".")[2].startswith("_")
]


def is_documented(thing):
    return inspect.isfunction(thing) or inspect.isclass(thing)


def public():
    """Yield ``(name, thing)`` for what `MODULES` offer, and the public methods of their classes."""
    for name in MODULES:
        module = importlib.import_module(name)
        listed = getattr(module, "__all__", [key for key in vars(module) if not key.startswith("_")])
        own = name if not hasattr(module, "__all__") else "lcl_ref"
        for key in listed:
            thing = getattr(module, key)
            if is_documented(thing) and thing.__module__.startswith(own):
                yield f"{name}.{key}", thing
                yield from methods(f"{name}.{key}", thing)


def methods(name, thing):
    if inspect.isclass(thing):
        for key, value in vars(thing).items():
            function = getattr(value, "__func__", value)
            if not key.startswith("_") and inspect.isfunction(function):
                yield f"{name}.{key}", function


PUBLIC = dict(public())


@pytest.mark.parametrize("name", PUBLIC)
def test_examples_give_what_they_show(name):
    thing = PUBLIC[name]
    assert "Examples\n" in (thing.__doc__ or ""), "no Examples section"
    globs = dict(vars(inspect.getmodule(thing)))
    example = doctest.DocTestParser().get_doctest(thing.__doc__, globs, name, None, 0)
    assert example.examples
    said = []
    doctest.DocTestRunner().run(example, out=said.append)
    assert not said, "".join(said)


def test_the_names_of_the_package_are_among_them():
    named = {name.rpartition(".")[2] for name in PUBLIC}
    assert {"Spec", "forward", "vjp", "transpose", "init", "convert", "get", "SpecError", "quantise"} <= named
    assert "lcl_ref.Spec.from_json" in PUBLIC
    assert set(dir(lcl_ref)) >= set(lcl_ref.__all__)


def test_an_example_that_is_wrong_is_seen():
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    said = []
    doctest.DocTestRunner().run(wrong, out=said.append)
    assert "Expected" in "".join(said)
