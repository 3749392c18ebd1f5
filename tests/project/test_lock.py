"""`requirements/lock.txt` is installed without a resolver, so this test is the resolver."""

import re
import tomllib
from collections import defaultdict
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.paths import ROOT

LOCK = ROOT / "requirements" / "lock.txt"

STANDS_FOR = {"tensorflow-cpu": "tensorflow"}
"""Distribution that is installed -> the one that requirements name."""

ROOTS = {
    "lcl-ref[all]": "the project",
    "editables": "hatchling asks for it only while it builds an editable install",
}
"""What the lock is the closure of, with the reason."""

BESIDE = [
    ("browser.txt", "dependency-groups", "browser"),
    ("emulator.txt", "dependency-groups", "emulator"),
    ("triton.txt", "optional-dependencies", "triton"),
]
"""File of what a target of the Makefile adds to the lock, and where the project asks for it."""


def group(name):
    """Yield what a dependency group of the project names, and what those it includes do."""
    for entry in tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"][name]:
        if isinstance(entry, str):
            yield entry
        else:
            yield from group(entry["include-group"])


def pins():
    """Return {name: Requirement} of the lines whose marker holds here."""
    lines = [line for line in LOCK.read_text().splitlines() if not line.startswith("#")]
    requirements = [Requirement(line) for line in lines]
    assert len(requirements) > 90
    return {
        canonicalize_name(requirement.name): requirement
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate()
    }


def installed_as(name):
    """Return the name of the installed distribution that satisfies a requirement on `name`."""
    substitutes = {real: stand_in for stand_in, real in STANDS_FOR.items()}
    return substitutes.get(name, name) if substitutes.get(name) in pins() else name


def version(name):
    return distribution(name).version.partition("+")[0]


def closure():
    """Return ({name: requirements on it}, the build backend's included) by walking installed metadata."""
    backend = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    todo = [Requirement(text) for text in (*ROOTS, *group("dev"), *backend)]
    wanted, seen = defaultdict(list), defaultdict(set)
    while todo:
        requirement = todo.pop()
        name = installed_as(canonicalize_name(requirement.name))
        wanted[name].append(requirement)
        fresh = {"", *requirement.extras} - seen[name]
        seen[name] |= fresh
        todo += [child for extra in fresh for child in children(name, extra)]
    del wanted["lcl-ref"]
    return wanted


def children(name, extra):
    """Yield what distribution `name` requires here for `extra` ("" for always)."""
    try:
        texts = distribution(name).requires or []
    except PackageNotFoundError:
        return
    for text in texts:
        requirement = Requirement(text)
        if requirement.marker is None:
            if not extra:
                yield requirement
        elif requirement.marker.evaluate({"extra": extra}):
            yield requirement


def test_the_lock_is_exactly_the_closure_of_the_project():
    locked, wanted = set(pins()), set(closure())
    assert not wanted - locked, f"missing from {LOCK.name}: {sorted(wanted - locked)}"
    assert not locked - wanted, f"no longer needed in {LOCK.name}: {sorted(locked - wanted)}"


def test_every_pin_satisfies_everything_required_of_it():
    clashes = [
        f"{name}=={version(name)} does not satisfy {requirement}"
        for name, requirements in closure().items()
        for requirement in requirements
        if not requirement.specifier.contains(version(name), prereleases=True)
    ]
    assert not clashes, clashes


def test_what_is_installed_is_what_is_pinned():
    wrong = [
        f"{requirement} is pinned, {version(name)} is installed: run `make setup`"
        for name, requirement in pins().items()
        if not requirement.specifier.contains(version(name), prereleases=True)
    ]
    assert not wrong, wrong


def test_every_line_is_one_exact_version():
    lines = [line for line in LOCK.read_text().splitlines() if not line.startswith("#")]
    pattern = re.compile(r'[a-z0-9-]+==[\w.]+(; sys_platform (==|!=) "\w+")?')
    assert [line for line in lines if not pattern.fullmatch(line)] == []
    names = [line.partition("==")[0] for line in lines]
    assert names == sorted(set(names))


@pytest.mark.parametrize(("file", "table", "name"), BESIDE)
def test_what_some_tests_add_is_pinned_as_the_project_asks(file, table, name):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lines = (ROOT / "requirements" / file).read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    asked = {
        requirement.name: requirement for requirement in map(Requirement, (project | project["project"])[table][name])
    }
    assert asked.keys() <= pinned.keys()
    assert [name for name, one in asked.items() if not one.specifier.contains(pinned[name])] == []
    assert not pinned.keys() & pins().keys()
