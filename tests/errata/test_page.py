"""The source documents are covered: rows are registered and conform, errata have tests, tests name errata."""

from itertools import pairwise

from lcl_ref.suite.run.registered import registered
from tests.support.paths import ROOT
from tools import seeds, seeds_page

TESTS = seeds_page.tests_of_errata(ROOT / "tests" / "errata")


def test_every_row_is_a_registered_adapter():
    assert {name for row in seeds.ROWS for name in row.adapters} <= set(registered())
    assert [row.id for row in seeds.ROWS] == [f"R{number}" for number in range(1, 21)]


def test_every_adapter_of_a_row_declares_cells():
    """A row that supports no case of the catalogue conforms to nothing."""
    from lcl_ref.suite.cases.catalogue import CASES

    for name in {name for row in seeds.ROWS for name in row.adapters}:
        can = registered()[name].load().declaration.capabilities
        supported = [case.id for case in CASES if can.refusal(case.spec, "float32", "forward", case.tags) is None]
        assert supported, name


def test_every_snippet_became_a_row_and_every_row_but_the_general_ones_comes_from_one():
    known = {row.id for row in seeds.ROWS}
    used = {row for snippet in seeds.SNIPPETS for row in snippet.rows}
    assert used <= known
    assert known - used == {"R8", "R14", "R17", "R18", "R19", "R20"}


def test_every_erratum_has_a_test_and_every_test_an_erratum():
    assert set(TESTS) == set(seeds.ERRATA)
    assert [name for name, tests in TESTS.items() if not tests] == []


def test_errata_are_numbered_without_gaps_and_belong_to_a_row():
    letters = {letter: [int(name[1:]) for name in seeds.ERRATA if name[0] == letter] for letter in "ABCDX"}
    assert {letter: numbers[-1] for letter, numbers in letters.items()} == {"A": 8, "B": 14, "C": 10, "D": 7, "X": 4}
    assert all(later == earlier + 1 for numbers in letters.values() for earlier, later in pairwise(numbers))
    assert {name for row in seeds.ROWS for name in row.errata} == set(seeds.ERRATA)


def test_errata_of_a_snippet_are_those_of_its_rows_or_of_its_text():
    """X2 is of frameworks only, which no document quotes; lost indentation and imports belong to texts."""
    of_rows = {row.id: set(row.errata) for row in seeds.ROWS}
    for snippet in seeds.SNIPPETS:
        known = set().union(*(of_rows[row] for row in snippet.rows))
        assert set(snippet.errata) - known <= {"B1"}, snippet.id
    assert set(seeds.ERRATA) - {name for snippet in seeds.SNIPPETS for name in snippet.errata} == {"X2"}
