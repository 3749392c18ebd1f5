"""Every relative link of every page leads to a file that is there, and to a heading that is there."""

import re

import pytest

from tests.support.paths import ROOT

LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:)([^)\s#]*)(?:#([^)\s]+))?\)")
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`[^`\n]*`")
PAGES = sorted(
    path
    for folder in ("", "docs/**/", "backends/**/", "tests/**/", "examples/**/", "conformance_data/")
    for path in ROOT.glob(f"{folder}*.md")
)


def anchors(text):
    """Return the names by which the headings of a page are linked to, as GitHub makes them."""
    titles = re.findall(r"^#+ +(.+)$", FENCED.sub("", text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.replace("`", "").lower()).replace(" ", "-") for title in titles}


def broken(page, text):
    """Return the links of a page that lead nowhere."""
    found = []
    for target, heading in LINK.findall(INLINE.sub("", FENCED.sub("", text))):
        path = page.parent / target if target else page
        if not path.exists():
            found.append(target)
        elif heading and heading not in anchors(path.read_text(encoding="utf-8")):
            found.append(f"{target}#{heading}")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_hold(page):
    assert broken(page, page.read_text(encoding="utf-8")) == []


def test_the_test_above_sees_broken_links():
    page = ROOT / "README.md"
    text = "[a](no-such.md) [b](SPEC.md#no-such-heading) [c](README.md#three-doors) `[d](x)`\n\n## Three doors\n"
    assert broken(page, text) == ["no-such.md", "SPEC.md#no-such-heading"]
