"""The page of a case in a browser: what follows from its fields is what the library says; sums are golden numbers."""

import pytest

from lcl_ref.core.spec import Spec
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from tests.support.programs import lcl

pytestmark = pytest.mark.browser

CASE = "2d/padding/same-upper-stride"


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """Write the page of a case."""
    path = tmp_path_factory.mktemp("case") / "case.html"
    assert lcl("explain", CASE, "--html", path).returncode == 0
    return path


def test_shapes_and_counts_of_every_case_are_those_of_the_library(visit, case):
    page = visit().open(case)
    specs = [Spec.from_dict(entry["spec"]) for entry in Store(default_root()).entries.values()]
    specs = [spec for spec in specs if spec.parameter_count < 100_000]
    assert len(specs) > 400
    sizes = "(all) => Object.fromEntries(Object.entries(all).map(([name, shape]) => [name, shape.map((it) => it[1])]))"
    found = page.evaluate(
        f"(specs) => specs.map((spec) => [({sizes})(shapesOf(layerOf(spec), 3)), countsOf(layerOf(spec)), "
        "Array.from({ length: spec.out_channels }, (_, f) => channelsOf(layerOf(spec), f))])",
        [spec.to_dict() for spec in specs],
    )
    for spec, (shapes, counts, channels) in zip(specs, found, strict=True):
        right = {**spec.operand_shapes(3), "y": spec.y_shape(3)}
        assert {name: tuple(shape) for name, shape in shapes.items()} == {name: right[name] for name in shapes}
        assert shapes.keys() == right.keys() - {"dy"}
        assert [*counts.values()] == [spec.parameter_count, spec.connection_count, spec.fan_in]
        assert channels == spec.channels.tolist()


def test_a_sum_ends_in_the_golden_number_and_its_terms_add_up_to_it(visit, case):
    page = visit().open(case)
    page.fill("[name=n]", "1")
    page.fill("[name=co]", "2")
    for slider in page.locator("#sees input[type=range]").all():
        slider.fill(slider.get_attribute("max"))
    lines = page.inner_text("#sum").splitlines()
    golden = Store(default_root()).arrays(CASE)["y"][1, 2, 5, 2]
    assert lines[0] == "y[1, 2, 5, 2]"
    assert lines[-1] == f"  = {golden}"
    terms = "termsOf(layerOf(shown.spec), shown.batch, 1, [2, 5], 2)"
    assert page.evaluate(f"{terms}.reduce((sum, term) => sum + term.value, 0)") == golden
    assert any("in the padding" in line for line in lines)


def test_a_changed_field_changes_the_shapes_and_a_wrong_one_is_said(visit, case):
    page = visit().open(case)
    before = page.inner_text("#shapes")
    page.fill("[name=stride]", "1")
    assert page.inner_text("#shapes") != before
    assert "fields are others" in page.inner_text("#sum")
    page.fill("[name=groups]", "2000")
    assert page.inner_text("#said").startswith("groups: 2000 do not divide in_channels")
    page.fill("[name=kernel_size]", "x")
    assert page.inner_text("#said") == 'kernel_size: a whole number from 1 to 999999, not "x"'
    page.click("#again")
    assert (page.inner_text("#said"), page.inner_text("#shapes")) == ("", before)


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1600, "light")])
def test_it_fits_and_axe_finds_nothing(visit, case, axe, width, scheme):
    page = visit(width, scheme=scheme).open(case)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert axe(page) == []


def test_a_page_of_many_cases_shows_the_one_that_its_address_names(visit, axe, tmp_path):
    assert lcl("explain", "[23]d/[ps]*/*", "--html", tmp_path / "all.html").returncode == 0
    visitor = visit(390)
    page = visitor.open(tmp_path / "all.html", f"#{CASE}")
    assert page.input_value("#case") == CASE
    assert page.inner_text("#why").startswith("catches")
    assert page.input_value("[name=stride]") == "3, 2"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert axe(page) == []
    page.select_option("#case", "3d/shared/first-axis")
    page.wait_for_function("location.hash === '#3d/shared/first-axis'")
    assert page.input_value("[name=shared]") == "yes, no, no"
    page.go_back()
    page.wait_for_function(f"document.getElementById('case').value === '{CASE}'")


def test_what_is_no_case_is_one_line(tmp_path):
    for word in ("nosuch/*", "memory/fortran"):
        done = lcl("explain", word, "--html", tmp_path / "x.html")
        assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1)
        assert not (tmp_path / "x.html").exists()
