"""The page of a report in a browser: at every width, by address, by keyboard, in the dark, with hostile texts."""

import json
import re

import numpy as np
import pytest

from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.judge.bounds import Magnitude
from lcl_ref.suite.judge.compare import Expected, Mismatch, check
from lcl_ref.suite.report.pages.report import page as page_of
from tests.support.reports import hostile, whole_core

pytestmark = pytest.mark.browser

WRONG = "2d/plain/tall-kernel"


def rows(page):
    return page.locator("#matrix tbody tr")


@pytest.mark.parametrize("width", [360, 390, 1024, 1600, 2000])
def test_the_page_fits_any_width(visit, folder, width):
    visitor = visit(width)
    page = visitor.open(folder / "r.html", "#cells")
    rows(page).first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page = visitor.open(folder / "r.html", f"#wrong.py/{WRONG}/forward/float32")
    page.locator("dialog svg.drawing").first.wait_for()
    assert page.evaluate("document.querySelector('dialog').scrollWidth") <= width


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1024, "dark"), (1600, "light")])
def test_axe_finds_nothing(visit, folder, axe, width, scheme):
    visitor = visit(width, scheme=scheme)
    page = visitor.open(folder / "r.html", "#cells")
    rows(page).first.wait_for()
    assert axe(page) == []
    page = visitor.open(folder / "r.html", f"#wrong.py/{WRONG}/forward/float32")
    page.locator("dialog svg.drawing").first.wait_for()
    assert axe(page) == []


def test_axe_would_see_what_cannot_be_read(visit, folder, axe):
    page = visit().open(folder / "r.html")
    page.evaluate("document.querySelector('h1').style.color = '#ddd'")
    assert [rule for rule, _ in axe(page)] == ["color-contrast"]


def test_filters_leave_what_they_name_and_the_address_keeps_them(visit, folder):
    visitor = visit()
    page = visitor.open(folder / "r.html", "#cells")
    rows(page).first.wait_for()
    before = rows(page).count()
    page.fill("[name=case]", "2d/groups/*")
    assert 0 < rows(page).count() < before
    page.select_option("[name=state]", "deviates")
    assert page.locator("#matrix thead th").all_inner_texts()[1:] != []
    assert page.locator("#matrix a.pass, #matrix a.unsupported").count() == 0
    page.select_option("[name=op]", "forward")
    page.select_option("[name=dtype]", "float64")
    page.select_option("[name=rank]", "2")
    page.select_option("[name=setting]", "groups")
    left = rows(page).all_inner_texts()
    again = visitor.open(folder / "r.html", page.evaluate("location.hash"))
    assert rows(again).all_inner_texts() == left
    page.click("text=Clear")
    page.wait_for_function(f"document.querySelectorAll('#matrix tbody tr').length === {before}")
    assert page.evaluate("location.hash") == "#cells"


def test_the_count_is_that_of_the_report(visit, folder):
    page = visit().open(folder / "r.html", "#?backend=numpy.loop")
    report = json.loads((folder / "r.json").read_text())
    mine = [row["state"] for row in report["outcomes"] if row["backend"] == "numpy.loop"]
    assert f"{mine.count('pass'):,} conform" in page.inner_text("#count")


def test_an_address_opens_what_was_asked_what_came_and_the_picture(visit, folder):
    page = visit().open(folder / "r.html", f"#wrong.py/{WRONG}/forward/float32")
    text = page.inner_text("dialog")
    report = json.loads((folder / "r.json").read_text())
    row = next(
        one for one in report["outcomes"] if (one["case"], one["op"], one["dtype"]) == (WRONG, "forward", "float32")
    )
    place, got, expected = re.search(r"y: \[(.*)\] got (\S+), expected (\S+);", row["message"]).groups()
    assert f"y[{place}]" in text
    assert got in text
    assert expected in text
    assert "catches" in text
    assert "every bit must agree" in text
    assert f"lcl run -b wrong.py -c {WRONG} --op forward --dtype float32" in text
    assert page.locator("dialog svg.drawing .read").count() > 0
    assert page.locator("dialog svg.drawing .mark").count() == 1
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    assert page.evaluate("location.hash") == "#cells"


def test_the_picture_shows_the_window_of_the_chosen_position(visit, folder):
    page = visit().open(folder / "r.html", "#numpy.loop/2d/padding/same-upper-stride/forward/float32")
    spec = page.evaluate("data.cases.find((one) => one.id === '2d/padding/same-upper-stride').spec")
    taps = int(np.prod(spec["kernel_size"]))
    planes = page.locator("dialog svg.drawing").first
    for slider in page.locator("dialog input[type=range]").all():
        slider.fill("0")
    seen = planes.locator("g").first
    assert seen.locator(".read").count() + seen.locator(".padding").count() == taps
    assert "Output position 0, 0." in planes.get_attribute("aria-label")


