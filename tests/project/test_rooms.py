"""Which room of the house may import which: one table, and nothing that no door leads to."""

import ast
import functools
import graphlib
import tomllib

import pytest

from tests.support.paths import ROOT

PACKAGES = {"lcl_ref": ROOT, "lcl_backends": ROOT / "backends", "tools": ROOT}

LIBRARY = {
    "lcl_ref.errors": "",
    "lcl_ref.outside": "errors",
    "lcl_ref.core": "errors",
    "lcl_ref.api": "core errors",
    "lcl_ref.layouts": "core extensions errors",
    "lcl_ref.initialisers": "core layouts errors",
    "lcl_ref.files": "core layouts outside errors",
    "lcl_ref.layers": "core extensions layouts files errors",
    "lcl_ref.porting": "core layouts files layers errors",
    "lcl_ref.extensions": "core api errors",
}
"""Room -> the rooms of the library that it may import."""

SUITE = {
    "lcl_ref.suite.formats": "",
    "lcl_ref.suite.to_numpy": "",
    "lcl_ref.suite.native_views": "",
    "lcl_ref.suite.schema": "",
    "lcl_ref.suite.adapter": "core",
    "lcl_ref.suite.cases": "core errors",
    "lcl_ref.suite.golden": "core api extensions errors",
    "lcl_ref.suite.judge": "core",
    "lcl_ref.suite.checks": "core errors",
    "lcl_ref.suite.exec": "core errors",
    "lcl_ref.suite.run": "core errors",
    "lcl_ref.suite.diagnosis": "core api errors",
    "lcl_ref.suite.report": "core errors",
    "lcl_ref.suite.machines": "core errors",
    "lcl_ref.suite.validation": "core api errors",
    "lcl_ref.suite.identities": "core api errors",
    "lcl_ref.suite.port_check": "core layouts files porting errors",
    "lcl_ref.suite.reproducibility": "core",
    "lcl_ref.bench": "core errors",
    "lcl_ref.suite.scheduling": "",
    "lcl_ref.suite.plugin": "errors",
    "lcl_ref.suite.testing": "errors",
    "lcl_ref.suite.judgement": "errors",
    "lcl_ref.testing": "",
    "lcl_ref.suite.test_conformance": "",
    "lcl_ref.cli": "core layouts files errors",
}
"""The suite from the ground up: a room may import every room above it in this table, `outside`, and these."""

BESIDE = {
    "lcl_ref.suite.validation",
    "lcl_ref.suite.identities",
    "lcl_ref.suite.port_check",
    "lcl_ref.suite.reproducibility",
    "lcl_ref.bench",
}
"""Rooms on one floor: none of them imports another."""

ADAPTERS = "lcl_ref.core lcl_ref.layouts lcl_ref.layers lcl_ref.errors lcl_ref.suite.adapter lcl_ref.suite.formats"


def table():
    """Return room -> the rooms it may import; `lcl_ref` itself is a door that the suite takes the version from."""
    rooms = {room: {f"lcl_ref.{name}" for name in names.split()} for room, names in LIBRARY.items()}
    below = {"lcl_ref", "lcl_ref.outside"}
    for room, names in SUITE.items():
        beside = BESIDE if room in BESIDE else set()
        rooms[room] = below - beside | {f"lcl_ref.{name}" for name in names.split()}
        below = below | {room}
    rooms["lcl_ref"] = {"lcl_ref.api", "lcl_ref.core", "lcl_ref.errors", "lcl_ref.initialisers", "lcl_ref.layouts"}
    rooms["lcl_ref.__main__"] = {"lcl_ref.cli"}
    rooms["lcl_ref.suite"] = set()
    rooms["lcl_backends.support"] = {*ADAPTERS.split(), "lcl_ref.suite.native_views", "lcl_ref.suite.to_numpy"}
    rooms["lcl_backends"] = {*ADAPTERS.split(), "lcl_backends.support"}
    return rooms


