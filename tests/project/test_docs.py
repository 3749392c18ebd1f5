"""Generated parts of the documentation are what the code generates, and links lead somewhere."""

import re

import pytest

from tests.support.paths import ROOT
from tools import tables

PAGES = sorted(ROOT.glob("*.md")) + [
    page for name in ("docs", "examples", "backends", "tests") for page in sorted((ROOT / name).rglob("*.md"))
]
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")


def test_generated_parts_have_not_drifted():
    made = tables.pages(ROOT)
    drifted = [page.name for page, text in made.items() if page.read_text(encoding="utf-8") != text]
    assert drifted == [], "run `python -m tools.tables`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page):
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_a_page_without_markers_is_an_error():
    with pytest.raises(ValueError, match="no markers of 'backends'"):
        tables.refreshed("# a page", "backends", "| a table |")
