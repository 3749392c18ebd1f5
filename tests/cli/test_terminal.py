"""What commands print: a line per backend whatever the width, and in a pipe always the same, folded nowhere."""

import io
import json
import re

import pytest

from lcl_ref.cli.console import Console
from lcl_ref.cli.table import called
from lcl_ref.cli.told import Ran, Told, print_run
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.outcome import Outcome
from lcl_ref.suite.run.settings import BackendReport
from tests.support.command_line import lcl

PORT = "exec:node examples/some/long/way/to/the/ports/of/others/port.js --fast"
LAYER = "some/long/way/to/the/layers/of/others/my_layer.py"
CASE = "0d/linear/no-bias"
DTYPES = ("float16", "bfloat16", "float32", "float64", "complex64")


def ran(*, wrong=0):
    """Return a run of four backends, two of which are not installed; `wrong` cells of the first are wrong."""
    present = [BackendReport(LAYER, "present"), BackendReport("numpy.matmul", "present", "numpy", "2.0")]
    present += [BackendReport(PORT, "present")]
    absent = [BackendReport(name, "missing", message="mlx is not installed") for name in ("mlx.fast", "mlx.einsum")]
    outcomes = [
        Outcome(one.name, CASE, "forward", dtype, "pass", error_ratio=0.25) for one in present for dtype in DTYPES
    ]
    outcomes += [Outcome(one.name, CASE, "forward", "float32", "not_run", message=one.message) for one in absent]
    for number in range(wrong):
        text = f"elements wrong: {number}"
        op, dtype = ("forward", "vjp")[number // 5], DTYPES[number % 5]
        outcomes[number] = Outcome(LAYER, CASE, op, dtype, "fail", message=text)
    return Ran([*present, *absent], outcomes, {}, [], Store(default_root()), None, 0)


def printed(told=None, *, width=80, terminal=True, wrong=0):
    """Return the lines that a run prints on a terminal of some width, or in a pipe."""
    page = io.StringIO()
    out = Console(file=page, width=width, force_terminal=terminal, no_color=True)
    print_run(out, ran(wrong=wrong), told or Told())
    return [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in page.getvalue().splitlines()]


@pytest.mark.parametrize("width", [80, 100, 140, 200])
def test_a_backend_is_a_line_with_its_numbers_at_any_width(width):
    lines = printed(width=width)
    rows = lines[1:4]
    assert [line.split()[0].rpartition("/")[2] for line in rows] == ["my_layer.py", "numpy.matmul", "port.js"]
    assert all(line.rstrip()[-3:] == "0.0" for line in rows)
    assert all("0.25" in line for line in rows)
    assert max(map(len, lines[:4])) <= width
    assert ("float16" in lines[0]) == ("numpy 2.0" in lines[2]) == (width >= 120)
    assert "not installed: mlx (2 backends, 2 cells not run; --all lists them)" in lines


def test_a_pipe_gets_whole_names_and_no_hints(capsys):
    assert printed(terminal=False)[-1] == "15 pass, 0 fail, 0 error, 0 unsupported, 2 not run"
    table = capsys.readouterr().out
    assert f"{LAYER}        5      0         0.25" in table
    assert "…" not in table


def test_what_is_said_goes_from_the_counts_alone_to_everything():
    counts = "5 pass, 10 fail, 0 error, 0 unsupported, 2 not run"
    assert printed(Told(quiet=True), wrong=10) == [counts]
    usual, everything = printed(wrong=10, width=200), printed(Told(everything=True), wrong=10, width=200)
    assert counts in usual
    assert sum("elements wrong" in line for line in usual) < sum("elements wrong" in line for line in everything) == 10
    assert sum(line.startswith("mlx.") for line in everything) == 2
    assert "mlx.fast: 1 not run: " in "\n".join(printed(Told(verbose=True), wrong=10))


def test_the_last_line_on_a_terminal_says_where_to_go_next():
    assert printed()[-1].startswith("next: lcl fuzz -b some/long/way")
    assert printed(wrong=1)[-1] == f"next: lcl diagnose -b {LAYER}; lcl explain {CASE}"


@pytest.mark.parametrize(
    ("name", "short"), [(PORT, "port.js"), ("exec:./a.out", "a.out"), ("exec:python -c 1", "python"), (LAYER, LAYER)]
)
def test_a_command_goes_by_the_name_of_its_program(name, short):
    assert called(name) == short


def test_adapters_are_listed_a_line_each_whatever_the_width(capsys, monkeypatch):
    names = [one["name"] for one in json.loads(lcl("backends", "--json", capsys=capsys).stdout)]
    monkeypatch.setenv("COLUMNS", "80")
    for force in ("", "1"):
        monkeypatch.setenv("FORCE_COLOR", force)
        lines = lcl("backends", "--all", capsys=capsys).stdout.splitlines()
        assert [re.sub(r"\x1b\[[0-9;]*m", "", line).split()[0] for line in lines] == ["backend", *names]
