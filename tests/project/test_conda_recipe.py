"""The conda recipe says of the package what pyproject.toml says (`make package` renders it)."""

import tomllib

import yaml
from packaging.requirements import Requirement

import lcl_ref
from tests.support.paths import ROOT

RECIPE = yaml.safe_load((ROOT / "recipe" / "recipe.yaml").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def read(lines):
    """Return {name: its versions} of requirements as conda writes them."""
    parts = [line.partition(" ") for line in lines]
    return {name: set(versions.split(",")) for name, _, versions in parts}


def test_it_is_of_this_version_and_summary():
    assert RECIPE["context"]["version"] == lcl_ref.__version__
    assert RECIPE["about"]["summary"] == PROJECT["project"]["description"]
    assert RECIPE["about"]["license"] == PROJECT["project"]["license"]
    entry = PROJECT["project"]["scripts"]["lcl"]
    assert RECIPE["build"]["python"]["entry_points"] == [f"lcl = {entry}"]


def test_it_needs_what_the_package_needs():
    wanted = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
    run = read(RECIPE["requirements"]["run"])
    assert f">={RECIPE['context']['python_min']}" == PROJECT["project"]["requires-python"]
    assert run.pop("python") == {">=${{ python_min }}"}
    assert run == {one.name: set(str(one.specifier).split(",")) for one in wanted}
    backend = Requirement(PROJECT["build-system"]["requires"][0])
    assert read(RECIPE["requirements"]["host"])["hatchling"] == set(str(backend.specifier).split(","))
