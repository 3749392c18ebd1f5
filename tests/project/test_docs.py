"""Generated parts of the documentation are what the code generates."""

import pytest

from tests.support.paths import ROOT
from tools import tables


def test_generated_parts_have_not_drifted():
    made = tables.pages(ROOT)
    drifted = [page.name for page, text in made.items() if page.read_text(encoding="utf-8") != text]
    assert drifted == [], "run `python -m tools.tables`"


def test_a_page_without_markers_is_an_error():
    with pytest.raises(ValueError, match="no markers of 'backends'"):
        tables.refreshed("# a page", "backends", "| a table |")
