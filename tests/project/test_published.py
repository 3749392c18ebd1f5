"""Adapters of published layers: the table, the findings and the pins belong together; what needs no package is run."""

import importlib.util
import re

import pytest

from lcl_ref.bench import published
from tests.support.marks import quick
from tests.support.paths import ROOT
from tests.support.programs import lcl

FOLDER = ROOT / "benchmarks" / "published"


@pytest.fixture(scope="module")
def run():
    """Load the script behind `make published`."""
    spec = importlib.util.spec_from_file_location("published_run", FOLDER / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows():
    """Return {layer: cells} of the table on the page."""
    text = (ROOT / "docs" / "published.md").read_text()
    table = text.partition("<!-- written by `make published` -->")[2].partition("<!-- end -->")[0]
    lines = [line.strip("| ").split(" | ") for line in table.strip().splitlines()[2:]]
    return {cells[0].strip("`"): cells for cells in lines}


def test_the_table_has_a_row_per_adapter(run):
    assert list(rows()) == [ref.name for ref in published.refs()]
    modules = {word.partition(":")[0] for word in run.FILES.values()}
    assert modules == {path.name for path in FOLDER.glob("*_layer*.py")}


def test_every_deviation_has_its_reproducer(run):
    deviating = {name for name, cells in rows().items() if not cells[-1].startswith("conforms")}
    assert deviating == run.KNOWN.keys()
    found = (ROOT / "docs" / "found.md").read_text()
    for name in deviating:
        assert re.search(rf"^## .*{name.rpartition('.')[2]}", found, re.MULTILINE)


def test_what_conforms_was_asked_something():
    for name, (_, _, asked, conform, _, verdict) in rows().items():
        assert int(asked) >= 12, name
        assert (asked == conform) == verdict.startswith("conforms"), name


def test_packages_are_pinned():
    lines = [line for line in (FOLDER / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[a-z-]+==[\d.]+", line)] == []
    assert {"mhcflurry", "dagma", "xlstm", "eir-dl", "tabm", "einops"} <= {line.partition("==")[0] for line in lines}


@pytest.mark.parametrize("name", quick(["Square", "Line"]))
def test_the_idioms_of_the_forum_conform(name):
    done = lcl("run", "-b", f"{FOLDER / 'forum_layers.py'}:{name}", "--tier", "core", "--jobs", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^[1-9]\d* pass, 0 fail, 0 error", done.stdout, re.MULTILINE)
