"""action.yml: its steps, run as the shell commands that they are, judge a layer and write the summary."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.marks import quick
from tests.support.paths import ROOT

ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}

LAYER = """
import lcl_ref
def forward(spec, x, weight, bias):
    return lcl_ref.forward(spec, x, {sign}weight, bias)
"""


def run_step(name, folder, **inputs):
    """Run one step in a folder, its inputs filled in as the runner does."""
    filled = {key: one.get("default") for key, one in ACTION["inputs"].items()} | inputs
    step = STEPS[name]
    words = {key: filled[value.split()[1].removeprefix("inputs.")] for key, value in step["env"].items()}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | words | {"GITHUB_STEP_SUMMARY": str(folder / "summary.md"), "PATH": path}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    how = {"cwd": folder, "env": environment, "capture_output": True, "text": True, "timeout": 120}
    return subprocess.run(command, check=False, **how)


@pytest.mark.parametrize(("sign", "status"), quick([("", 0), ("-", 1)], ("-", 1)))
def test_a_layer_is_judged_and_summed_up(sign, status, tmp_path):
    (tmp_path / "my layer.py").write_text(LAYER.format(sign=sign))
    done = run_step("run", tmp_path, layer="my layer.py\n", tier="smoke")
    assert done.returncode == status, done.stderr
    assert ("::error file=my layer.py" in done.stdout) == bool(status)
    assert run_step("summary", tmp_path).returncode == 0
    assert (tmp_path / "summary.md").read_text().count("| my layer.py |") == 1


def test_a_layer_that_is_not_there_has_no_summary(tmp_path):
    done = run_step("run", tmp_path, layer="other.py")
    assert done.returncode == 2
    assert "other.py" in done.stderr
    assert run_step("summary", tmp_path).returncode == 0
    assert not (tmp_path / "summary.md").exists()
