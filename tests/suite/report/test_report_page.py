"""The page of a report without a browser: its parts, its policy, and that texts of others stay texts."""

import base64
import hashlib
import json
import re
from collections import Counter
from html.parser import HTMLParser

import pytest

from lcl_ref.cli.reproducibility import document as measured
from lcl_ref.suite.cases.catalogue import select
from lcl_ref.suite.diagnosis.deviations import CATALOGUE
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.outcome import Cell, outcome
from lcl_ref.suite.report import bits
from lcl_ref.suite.report.document import document
from lcl_ref.suite.report.history import Entry
from lcl_ref.suite.report.merge import Difference
from lcl_ref.suite.report.pages.comparison import comparison_page
from lcl_ref.suite.report.pages.explorer import MOST_OF_EACH, explorer_page
from lcl_ref.suite.report.pages.history import history_page
from lcl_ref.suite.report.pages.report import page
from lcl_ref.suite.reproducibility.classes import Measured, Witness
from lcl_ref.suite.run.settings import BackendReport
from lcl_ref.suite.validation.mutants import KillMatrix
from lcl_ref.suite.validation.mutants_page import page as mutants_page
from tests.support.programs import lcl
from tests.support.reports import HOSTILE, hostile

(CASE,) = select(["1d/plain/odd-kernel"])


