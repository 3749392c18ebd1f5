"""Typical mistakes, each answered in one clear line with the next step (`mistakes.toml`)."""

import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.testing import conformance_tests, judge
from tests.support import command_line

CATALOGUE = tomllib.loads(Path(__file__).with_name("mistakes.toml").read_text())
BROKEN_INPUT = 2


def lines(kind):
    """Return the entries of a kind as parameters, named by what was typed."""
    return [pytest.param(entry, id=entry["line"]) for entry in CATALOGUE[kind]]


@pytest.mark.parametrize("entry", lines("command"))
def test_a_mistaken_command_is_answered_in_one_line(entry, tmp_path, monkeypatch, capsys):
    for name, text in CATALOGUE["files"].items():
        (tmp_path / name).write_text(f"{text}\n")
    monkeypatch.chdir(tmp_path)
    done = command_line.lcl(*shlex.split(entry["line"]), capsys=capsys)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (BROKEN_INPUT, "", 1), done.stderr
    assert [words for words in entry["says"] if words not in done.stderr] == [], done.stderr
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == CATALOGUE["files"].keys()


@pytest.mark.parametrize("entry", lines("call"))
def test_a_mistaken_call_is_answered_in_one_line(entry):
    settings = {"input_size": 5, "in_channels": 2, "out_channels": 4, "kernel_size": 3}
    spec = lcl.Spec(**settings)
    arrays = {"x": (1, 5, 2), "weight": spec.weight_shape, "bias": spec.bias_shape}
    names = {"lcl": lcl, "SETTINGS": settings, "spec": spec, "judge": judge, "conformance_tests": conformance_tests}
    names |= {name: np.zeros(shape) for name, shape in arrays.items()}
    with pytest.raises(getattr(lcl, entry["error"])) as raised:
        eval(entry["line"], names)  # noqa: S307 -- from our own file
    text = str(raised.value)
    assert "\n" not in text
    assert [words for words in entry["says"] if words not in text] == [], text


def test_there_are_many_of_both_kinds():
    assert len(CATALOGUE["command"]) >= 25
    assert len(CATALOGUE["call"]) >= 10
