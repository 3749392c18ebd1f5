"""Pictures of cases on the site: drawn beside a clause when its part is opened, gone when it is closed."""

import pytest

from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from tools import case_pictures

pytestmark = pytest.mark.browser

PAGE = (
    '<!doctype html><html lang="en"><link rel="icon" href="data:,"><link rel="stylesheet" href="assets/cases.css">'
    '<script src="assets/cases.js"></script>{body}</html>'
)


def test_a_clause_is_seen_in_its_cases(visit, tmp_path):
    text = "**1.6** A window.\n\n**13.1** Open.\n"
    body, shown = case_pictures.pictured(text, list(Store(default_root()).entries.values()))
    case_pictures.write_assets(tmp_path, shown)
    (tmp_path / "page.html").write_text(PAGE.format(body=body))
    page = visit(390).open(tmp_path / "page.html")
    drawings, part = page.locator(".drawing"), page.locator("details.lcl-cases")
    assert (part.count(), drawings.count()) == (1, 0)
    part.locator("summary").click()
    drawings.first.wait_for()
    assert drawings.count() > len(shown)
    assert page.locator(".drawing .read").count() > 0
    links = page.locator(".lcl-cases a").evaluate_all("(all) => all.map((one) => one.getAttribute('href'))")
    assert links == [(tmp_path / "explorer.html").as_uri() + f"#{name}" for name in shown]
    read = page.locator(".drawing").first.get_attribute("aria-label")
    page.locator("input[type=range]").first.fill("0")
    assert page.locator(".drawing").first.get_attribute("aria-label") != read
    part.locator("summary").click()
    page.wait_for_function("document.querySelectorAll('.drawing').length === 0")
