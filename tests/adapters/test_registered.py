"""Adapters of other distributions: entry points that name one adapter, providers, and what is wrong with either."""

import os
import subprocess
import sys

import pytest

from lcl_ref.errors import AdapterError
from lcl_ref.suite.run.loading import load, resolve
from lcl_ref.suite.run.registered import named, registered

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "{name}"
version = "1"
[project.entry-points."lcl.backends"]
{points}
[tool.hatch.build.targets.wheel]
include = ["{module}.py"]
"""

ADAPTERS = """
from lcl_backends.support import Capabilities, Declaration
from lcl_backends.support.numpy import NumpyLayer, declared
from lcl_ref.core import batched

def make(backend, **fields):
    class Made:
        declaration = declared(
            name=backend, summary="A test.", layout="canonical", capabilities=Capabilities(ranks=(1,)), **fields
        )

        def prepare(self, spec, weight, bias, dtype):
            return NumpyLayer(spec, batched, weight, bias)

    Made.__qualname__ = backend.replace(".", "_")
    return Made

other_one, plain = make("other.one"), make("plain")
wave_a, wave_b = make("wave.a", aliases=("wave.first",)), make("wave.b", own_process=True)

def provide():
    return {"wave.a": wave_a, "wave.b": "tiny_adapters:wave_b"}

def fail():
    raise OSError("no such library")

def nonsense():
    return ["broken.a"]

def stray():
    return {"torch.fast": wave_a}
"""

GOOD = {"other.one": "other_one", "plain": "plain", "wave": "provide"}
BROKEN = {"failing": "fail", "nonsense": "nonsense", "stray": "stray"}


@pytest.fixture(scope="module")
def lcl(tmp_path_factory):
    """Return a function that runs `lcl` where two distributions with adapters are installed."""
    target = tmp_path_factory.mktemp("installed")
    for name, module, points in (("tiny", "tiny_adapters", GOOD), ("tiny-broken", "tiny_broken", BROKEN)):
        source = tmp_path_factory.mktemp(name)
        lines = "\n".join(f'"{point}" = "{module}:{attribute}"' for point, attribute in points.items())
        (source / "pyproject.toml").write_text(PYPROJECT.format(name=name, module=module, points=lines))
        (source / f"{module}.py").write_text(ADAPTERS)
        options = ["--no-deps", "--no-build-isolation", "--quiet", "--target", target]
        subprocess.run([sys.executable, "-m", "pip", "install", *options, source], check=True, timeout=120)

    def run(*words):
        path = os.pathsep.join(filter(None, (str(target), os.environ.get("PYTHONPATH", ""))))
        command = [sys.executable, "-m", "lcl_ref", *words]
        return subprocess.run(
            command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False, timeout=300
        )

    return run


def test_entry_points_of_both_kinds_are_run(lcl):
    words = [word for name in ("other.one", "plain", "wave.first", "wave.b") for word in ("-b", name)]
    done = lcl("run", *words, "--tier", "smoke", "--dtype", "float32", "--op", "forward", "--jobs", "1", "-v")
    assert done.returncode == 0, done.stderr
    assert all(f"{name}: done" in done.stderr for name in ("other.one", "plain", "wave.first", "wave.b"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("failing", "OSError: no such library"),
        ("nonsense", "it returned list"),
        ("stray", "it names 'torch.fast'"),
    ],
)
def test_a_provider_that_is_wrong_is_named_with_its_distribution(lcl, name, told):
    done = lcl("run", "-b", f"{name}.a", "--tier", "smoke")
    assert done.returncode == 2
    assert f"entry point '{name}' of tiny-broken" in done.stderr
    assert told in done.stderr


def test_backends_of_one_family_do_not_need_the_providers_of_others(lcl):
    done = lcl("run", "-b", "numpy.fast", "--tier", "smoke", "--dtype", "float64", "--jobs", "1")
    assert done.returncode == 0, done.stderr


def names(*words):
    return [(ref.name, ref.target) for ref in resolve(list(words))]


def test_an_alias_names_the_backend_it_stands_for_and_stays_its_name_in_the_report():
    assert names("numpy.matmul") == [("numpy.matmul", "numpy.fast")]
    assert names("numpy.matmul", "numpy.fast", "numpy.f*") == [("numpy.matmul", "numpy.fast")]


def test_no_glob_and_no_full_run_asks_a_backend_twice():
    targets = [target for _, target in names("numpy.*")]
    assert sorted(targets) == ["numpy.channel_loop", "numpy.fast", "numpy.loop"]
    everything = [ref.target for ref in resolve([])]
    assert len(everything) == len(set(everything))


def test_what_takes_long_is_asked_by_its_own_name_only():
    slow = {name for name, one in registered().items() if one.readable and one.declaration.by_name}
    assert slow == {"jax.pallas", "torch.triton"}
    asked = [ref.name for words in ([], ["*"], ["jax.*", "torch.*"], ["jax", "torch"]) for ref in resolve(words)]
    assert "jax.fast" in asked
    assert not slow & set(asked)
    assert [ref.name for ref in resolve(["torch.triton", "jax.pallas"])] == ["torch.triton", "jax.pallas"]


def test_adapters_are_found_by_name_and_alias():
    assert named("numpy.matmul") is named("numpy.fast")
    assert load(resolve(["numpy.matmul"])[0]).declaration.name == "numpy.fast"
    with pytest.raises(AdapterError, match=r"numpy\.matmull"):
        named("numpy.matmull")
