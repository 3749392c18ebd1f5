"""The examples do what they are there to show: they run, conform, and say what they do not support."""

import json

import pytest

from tests.support.paths import EXAMPLES
from tests.support.programs import lcl, python


def run(folder, backend, *arguments):
    """Run the suite on a layer as a user would; return the exit status and the report."""
    report = folder / "report.json"
    done = lcl("run", "-b", backend, "--json", report, *arguments, cwd=folder)
    assert report.is_file(), done.stdout + done.stderr
    return done.returncode, json.loads(report.read_text())


def reasons(report):
    return {outcome["message"] for outcome in report["outcomes"] if outcome["state"] == "unsupported"}


@pytest.mark.parametrize(
    ("tier", "backend", "least", "reason"),
    [
        ("core", "my_layer.py", 50, "every position has its own weight here"),
        pytest.param("core", "my_torch_layer.py:Layer", 10, "the module is two-dimensional", marks=pytest.mark.slow),
        pytest.param("full", "my_layer.py", 400, "every position has its own weight here", marks=pytest.mark.slow),
        pytest.param("full", "my_torch_layer.py:Layer", 80, "the module is two-dimensional", marks=pytest.mark.slow),
    ],
)
def test_examples_conform(tmp_path, tier, backend, least, reason):
    status, report = run(tmp_path, EXAMPLES / backend, "--tier", tier)
    counts = report["summary"]
    assert (status, counts["fail"], counts["error"], counts["not_run"]) == (0, 0, 0, 0)
    assert counts["pass"] >= least
    assert reason in reasons(report)


@pytest.mark.parametrize(
    ("right", "wrong", "case", "op"),
    [
        ("weight[position], spec.rank + 1)", "weight[position][::-1], spec.rank + 1)", "1d/plain/*", "forward"),
        ("o * stride, o * stride +", "o, o +", "1d/stride/*", "forward"),
        ("tensordot(dout, weight[position]", "tensordot(dout, weight[position] * 0", "2d/plain/*", "vjp"),
    ],
)
def test_a_mistake_made_in_the_copy_is_found(tmp_path, right, wrong, case, op):
    text = (EXAMPLES / "my_layer.py").read_text()
    assert right in text
    (tmp_path / "mine.py").write_text(text.replace(right, wrong))
    status, report = run(tmp_path, tmp_path / "mine.py", "-c", case, "--op", op)
    assert status == 1
    assert report["summary"]["fail"] > 0
    assert report["summary"]["error"] == 0


def test_the_readme_names_every_example():
    text = (EXAMPLES / "README.md").read_text()
    assert [path.name for path in EXAMPLES.glob("*.py") if f"`{path.name}`" not in text] == []


@pytest.mark.slow
def test_the_digits_are_learned_and_the_twins_end_together(tmp_path):
    script = EXAMPLES / "twodfc_digits.py"
    done = python(script, "--steps", "400", "--figure", tmp_path / "curves.png", check=True)
    ends = {
        line[:38].strip(): float(line.split(" end ")[1].split()[0])
        for line in done.stdout.splitlines()
        if " end " in line
    }
    large = [loss for name, loss in ends.items() if name.startswith(("TwoDFC 1", "TwoDFC 2"))]
    assert (len(ends), len(large)) == (6, 2)
    assert min(large) > 2 * max(set(ends.values()) - set(large))
    for what in ("weights", "end losses"):
        (line,) = [line for line in done.stdout.splitlines() if line.startswith(what)]
        gap, bound = (float(part.split()[-1]) for part in line.removesuffix(" apart").split(" apart, bound"))
        assert gap <= bound < 1e-6
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