@pytest.mark.parametrize(("result", "kind"), [("dx", "site"), ("dw", "tap")])
def test_an_element_of_a_gradient_is_marked_in_the_input(visit, folder, result, kind):
    place = {"dx": "n=0, iy=2, ix=1, ci=0", "dw": "oy=1, ox=0, ky=1, kx=0, cg=0, co=0"}[result]
    page = visit().open(folder / "r.html", "#cells")
    layer = "layerOf(data.cases.find((one) => one.id === '2d/padding/same-upper-stride').spec)"
    message = f"{result}: [{place}] got 1.0, expected 2.0; 1 of 2 elements wrong; limit 0.5, error 2 of the limit"
    found = page.evaluate(f"(message) => whereIs({layer}, elementOf(message))", message)
    spec = page.evaluate("data.cases.find((one) => one.id === '2d/padding/same-upper-stride').spec")
    read = [
        at * stride + tap * dilation - lo
        for at, tap, stride, dilation, (lo, _) in zip(
            (1, 0), (1, 0), spec["stride"], spec["dilation"], spec["padding"], strict=True
        )
    ]
    assert found["site"] == {"site": [2, 1], "tap": read}[kind]


def test_the_place_of_a_wrong_element_is_read_as_the_judge_writes_it(visit, folder):
    golden, got = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), np.array([[1.0, 2.0], [3.5, 4.0]], np.float32)
    form = FORMATS["float32"]
    size = Magnitude(np.full((2, 2), 8.0), np.full((2, 2), 3))
    page = visit().open(folder / "r.html")
    for exact, limit in ((True, False), (False, True)):
        with pytest.raises(Mismatch) as found:
            check(Expected("y", golden, "float32", ("n", "co"), exact, form, lambda: size), got)
        element = page.evaluate("elementOf", str(found.value))
        assert element["index"] == {"n": 1, "co": 0}
        assert (element["got"], element["expected"], element["wrong"], element["of"]) == ("3.5", "3.0", "1", "4")
        assert (element["limit"] is not None) == limit
        assert element["rest"] == ""


def test_cells_are_reached_by_keyboard(visit, folder):
    page = visit().open(folder / "r.html", "#?backend=wrong.py")
    page.locator("#matrix a[tabindex='0']").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    target = page.evaluate("document.activeElement.getAttribute('href')")
    assert page.locator("#matrix a[tabindex='0']").count() == 1
    page.keyboard.press("Enter")
    page.locator("dialog[open]").wait_for()
    assert page.evaluate("location.hash") == target
    assert page.evaluate("document.querySelector('dialog').contains(document.activeElement)")


def test_colours_follow_the_system_and_the_switch(visit, folder):
    ground = "getComputedStyle(document.body).backgroundColor"
    page = visit(scheme="dark").open(folder / "r.html")
    dark = page.evaluate(ground)
    page.click("#theme")
    assert page.evaluate(ground) == "rgb(255, 255, 255)" != dark
    page.click("#theme")
    assert page.evaluate(ground) == dark


def test_a_command_is_copied(visit, folder):
    page = visit(permissions=["clipboard-read", "clipboard-write"]).open(
        folder / "r.html", f"#wrong.py/{WRONG}/vjp/float32"
    )
    page.locator("dialog button", has_text="Copy").first.click()
    page.locator("dialog button", has_text="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == f"lcl run -b wrong.py -c {WRONG} --op vjp --dtype float32"


def test_without_scripts_the_core_is_there(visit, folder):
    page = visit(390, java_script_enabled=False).open(folder / "r.html")
    assert page.locator("#overview").is_visible()
    assert not page.locator("#cells").is_visible()
    assert "need JavaScript" in page.inner_text("main")
    assert page.locator("#wrong details").count() > 0


@pytest.mark.parametrize("state", ["fail", "unsupported"])
def test_hostile_texts_neither_run_nor_become_elements(visit, tmp_path, axe, state):
    (tmp_path / "hostile.html").write_text(page_of(hostile(state)))
    visitor = visit()
    page = visitor.open(tmp_path / "hostile.html", "#cells")
    rows(page).first.wait_for()
    for address in page.locator("#matrix a").evaluate_all("links => links.map((link) => link.getAttribute('href'))"):
        page.evaluate("(address) => { location.hash = address; }", address)
        page.locator("dialog[open]").wait_for()
    assert page.evaluate("window.broken === undefined")
    assert page.locator("img, svg[onload], [onmouseover]").count() == 0
    assert axe(page) == []
    page = visitor.open(tmp_path / "hostile.html", "#%E0%A4%A/x/forward/float32")
    assert page.locator("dialog[open]").count() == 0


def test_a_report_of_every_backend_is_small_and_opens_in_less_than_a_second(visit, tmp_path):
    (tmp_path / "core.html").write_text(page_of(whole_core()))
    assert (tmp_path / "core.html").stat().st_size < 2_000_000
    visitor, took = visit(), []
    for _ in range(5):  # the machine may be busy with other tests: the quickest says what the page takes
        page = visitor.open(tmp_path / "core.html")
        page.wait_for_function("performance.getEntriesByType('navigation')[0].loadEventEnd > 0")
        took.append(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
    assert min(took) < 1000
    page.evaluate("document.getElementById('cells').scrollIntoView()")
    rows(page).first.wait_for()
    assert page.locator("#matrix thead th").count() > 50
    too_high = "[...document.querySelectorAll('#matrix a')].filter((cell) => cell.scrollHeight > cell.clientHeight)"
    assert page.evaluate(f"{too_high}.length") == 0
