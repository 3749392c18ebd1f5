"""tools/site.py: what becomes of links and clauses on the site; that every link holds is checked by `make docs`."""

import re

import yaml

from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from tests.support.paths import ROOT
from tools import case_pictures, site


def test_links_to_code_lead_into_the_repository_or_are_words(tmp_path, monkeypatch):
    monkeypatch.setattr(site, "PAGES", tmp_path)
    (tmp_path / "SPEC.md").touch()
    text = "[spec](SPEC.md#1-geometry) [`core`](lcl_ref/core/) [a](https://example.org)\n\n```\n[kept](as/code)\n```\n"
    page = ROOT / "README.md"
    assert site.linked(text, page, "") == text.replace("[`core`](lcl_ref/core/)", "`core`")
    assert "[`core`](https://x.org/y/blob/main/lcl_ref/core)" in site.linked(text, page, "https://x.org/y")


def test_clauses_have_anchors_and_are_linked_to_what_is_said_of_them_elsewhere():
    made = site.anchored("**1.1** A tap.\n\n**13.1** Open.\n", "docs/clauses.md", "**1.1** 3 cases.")
    assert made == '**[1.1](docs/clauses.md#1.1){ id="1.1" }** A tap.\n\n**13.1**{ id="13.1" } Open.\n'


def test_a_clause_shows_a_case_of_each_rank_that_is_about_it():
    entries = list(Store(default_root()).entries.values())
    text, shown = case_pictures.pictured("# One\n\n**2.7** Causal.\n\n## Two\n\n**0.1** Fields.\n", entries)
    assert list(shown) == ["2d/padding/causal", "1d/padding/causal", "3d/padding/mixed"]
    assert text.count("<details") == 1
    assert text.index("Causal.") < text.index("<details") < text.index("## Two")
    assert [entry["id"] for entry in case_pictures.chosen("6.2", entries)] == ["0d/linear/channel-bias"]


def test_ids_of_cases_lead_to_the_explorer():
    text = case_pictures.explorable("`1d/plain/odd-kernel`, `refused/x/y`", "../e.html", ["1d/plain/odd-kernel"])
    assert text == "[`1d/plain/odd-kernel`](../e.html#1d/plain/odd-kernel), `refused/x/y`"


def test_a_long_list_of_cases_is_folded():
    text = case_pictures.explorable(f"**1.1** {', '.join('abcdefghijklmnopqrstuvwxyz')}.\n", "../e.html", [])
    assert text.startswith("**1.1** a, b, c, d, e, f, g, h, i, j\n\n<details")
    assert "<summary>16 more</summary>\n\nk, l" in text


def test_every_page_and_every_module_of_the_api_has_its_place():
    def pages(entry):
        children = entry.values() if isinstance(entry, dict) else entry
        return [entry] if isinstance(entry, str) else [name for child in children for name in pages(child)]

    listed = pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    gathered = {path.relative_to(ROOT).as_posix() for pattern in site.GATHERED for path in ROOT.glob(pattern)}
    expected = {name for name in gathered if name.endswith(".md")} | {"conformance_data/README.md", "docs/tutorial.md"}
    assert sorted(listed) == sorted(expected | {f"api/{name}.md" for name in site.API})
    modules = {name for _, names in site.API.values() for name in names}
    public = {path.stem for path in (ROOT / "lcl_ref" / "layers").glob("[a-z]*.py")}
    assert {f"lcl_ref.layers.{name}" for name in public} == {
        one for one in modules if re.match(r"lcl_ref\.layers", one)
    }