class Page(HTMLParser):
    """The elements of a page, the text of its scripts and style, and the text that is seen."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.raw, self.seen, self._inside = [], [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag in ("script", "style"):
            self._inside = tag
            self.raw.append((tag, dict(attributes), []))

    def handle_endtag(self, tag):
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data):
        (self.raw[-1][2] if self._inside else self.seen).append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.seen).split())

    def contents(self, tag, kind=None):
        (found,) = [
            "".join(parts) for name, attributes, parts in self.raw if (name, attributes.get("type")) == (tag, kind)
        ]
        return found

    @property
    def data(self):
        return json.loads(self.contents("script", "application/json"))


def small(*answers):
    """Return a report of one backend with some answers to one question each."""
    cases = ("2d/plain/channel-bias", "0d/linear/no-bias", "1d/padding/int", "memory/fortran")
    cells = [Cell("torch.loop", case, "forward", "float32") for case in cases]
    outcomes = [outcome(cell, **answer) for cell, answer in zip(cells, answers, strict=False)]
    return document([BackendReport("torch.loop", "present", "torch", "2.13.0")], outcomes, Store(default_root()))


PASS = {"state": "pass", "error_ratio": 0.25}
UNSUPPORTED = {"state": "unsupported", "message": "no such thing"}
FAIL = {"state": "fail", "message": "y: [n=0] got 1.0, expected 2.0", "diagnosis": "taps/flipped[y]"}


def test_what_a_report_says_can_be_read_without_a_script():
    seen = Page(page(small(PASS, UNSUPPORTED, FAIL))).text
    shown = ("torch 2.13.0", "torch.loop 1 1 1 0 0.25", "1: no such thing", "1d/padding/int forward float32")
    assert [words for words in (*shown, "fail: y: [n=0] got 1.0", "taps/flipped[y]") if words not in seen] == []


def test_the_data_of_the_scripts_is_every_cell_of_the_report():
    report = small(PASS, UNSUPPORTED, FAIL, PASS)
    data = Page(page(report)).data
    rows = []
    for backend, cells in zip(data["backends"], data["cells"], strict=True):
        for (case, op, dtype), number in zip(data["questions"], cells, strict=True):
            state, ratio, message, _, diagnosis = data["answers"][number]
            rows.append((backend["name"], data["cases"][case]["id"], op, dtype, state, ratio, message, diagnosis))
    names = ("backend", "case", "op", "dtype", "state", "error_ratio", "message", "diagnosis")
    assert rows == [tuple(row[name] for name in names) for row in report["outcomes"]]
    assert data["mistakes"]["taps/flipped[y]"][1]


def test_cases_bring_what_they_ask():
    cases = {case["id"]: case for case in Page(page(small(PASS, PASS, PASS, PASS))).data["cases"]}
    entry = Store(default_root()).entries["1d/padding/int"]
    assert cases["1d/padding/int"]["spec"] == entry["spec"]
    assert cases["1d/padding/int"]["why"] == entry["why"]
    assert cases["memory/fortran"]["clauses"] == ["8.5"]


def test_what_was_not_asked_of_a_backend_is_no_answer():
    merged = small(PASS)
    other = {"name": "jax.loop", "availability": "present", "framework": "jax", "version": "1", "message": ""}
    row = merged["outcomes"][0] | {"backend": "jax.loop", "op": "vjp"}
    data = Page(page(merged | {"backends": [*merged["backends"], other], "outcomes": [*merged["outcomes"], row]})).data
    assert data["cells"] == [[0, -1], [-1, 0]]


@pytest.mark.parametrize("report", [small(PASS, FAIL), hostile()], ids=["ours", "hostile"])
def test_nothing_but_our_style_and_script_runs_and_nothing_is_loaded(report):
    found = Page(page(report))
    (policy,) = [one["content"] for tag, one in found.elements if one.get("http-equiv") == "Content-Security-Policy"]
    for tag in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(found.contents(tag).encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert [name for _, one in found.elements for name in one if name.startswith("on") or name == "style"] == []
    linked = {one[name] for _, one in found.elements for name in ("href", "src", "action") if name in one}
    assert [link for link in linked if not link.startswith("#") and link != "data:,"] == []


def test_texts_of_others_add_no_element():
    harmless = _replaced(hostile(), {text: f"text {number}" for number, text in enumerate(HOSTILE)})
    tags = [[tag for tag, _ in Page(page(one)).elements] for one in (hostile(), harmless)]
    assert tags[0] == tags[1]
    data = Page(page(hostile())).data
    assert [backend["name"] for backend in data["backends"]][:7] == HOSTILE[:7]
    assert all("spec" not in case for case in data["cases"])


def test_texts_of_others_add_no_element_to_other_pages():
    def pages(report):
        cells = {(row["backend"], row["case"], row["op"], row["dtype"]): row for row in report["outcomes"]}
        changes = {"regressed": [(cell, row, row) for cell, row in cells.items()]}
        versions = {row["backend"]: row["message"] for row in report["outcomes"]}
        entries = [
            Entry(report["machine"]["system"], report["date"], "", versions, dict.fromkeys(cells, state))
            for state in ("pass", "fail")
        ]
        return [comparison_page(Difference(report, report, changes)), history_page(entries)]

    harmless = _replaced(hostile(), {text: f"text {number}" for number, text in enumerate(HOSTILE)})
    for ours, theirs in zip(pages(harmless), pages(hostile()), strict=True):
        assert [tag for tag, _ in Page(ours).elements] == [tag for tag, _ in Page(theirs).elements]


def _replaced(value, texts):
    if isinstance(value, dict):
        return {name: _replaced(one, texts) for name, one in value.items()}
    if isinstance(value, list):
        return [_replaced(one, texts) for one in value]
    return texts.get(value, value) if isinstance(value, str) else value


def test_the_test_above_would_see_a_text_that_is_markup():
    assert "img" in {tag for tag, _ in Page(f"<p>{HOSTILE[1]}</p>").elements}


TOP = re.compile(r"^(?:async )?(?:function|const|let|class) (\w+)", re.MULTILINE)


def test_scripts_that_share_a_page_share_no_name():
    """They are one script, in which a second function of a name would silently take the place of the first."""
    pages = [page(small(PASS)), explorer_page([one_case()]), mutants_page(KillMatrix(CATALOGUE, (CASE,), {}))]
    for text in pages:
        names = Counter(TOP.findall(Page(text).contents("script")))
        assert len(names) > 5
        assert [name for name, count in names.items() if count > 1] == []


def one_case():
    store = Store(default_root())
    return CASE, store.arrays(CASE.id)


def test_a_page_of_a_case_has_its_golden_numbers_and_its_words():
    found = Page(explorer_page([one_case()]))
    arrays = Store(default_root()).arrays(CASE.id)
    (only,) = found.data["cases"]
    assert only["numbers"]["y"] == arrays["y"].ravel().tolist()
    assert only["spec"] == CASE.spec.to_dict()
    assert "worked element y[0, " in found.text


def test_a_page_of_many_cases_offers_them_by_topic_and_leaves_out_long_numbers():
    store = Store(default_root())
    cases = [(case, store.arrays(case.id)) for case in select(["1d/plain/odd-kernel", "2d/padding/same-upper*"])]
    found = Page(explorer_page(cases))
    assert [one["id"] for one in found.data["cases"]] == [case.id for case, _ in cases]
    assert [one["numbers"] is not None for one in found.data["cases"]] == [
        sum(store.arrays(case.id)[name].size for name in ("x", "weight", "bias", "y")) <= MOST_OF_EACH
        for case, _ in cases
    ]
    assert {attributes.get("label") for tag, attributes in found.elements if tag == "optgroup"} == {
        "1d/plain",
        "2d/padding",
    }


def test_links_of_the_overview_are_addresses_of_backends():
    text = page(hostile())
    assert 'href="#a%2Fb%23c%3Fd%26e%252F' in text
    assert 'href="#%3C%2Fscript%3E' in text


def test_what_was_measured_of_reproducibility_is_shown(tmp_path):
    witness = Witness("alone", "1d/plain/odd-kernel", "float32", "forward", "y", (0, 1), 1.5, 1.25, 3, 40)
    found = [Measured("numpy.loop", 12, {"run to run": None, "alone": witness}, {"torch.loop": (12, 12)})]
    (tmp_path / "bits.json").write_text(json.dumps(measured(found, "float32")))
    seen = Page(page(small(PASS), bits.read(tmp_path / "bits.json"))).text
    assert "run to run the same call again, and in another process" in seen
    assert "numpy.loop same differs 1d/plain/odd-kernel forward, y[0, 1]: 1.5 and 1.25 (alone;" in seen
    assert "– – – torch.loop" in seen


@pytest.mark.parametrize("damage", ["{", "[]", '{"format": "lcl-reproducibility/1"}'])
def test_a_damaged_measurement_is_one_line_and_no_page(tmp_path, damage):
    (tmp_path / "bits.json").write_text(damage)
    (tmp_path / "r.json").write_text(json.dumps(small(PASS | {"error_ratio": 0.0})))
    done = lcl("report", "html", "r.json", "-o", "r.html", "--reproducibility", "bits.json", cwd=tmp_path)
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1)
    assert not (tmp_path / "r.html").exists()
