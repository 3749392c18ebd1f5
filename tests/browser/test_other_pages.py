"""The pages beside a report's, in a browser: two reports, a history, the kill matrix."""

import json

import pytest

from lcl_ref.suite.report.document import sealed
from tests.support.programs import lcl

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def mended(folder):
    """Mend the wrong layer, run it again, and make the pages of both reports."""
    (folder / "reports").mkdir()
    first = json.loads((folder / "r.json").read_text())
    first = {name: value for name, value in first.items() if name != "seal"} | {"date": "2026-01-01T00:00:00+00:00"}
    (folder / "reports" / "first.json").write_text(json.dumps(sealed(first)))
    text = (folder / "wrong.py").read_text()
    (folder / "wrong.py").write_text(text.replace("y = y[:, ::-1]", "pass"))
    words = ["-c", "[0123]d/plain/*", "-c", "2d/groups/*", "--no-diagnose", "--json", "reports/second.json"]
    assert lcl("run", "-b", "wrong.py", *words, cwd=folder).returncode == 1
    done = lcl("report", "diff", "reports/first.json", "reports/second.json", "--html", "diff.html", cwd=folder)
    assert done.returncode == 1, done.stderr
    assert lcl("report", "history", "reports", "--html", "history.html", cwd=folder).returncode == 0
    return folder


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1600, "light")])
@pytest.mark.parametrize("name", ["diff", "history"])
def test_pages_fit_and_axe_finds_nothing(visit, mended, axe, name, width, scheme):
    page = visit(width, scheme=scheme).open(mended / f"{name}.html")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert axe(page) == []


def test_two_reports_are_compared_cell_by_cell(visit, mended):
    visitor = visit()
    page = visitor.open(mended / "diff.html")
    assert "fixed" in page.inner_text(".figures")
    before = page.locator(".listed:visible").count()
    page.fill("[name=words]", "tall-kernel float64")
    left = page.locator(".listed:visible")
    assert 0 < left.count() < before
    assert page.inner_text("#count") == f"{left.count()} of {before} cells"
    address = "wrong.py/2d/plain/tall-kernel/forward/float64"
    page = visitor.open(mended / "diff.html", f"#{address}")
    opened = page.locator(".listed[open]")
    assert opened.get_attribute("id") == address
    assert "before: y: [" in opened.inner_text()


def test_a_history_names_what_changed(visit, mended):
    page = visit().open(mended / "history.html")
    assert page.locator("thead th").all_inner_texts()[2].split() == ["2026-01-01", "first"]
    page.locator("summary", has_text="fixed").click()
    assert "wrong.py 2d/plain/tall-kernel forward float64" in page.inner_text("#changes")


def test_the_kill_matrix_says_what_a_case_makes_of_a_deviation(visit, axe, tmp_path):
    words = ["-c", "1d/plain/*", "-c", "2d/plain/*", "--html", "m.html"]
    assert lcl("mutants", *words, cwd=tmp_path).returncode == 0
    for width, scheme in ((390, "dark"), (1600, "light")):
        page = visit(width, scheme=scheme).open(tmp_path / "m.html")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert axe(page) == []
    page.select_option("[name=deviation]", label="taps/flipped")
    page.select_option("[name=case]", label="1d/plain/odd-kernel")
    assert page.inner_text("#said").startswith("forward: seen: the comparison rejects it; vjp: seen")
    page.fill("[name=words]", "upside-no-such-word")
    assert page.locator("tr.listed:visible").count() == 0
