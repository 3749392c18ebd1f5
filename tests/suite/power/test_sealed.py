"""Layers that are wrong where only fresh cases and a judge in the host see it (SPEC 11.9, 12.10), and honest twins."""

import json
import os

import pytest

from lcl_ref.suite.checks.catalogue import CHECKS
from lcl_ref.suite.run.drawn_cases import is_fresh
from tests.support import programs
from tests.support.marks import quick
from tests.support.paths import SUPPORT

ENOUGH = "--fresh=16"


def lcl(*words, memory=""):
    done = programs.lcl(*words, cwd=SUPPORT, env=os.environ | {"LCL_TEST_MEMORY": str(memory)})
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def run(tmp_path):
    """Give a function that runs a layer and returns the status, the outcomes, the report's words and the output."""

    def run(layer, *more, memory=tmp_path, seed=7):
        words = ["run", "-b", layer, "--tier", "smoke", "--seed", str(seed), ENOUGH, "--no-diagnose", *more]
        status, out = lcl(*words, "--json", str(tmp_path / "report.json"), memory=memory)
        assert status in (0, 1), out
        report = json.loads((tmp_path / "report.json").read_text())
        return status, report["outcomes"], report["backends"][0], out

    return run


def wrong(outcomes, *, fresh):
    return [one for one in outcomes if is_fresh(one["case"]) == fresh and one["state"] in ("fail", "error")]


@pytest.mark.parametrize("name", ["PatchesNumpy", "PatchesJudge", "PatchesReference"])
def test_what_is_patched_in_the_process_of_the_layer_does_not_reach_the_judge(name, run):
    status, outcomes, _, _ = run(f"sealed_layers.py:{name}")
    assert status == 1
    assert all("elements wrong" in one["message"] for one in wrong(outcomes, fresh=False))
    assert len(wrong(outcomes, fresh=False)) > 10
    assert len(wrong(outcomes, fresh=True)) > 10


def test_a_process_that_says_itself_that_it_passes_is_malformed(run):
    status, outcomes, _, _ = run("sealed_layers.py:PatchesAnswers", "--fresh=0")
    assert (status, {one["error_kind"] for one in outcomes if one["case"] not in CHECKS}) == (1, {"malformed"})


@pytest.mark.parametrize(
    "name",
    quick(["ReadsGoldenData", "KnowsTheCatalogue", "other_sizes", "other_paddings"], "ReadsGoldenData", "other_sizes"),
)
def test_only_fresh_cases_see_a_layer_that_knows_the_golden_data(name, run):
    status, outcomes, _, _ = run(f"sealed_layers.py:{name}")
    assert status == 1
    assert not wrong(outcomes, fresh=False)
    assert {one["state"] for one in wrong(outcomes, fresh=True)} == {"fail"}


@pytest.mark.parametrize(("name", "seen"), [("Remembers", True), ("RemembersHonestly", False)])
def test_answers_remembered_from_an_earlier_run_are_seen(name, seen, run, tmp_path):
    memory = tmp_path / "memory"
    memory.mkdir()
    assert run(f"sealed_layers.py:{name}", memory=memory)[0] == 0
    (memory / "later").touch()
    status, outcomes, _, _ = run(f"sealed_layers.py:{name}", memory=memory, seed=8)
    assert not wrong(outcomes, fresh=False)
    assert (status == 1) == bool(wrong(outcomes, fresh=True)) == seen


@pytest.mark.parametrize(("name", "status"), [pytest.param("Right", 0, marks=pytest.mark.slow), ("Swapped", 1)])
def test_the_commonest_layer_is_asked_its_own_kind(name, status, run):
    found, outcomes, backend, out = run(f"narrow_torch.py:{name}")
    assert found == status
    assert bool(wrong(outcomes, fresh=True)) == bool(status)
    assert backend["asked_share"] < 0.1
    assert "% " in out or "%)" in out
    assert "padding/axes-swapped" not in backend["not_seen"]
    assert lcl("fuzz", "-b", f"narrow_torch.py:{name}", "--examples", "60")[0] == status


def test_a_fresh_case_is_asked_again_by_its_name(run):
    _, outcomes, _, _ = run("sealed_layers.py:other_paddings")
    first = wrong(outcomes, fresh=True)[0]
    words = ["--dtype", first["dtype"], "--op", first["op"], "--no-diagnose"]
    status, out = lcl("run", "-b", "sealed_layers.py:other_paddings", "-c", first["case"], *words)
    assert status == 1
    assert first["message"] in out.replace("\n", " ")
    status, out = lcl("explain", first["case"])
    assert status == 0
    assert json.dumps(first["spec"]) in out


def test_the_same_seed_asks_the_same_cells(run):
    once, again, other = (run("sealed_layers.py:right", seed=seed)[1] for seed in (3, 3, 4))
    names = [[one["case"].split("/", 2)[2] for one in outcomes if is_fresh(one["case"])] for outcomes in (once, again)]
    assert names[0] == names[1]
    assert {json.dumps(one.get("spec")) for one in once} != {json.dumps(one.get("spec")) for one in other}


def test_fuzz_is_judged_in_the_host_too():
    status, out = lcl("fuzz", "-b", "sealed_layers.py:PatchesNumpy", "--examples", "60")
    assert status == 1
    assert "elements wrong" in out


def test_a_user_declines_an_empty_batch_and_infinities(run):
    for name in ("Declines", "DeclinesByTags"):
        status, outcomes, _, _ = run(f"sealed_layers.py:{name}")
        assert status == 0
        declined = [one for one in outcomes if one["state"] == "unsupported" and one["case"] != "memory/native"]
        reasons = {one["message"] for one in declined if one["op"] == "forward"}
        expected = {"no batch of 0", "no isolation of inf and NaN"} if name == "Declines" else {"not made for that"}
        assert reasons == expected


def test_too_few_cells_fail(run):
    assert run("sealed_layers.py:right", "--min-cells", "20")[0] == 0
    status, _, _, out = run("sealed_layers.py:right", "--min-cells", "1000")
    assert status == 1
    assert "--min-cells 1000" in out


def test_identical_failures_are_one_line_and_supports_is_offered(run):
    status, _, _, out = run("sealed_layers.py:raises_in_rank_three", "--fresh=0")
    assert status == 1
    assert "more cells; all have" in out
    assert "rank 3" in out.split("all have", 1)[1].split("\n", 1)[0]
    assert out.count("expected 4 dimensions") == 1
    assert "def supports(spec, dtype, op)" in out
    assert "known = spec.rank in (0, 1, 2)" in out
