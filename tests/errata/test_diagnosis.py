"""Snippets as printed are layers, most of them wrong, and `lcl diagnose` names what is wrong with them."""

import builtins
import json

import pytest

from errata.printed import LAYERS, cases_of
from lcl_ref.suite.diagnosis.deviations import CATALOGUE
from lcl_ref.suite.diagnosis.diagnose import diagnose
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.evaluate import Evaluator
from lcl_ref.suite.judge.outcome import Cell
from lcl_ref.suite.run.user_layer import as_adapter
from tests.support.marks import quick
from tests.support.paths import ROOT
from tests.support.programs import lcl
from tools import seeds

STORE = Store(default_root())
RUNNING = [shown for shown in seeds.SHOWN if not shown.error]


def identity(shown):
    return f"{shown.snippet}-{shown.layer}"


def hypotheses(diagnosis):
    """What is said to be wrong: the explanations that reproduce every answer."""
    return [name for finding in diagnosis.findings for name in (" + ".join(finding.deviations), *finding.same)]


@pytest.mark.parametrize("shown", quick(RUNNING, every=3), ids=identity)
def test_the_mistake_is_named(shown):
    layer = LAYERS[shown]
    diagnosis = diagnose(as_adapter("printed", layer), STORE, cases_of(layer))
    wrong = diagnosis.counts["fail"] + diagnosis.counts["error"]
    if shown.mistake:
        assert shown.mistake in hypotheses(diagnosis), diagnosis
        assert [finding.kind for finding in diagnosis.findings if finding.kind != "form"] == ["deviation"]
        assert wrong > 0
    elif shown.words:
        assert shown.words in " ".join((diagnosis.line, *(finding.text for finding in diagnosis.findings)))
        assert not any(finding.deviations for finding in diagnosis.findings)
        assert wrong > 0
    else:
        assert diagnosis.line.startswith(f"nothing to diagnose: all {diagnosis.counts['pass']} answers are right")
        assert diagnosis.findings == ()
        assert wrong == 0


@pytest.mark.parametrize("shown", [shown for shown in seeds.SHOWN if shown.error], ids=identity)
def test_the_others_never_run(shown):
    with pytest.raises(getattr(builtins, shown.error)):
        LAYERS[shown]()


def test_every_snippet_is_shown():
    assert {shown.snippet for shown in seeds.SHOWN} - {"X2", "X3"} == {snippet.id for snippet in seeds.SNIPPETS}
    assert {shown.mistake for shown in seeds.SHOWN} - {""} <= {deviation.id for deviation in CATALOGUE}


def test_a_run_says_that_float64_is_computed_in_float32():
    """Erratum X3 in the message of a cell."""
    adapter = as_adapter("mlx", next(LAYERS[shown] for shown in RUNNING if shown.layer == "Float64Conv"))
    found = Evaluator(adapter, STORE).judge(Cell("mlx", "1d/rounded/shared", "forward", "float64"))
    assert found.state == "fail"
    assert "reduced precision: computed in float32; " in found.message


def run_diagnose(folder, layers):
    """The command in a process of its own, as a user has it: layers by file and name."""
    files = [f"{layer.__module__.replace('.', '/')}.py:{layer.__name__}" for layer in layers]
    backends = [word for file in files for word in ("-b", file)]
    done = lcl("diagnose", *backends, "--json", folder / "found.json", cwd=ROOT, timeout=900)
    return done, json.loads((folder / "found.json").read_text())["diagnoses"]


@pytest.mark.slow
def test_the_command_names_them(tmp_path):
    done, diagnoses = run_diagnose(tmp_path, [LAYERS[shown] for shown in RUNNING])
    assert done.returncode == 1, done.stderr
    for shown, found in zip(RUNNING, diagnoses, strict=True):
        if shown.mistake:
            assert [shown.mistake] in [finding["deviations"] for finding in found["findings"]]
            assert f"deviation: {shown.mistake}\n" in done.stdout
        elif shown.words:
            assert shown.words in done.stdout
        else:
            assert found["line"].startswith("nothing to diagnose")
