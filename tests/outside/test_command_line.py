"""`lcl` where its output, its files or its input are not as they should be: one line, a status, no traceback."""

import json
import shlex
import shutil
import signal

import h5py
import numpy as np
import pytest

from lcl_ref import Spec
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import SUMS, sums
from tests.support.command_line import lcl
from tests.support.programs import LCL, python, run

QUICK = ("run", "-b", "numpy.matmul", "-c", "0d/linear/no-bias")
PREFIX = shlex.join(LCL)


def failed(done, status):
    """Require one line of error and a status."""
    assert "Traceback" not in done.stderr + done.stdout
    assert done.returncode == status, done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("cases | head -1", 141),
        ("inspect {model} > /dev/full", 2),
        (" ".join(QUICK) + " --json {report} | true", None),
        (" ".join(QUICK) + " --json {report} >&-", 0),
    ],
)
def test_a_stdout_that_cannot_be_written_is_one_line_and_loses_no_report(tmp_path, line, status):
    model, report = tmp_path / "m.npz", tmp_path / "r.json"
    np.savez(model, x=np.zeros(3))
    command = f"set -o pipefail; {PREFIX} {line.format(model=model, report=report)}"
    done = run("bash", "-c", command)
    failed(done, done.returncode if status is None else status)
    assert report.exists() == ("{report}" in line)


def test_a_report_that_cannot_be_written_is_known_before_the_run(tmp_path, capsys):
    for words in (["--json", "/proc/r.json"], ["--json", tmp_path], ["--html", tmp_path / "no" / "r.html"]):
        assert "cells" not in failed(lcl(*QUICK, *words, capsys=capsys), 2)
    same = tmp_path / "same"
    assert "the same file for two results" in failed(lcl(*QUICK, "--json", same, "--html", same, capsys=capsys), 2)
    assert not same.exists()


def test_a_file_that_is_read_is_not_written_over(tmp_path, capsys):
    layer, report, long = tmp_path / "layer.py", tmp_path / "r.json", "x" * 300
    layer.write_text("from lcl_ref import forward\n")
    words = ["-b", layer, "-c", "0d/linear/no-bias"]
    refused = [["run", *words, "--json", layer], ["diagnose", *words, "--json", layer]]
    refused.append(["run", "-b", f"exec:cat {layer} {long}", "-c", "0d/linear/no-bias", "--html", layer])
    assert lcl("run", *words, "--json", report, capsys=capsys).returncode == 0
    before = report.read_text()
    refused += [["report", what, report, "-o", report] for what in ("merge", "html", "statement")]
    for line in refused:
        assert "a file that is read" in failed(lcl(*line, capsys=capsys), 2)
    assert (layer.read_text(), report.read_text()) == ("from lcl_ref import forward\n", before)


CRAFTED = {
    "nan": b'{"format": "lcl-report/1", "x": NaN}',
    "deep": b"[" * 100_000,
    "huge": b'{"format": "lcl-report/1", "x": 1e999}',
    "digits": b"[" + b"9" * 5000 + b"]",
    "bytes": b"\xff\xfe",
    "half": b'{"format": "\\ud83d"}',
    "twice": b'{"format": "lcl-report/1", "format": "lcl-report/1"}',
    "empty": b"",
    "list": b"[]",
    "form": b'{"format": []}',
}


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_report_is_refused_in_a_line(name, tmp_path, capsys):
    path = tmp_path / f"{name}\udcff.json"
    path.write_bytes(CRAFTED[name])
    for words in (["merge", path, "-o", tmp_path / "m"], ["html", path, "-o", tmp_path / "h"], ["diff", path, path]):
        assert failed(lcl("report", *words, capsys=capsys), 2).startswith("lcl: ")
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_names_of_a_file_never_steer_the_terminal(tmp_path, capsys):
    evil = "Evil\x1b]0;owned\x07\x1b[2J"
    layers = [{"class_name": evil, "config": {"name": "e\x1b[31m"}}]
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"layers": layers}})
        file.create_group("model_weights")
    for words in (["inspect"], ["convert", "--from", "stored", "--to", "canonical"]):
        done = lcl(words[0], tmp_path / "m.h5", *([tmp_path / "o.npz", *words[1:]] if words[1:] else []), capsys=capsys)
        assert "\x1b" not in done.stdout + done.stderr
        assert "\x07" not in done.stdout + done.stderr


def test_a_target_with_too_long_a_name_or_without_a_folder_is_refused_with_what_to_do(tmp_path, capsys):
    spec = Spec(input_size=7, in_channels=2, out_channels=3, kernel_size=2, stride=2, bias="none")
    np.savez(tmp_path / "m.npz", weight=np.zeros(spec.weight_shape))
    (tmp_path / "s.json").write_text(spec.to_json())
    words = ("--from", "canonical", "--to", "canonical", "--spec", tmp_path / "s.json")
    assert "File name too long" in failed(
        lcl("convert", tmp_path / "m.npz", tmp_path / ("x" * 260 + ".npz"), *words, capsys=capsys), 2
    )
    missing = tmp_path / "no such" / "o.npz"
    done = failed(lcl("convert", tmp_path / "m.npz", missing, *words, capsys=capsys), 2)
    assert f"mkdir -p {shlex.quote(str(missing.parent))}" in done


def test_golden_data_is_written_over_nothing_but_golden_data(tmp_path, capsys):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("precious")
    shutil.copytree(default_root(), tmp_path / "data")
    (tmp_path / "data" / "notes.txt").write_text("precious")
    for name in ("thesis", "data", "thesis/chapter1.txt"):
        assert "lcl: " in failed(lcl("fixtures", "write", "--data", tmp_path / name, capsys=capsys), 2)
    assert "exported cases" in failed(
        lcl("export", "--format", "npz", "-c", "0d/*", "-o", tmp_path / "thesis", capsys=capsys), 2
    )
    assert (tmp_path / "thesis" / "chapter1.txt").read_text() == "precious"
    assert (tmp_path / "data" / "notes.txt").read_text() == "precious"


def test_golden_data_that_is_not_the_release_s_is_announced(tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(default_root(), data)
    (data / "README.md").write_text("another page\n")
    (data / SUMS).write_bytes(sums({path.name: path.read_bytes() for path in data.iterdir() if path.name != SUMS}))
    assert "not the set of lcl-ref" in lcl("fixtures", "verify", "--data", data, capsys=capsys).stdout
    assert ", the set of lcl-ref" in lcl("fixtures", "verify", capsys=capsys).stdout
    layer, report = tmp_path / "layer.py", tmp_path / "r.json"
    layer.write_text("def forward(spec, x, weight, bias): return x")
    words = ("-b", layer, "-c", "0d/linear/no-bias", "--data", data, "--json", report, "--no-diagnose")
    done = lcl("run", *words, capsys=capsys)
    assert done.returncode == 1
    assert "is not the set of lcl-ref" in done.stderr
    assert "is not the set of lcl-ref" in done.stdout
    suite = json.loads(report.read_text())["suite"]
    assert suite["fixtures_sha256"] != suite["released_sha256"]


@pytest.mark.parametrize(("program", "said"), [("lcl", "lcl: interrupted\n"), ("train.py", "Traceback")])
def test_ctrl_c_while_the_command_is_imported_is_one_line(program, said):
    done = python("-c", f"import sys; sys.argv[:] = ['/bin/{program}']; import lcl_ref; raise KeyboardInterrupt")
    assert done.returncode == -signal.SIGINT
    assert done.stderr.startswith(said)
