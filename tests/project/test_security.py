"""The table of SECURITY.md names means and tests that are there."""

import re

import pytest

from tests.support.paths import ROOT

PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([a-z].*?) \| (.*?) \| (.*?) \|$", PAGE, re.MULTILINE)[1:]
NAMED = re.compile(r"\]\((tests/\S+\.py)\)((?:[, ]*`\w+`)+)")


def named(cell):
    """Return file and name of each test in a cell of the table."""
    return [(file, name) for file, names in NAMED.findall(cell) for name in re.findall(r"`(\w+)`", names)]


@pytest.mark.parametrize("row", ROWS, ids=[kind for kind, *_ in ROWS])
def test_every_kind_of_harm_has_its_means_and_tests_that_are_there(row):
    _, means, tests = row
    assert re.search(r"\]\(lcl_ref/\S+\.py\)", means)
    assert named(tests)
    for file, name in named(tests):
        assert f"\ndef {name}(" in (ROOT / file).read_text(encoding="utf-8"), name


def test_the_table_is_read():
    assert len(ROWS) > 10
    assert named("[a.py](tests/a.py) `one`, `two`, [b.py](tests/b.py) `three`") == [
        ("tests/a.py", "one"),
        ("tests/a.py", "two"),
        ("tests/b.py", "three"),
    ]