ROOMS = table()


@functools.cache
def modules():
    """Return every module of the repository's packages with its file."""
    found = {}
    for package, base in PACKAGES.items():
        for path in sorted((base / package).rglob("*.py")):
            found[".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")] = path
    return found


@functools.cache
def nodes_of(module, *, types=True):
    """Return the nodes of a module; with `types` false, those for the type checker alone are left out."""
    found, waiting = [], [ast.parse(modules()[module].read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and not types:
            waiting += node.orelse
            continue
        found.append(node)
        waiting += ast.iter_child_nodes(node)
    return found


@functools.cache
def imports_of(module, *, types=True):
    """Return the modules of the repository that a module imports, wherever in it."""
    names = set()
    for node in nodes_of(module, types=types):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in modules() else node.module for name in inside}
    return {name for name in names if name.partition(".")[0] in PACKAGES} - {module}


def room_of(module):
    """Return the room a module stands in: the longest of the table's names that it starts with."""
    return max((room for room in ROOMS if f"{module}.".startswith(f"{room}.")), key=len)


def upward(module):
    """Return what is wrong with the imports of a module, a line each."""
    room = room_of(module)
    return [
        f"{module} imports {name}: {room} may import only {', '.join(sorted(ROOMS[room])) or 'nothing'}"
        for name in sorted(imports_of(module))
        if name.startswith("tools") or room_of(name) not in {room, *ROOMS[room]}
    ]


SHIPPED = [module for module in modules() if not module.startswith("tools")]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_the_table_says(room):
    wrong = [line for module in SHIPPED if room_of(module) == room for line in upward(module)]
    assert not wrong, "\n".join(wrong)


def test_every_room_of_the_table_is_there():
    assert ROOMS.keys() <= modules().keys()


def test_no_module_stands_in_two_families_of_adapters():
    """A framework's adapters share code through `lcl_backends.support`, never with another framework's."""
    family = {module: module.split(".")[1] for module in SHIPPED if module.startswith("lcl_backends.")}
    crossed = [
        f"{module} imports {name}"
        for module in family
        for name in imports_of(module)
        if name in family and family[name] not in ("support", family[module]) and family[module] != "layers"
    ]
    assert not crossed, crossed


def test_modules_import_each_other_in_no_circle():
    graph = {module: imports_of(module, types=False) for module in modules()}
    graphlib.TopologicalSorter(graph).prepare()


def doors():
    """Return the modules that users and other processes start at."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["scripts"], *project["entry-points"].values()]
    named = {target.partition(":")[0] for group in groups for target in group.values()}
    public = ("lcl_backends", "lcl_backends.layers", "lcl_ref.layers", "lcl_ref.extensions", "lcl_ref.porting")
    # A provider of backends gives what the modules of its package define.
    offered = {module for module in SHIPPED if module.rpartition(".")[0] in {*public, *named} and "._" not in module}
    return {"lcl_ref", "lcl_ref.__main__", "lcl_ref.testing", "lcl_ref.suite.test_conformance"} | named | offered


def leads_to(module):
    """Return the modules that a module imports or names in a string, as it does for one that it starts."""
    texts = {node.value for node in nodes_of(module) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    parents = {module.rpartition(".")[0]} - {""}
    return imports_of(module) | (texts & modules().keys()) | parents


def test_a_door_leads_to_every_module_of_the_wheel():
    reached, waiting = set(), sorted(doors())
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting += leads_to(module)
    assert sorted(set(SHIPPED) - reached) == []


def test_reference_and_dense_oracle_share_no_geometry():
    name = "lcl_ref.core.dense_oracle"
    assert imports_of(name) == {"lcl_ref.core.spec"}
    text = modules()[name].read_text()
    derived = ("output_size", "group_channels", "weight_size", "weight_shape", "fan_in", "channels")
    assert not [one for one in derived if f"spec.{one}" in text]
