"""The script for accelerators, at a layer of the processor: a contestant that breaks costs the others nothing."""

import json

import pytest

from tests.support.paths import ROOT
from tests.support.programs import python

SCRIPT = ROOT / "benchmarks" / "accelerator.py"

REASONS = {
    "wrong": "wrong: its error is",
    "raises": "RuntimeError: an illegal memory access",
    "lacks memory": "MemoryError: CUDA out of memory",
    "late": "no answer within 4 s",
    "ends": "the process ended with status 7",
}


def asked(tmp_path, *words):
    file = tmp_path / "found.json"
    done = python(SCRIPT, "--json", file, "--workload", "mhcflurry", "--dtype", "float32", *words, cwd=ROOT, check=True)
    return done.stdout, json.loads(file.read_text())


@pytest.mark.slow
def test_a_broken_contestant_has_a_reason_and_the_others_have_times(tmp_path):
    broken = ["--framework", "tests.support.broken_framework:Broken"]
    printed, found = asked(tmp_path, *broken, "--framework", "no.such:Module", "--rounds", "2", "--limit", "4")
    lines = {(line["contestant"], line["op"]): line for line in found["lines"]}
    for op in ("forward", "step"):
        for name in ("right", "right too"):
            line = lines[name, op]
            assert line["error_ratio"] <= 1
            assert len(line["rounds"]) == 2
            assert line["milliseconds"] > 0
            assert line["message"] == ""
        for name, reason in REASONS.items():
            if (name, op) != ("wrong", "step"):  # its gradients are right
                assert lines[name, op]["message"].startswith(reason)
                assert lines[name, op]["milliseconds"] is None
    assert "line two" in lines["raises", "forward"]["message"]
    assert "in raises" in lines["raises", "forward"]["traceback"]
    assert "no.such:Module: ModuleNotFoundError" in printed
    assert found["frameworks"]["no.such:Module"]["refused"].startswith("ModuleNotFoundError")


@pytest.mark.slow
def test_nothing_is_begun_when_time_is_up(tmp_path):
    _, found = asked(tmp_path, "--framework", "tests.support.broken_framework:Broken", "--minutes", "0")
    assert [line["message"] for line in found["lines"]] == ["not asked: time is up"]


@pytest.mark.slow
def test_torch_and_jax_on_the_processor(tmp_path):
    _, found = asked(tmp_path, "--rounds", "1", "--minutes", "4")
    names = {(line["framework"], line["contestant"]) for line in found["lines"] if line["milliseconds"]}
    assert {("torch", "torch.unfold"), ("torch", "lcl, large"), ("jax", "lcl, chosen"), ("jax", "jax.local")} <= names
    assert all(line["error_ratio"] <= 1 for line in found["lines"])
    assert {"torch", "triton"} <= found["frameworks"]["torch"]["versions"].keys()
