"""`lcl bench`: what it measures is right, what it prints is what it measured, and what is wrong is shown as wrong."""

import contextlib
import json
import os
import sys

import numpy as np
import pytest
from click.testing import CliRunner

import lcl_ref as lcl
from lcl_ref.bench import published, tables
from lcl_ref.bench.child import Bench, family, find, operands
from lcl_ref.bench.machine import Machine
from lcl_ref.bench.memory_estimate import batches_that_fit, needed
from lcl_ref.bench.process import BackendProcess
from lcl_ref.bench.session import OPS, Measurement
from lcl_ref.bench.spot_check import worst_error
from lcl_ref.bench.workloads import FACTORS, SERIES, WORKLOADS, Workload
from lcl_ref.cli import cli
from lcl_ref.cli.bench import _refs
from lcl_ref.outside import scratch
from lcl_ref.suite.run.loading import resolve
from lcl_ref.suite.run.registered import named

SPEC = {"input_size": (7, 6), "in_channels": 4, "out_channels": 6, "kernel_size": (3, 2), "padding": (1, (0, 2))}
SMALL = Workload("small", lcl.Spec(**SPEC, stride=2, groups=2), 3, "a test")


def results(workload, held):
    y = lcl.forward(workload.spec, held["x"], held["weight"], held["bias"])
    dx, dw, _ = lcl.vjp(workload.spec, held["x"], held["weight"], held["bias"], held["dy"])
    return {"y": y, "dx": dx, "dw": dw}


def test_sampled_error_of_right_answers_is_within_the_limit():
    held = operands(SMALL)
    assert 0 < worst_error(SMALL.spec, held, results(SMALL, held)) <= 1


@pytest.mark.parametrize("name", ["y", "dx", "dw"])
def test_sampled_error_sees_a_wrong_result(name):
    held = operands(SMALL)
    right = results(SMALL, held)
    assert worst_error(SMALL.spec, held, right | {name: np.roll(right[name], 1, axis=-1)}) > 100
    assert worst_error(SMALL.spec, held, right | {name: np.full_like(right[name], np.nan)}) == np.inf


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_workloads_are_valid_and_unshared(workload):
    assert workload.products == workload.batch * workload.spec.connection_count > 0
    assert not any(workload.spec.shared)
    assert workload.source


def test_layers_of_a_series_grow_as_their_factor_says():
    for make in SERIES.values():
        products = [make(factor).products for factor in FACTORS]
        assert [each / products[0] for each in products] == list(FACTORS)


def test_the_limit_counts_weights_once_and_arithmetic_three_times_in_a_step():
    machine = Machine(1)
    machine.reads, machine.writes, machine.products = [1e9], [1e9], [1e30]
    assert machine.limit(SMALL, "step") == 2 * machine.limit(SMALL, "forward") == 2 * SMALL.weight_bytes / 1e9
    machine.products = [1.0]
    assert machine.limit(SMALL, "step") == 3 * machine.limit(SMALL, "forward") == 3 * SMALL.products
    machine.measure()
    machine.close()
    assert all(rate > 0 for rate in machine.rates().values())
    machine.reads, machine.writes, machine.products = [1e9, 1e8], [1e9, 1e8], [1e30, 1e30]
    assert machine.limit(SMALL, "step", latest=True) == 2 * SMALL.weight_bytes / 1e8


def test_backends_that_do_not_fit_are_left_out_and_the_others_run_side_by_side():
    l4 = next(workload for workload in WORKLOADS if workload.name == "deepface-l4")
    names = ("torch.fast", "torch.masked", "numpy.fast", "jax.fast", "torch.unfold")
    needs = {name: needed(named(name).declaration.holds, l4) for name in names}
    assert needs["torch.masked"] > needs["torch.unfold"] > needs["torch.fast"]
    assert needed("products", l4) > needs["torch.unfold"]
    memory = 2 * needs["torch.fast"]
    assert list(batches_that_fit(needs, memory)) == [["torch.fast", "numpy.fast"], ["jax.fast"]]


def test_growth_is_the_exponent_of_time():
    found = [
        Measurement("a", "batch", factor, 10 * factor, {"forward": [3.0 * factor], "step": [factor**2.0]})
        for factor in FACTORS
    ]
    fits = {fit["op"]: fit["exponent"] for fit in tables.growth(found)}
    assert np.round(fits["forward"], 12) == 1
    assert np.round(fits["step"], 12) == 2
    assert tables.growth(found[:-1]) == []


@pytest.fixture
def start():
    """Give a function that starts the process of a backend, which ends with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda word: stack.enter_context(contextlib.closing(BackendProcess(*resolve([word]), 1)))


def test_a_process_that_is_late_is_ended_and_started_again(start):
    process = start("numpy.matmul")
    assert process.ask(30.0, "prepare", "mhcflurry", 0) == {}
    assert process.ask(0.0, "time", "step", "wall") == {"refused": "no answer within 0 s"}
    assert "prepare" not in process.ask(30.0, "prepare", "mhcflurry", 0)
    assert process.ask(30.0, "time", "forward", "processor")["seconds"] > 0
    assert "KeyError" in process.ask(30.0, "nonsense")["refused"]


def test_a_backend_runs_on_as_many_cores_as_it_may_use_threads(tmp_path, start):
    """XLA counts cores, whatever the variables say."""
    (tmp_path / "layer.py").write_text(
        "import os\n"
        "cores = getattr(os, 'sched_getaffinity', lambda _: [0])  # not every system binds processes to cores\n"
        "def forward(spec, x, weight, bias): raise OSError(f'{len(cores(0))} cores')\n"
        "def vjp(spec, x, weight, bias, dy): return None, None, None\n"
    )
    process = start(str(tmp_path / "layer.py"))
    assert process.ask(30.0, "prepare", "mhcflurry", 0) == {}
    assert process.ask(30.0, "time", "forward", "wall") == {"refused": "OSError: 1 cores"}


def test_memory_is_that_beyond_the_results():
    from lcl_backends.numpy.fast import Adapter

    bench = Bench(Adapter())
    assert bench.prepare("deepface-l6", 0) == {}
    extra = bench.memory("forward")["extra_bytes"]
    assert extra is None if sys.platform != "linux" else 0 <= extra < 100e6
    bench.drop()


def run(*words):
    return CliRunner().invoke(cli, ["bench", *words], standalone_mode=False)


def test_command_prints_a_table_and_writes_its_numbers(tmp_path):
    file, picture = tmp_path / "bench.json", tmp_path / "bench.png"
    words = ("--only", "numpy.matmul", "--workload", "mhcflurry", "--rounds", "2", "--seconds", "0.1")
    done = run(*words, "--json", str(file), "--plot", str(picture))
    assert done.exception is None
    assert done.return_value == 0
    assert "numpy.matmul" in done.output
    document = json.loads(file.read_text())
    assert document["format"] == tables.FORMAT
    assert document["machine"]["cores"] == os.cpu_count()
    assert [each["name"] for each in document["workloads"]] == ["mhcflurry"]
    for measurement in document["measurements"]:
        assert measurement["error_ratio"] <= 1
        assert all(len(measurement["seconds"][op]) == 2 for op in OPS)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_wrong_layer_is_shown_as_wrong(tmp_path):
    layer = tmp_path / "wrong.py"
    layer.write_text(
        "import lcl_ref\n"
        "def forward(spec, x, weight, bias): return lcl_ref.forward(spec, x, weight, bias) + 1\n"
        "def vjp(spec, x, weight, bias, dy): return lcl_ref.vjp(spec, x, weight, bias, dy)\n"
    )
    done = run("--only", str(layer), "--workload", "mhcflurry", "--rounds", "2", "--seconds", "0.1")
    assert done.return_value == 1, done.output
    assert "WRONG" in done.output


def test_what_is_not_supported_says_why_and_an_unknown_layer_is_refused():
    done = run("--only", "numpy.channel_loop", "--workload", "blocks-16", "--rounds", "2")
    assert done.return_value == 3
    assert "no rank 0" in done.output
    assert "there are deepface-l4" in str(run("--workload", "nothing").exception.format_message())


def test_a_backend_leaves_no_temporary_file(monkeypatch, tmp_path):
    monkeypatch.setitem(scratch._folders, os.getpid(), tmp_path)
    process = BackendProcess(resolve(["jax.local"])[0], 1)
    assert "refused" not in process.ask(60.0, "prepare", "mhcflurry", 0)
    assert list(tmp_path.glob("*/lcl-programs-*"))
    process.close()
    assert list(tmp_path.iterdir()) == []


def test_members_of_series_are_found_by_name():
    assert find("batch", 2).batch == 2 * find("batch", 1).batch
    assert find("mhcflurry", 0) in WORKLOADS


def measured(backend, workload, seconds, *, published=False, family="torch", error=0.1, message=""):
    return Measurement(
        backend,
        workload.name,
        0,
        workload.products,
        {op: [] if message else [seconds] * 2 for op in OPS},
        {"forward": [2.0] * 2, "step": [6.0] * 2},
        error_ratio=error,
        message=message,
        family=family,
        published=published,
    )


def test_best_published_is_the_fastest_that_is_right_and_was_run():
    found = [
        measured("torch.fast", SMALL, 1.0),
        measured("a.Wrong", SMALL, 0.1, published=True, error=2.0),
        measured("a.Missing", SMALL, 0.1, published=True, message="a is not installed"),
        measured("a.Slow", SMALL, 3.0, published=True),
        measured("a.Right", SMALL, 2.0, published=True),
    ]
    assert tables.best_published(found, "step").backend == "a.Right"
    assert tables.best_published(found[:3], "step") is None


@pytest.mark.parametrize(
    ("name", "peers"),
    [
        ("torch.fast", "torch"),
        ("flax.conv_local", "jax"),
        ("keras.local1", "tensorflow"),
        ("keras3.fast", "keras on jax"),
        ("keras3.fast.torch", "keras on torch"),
    ],
)
def test_peers_run_on_the_same_framework(name, peers):
    assert family(named(name).load()) == peers


def test_ratios_are_those_of_the_same_rounds():
    mine, other = (Measurement(name, "batch", 1, 10) for name in "ab")
    mine.seconds["step"], other.seconds["step"] = [1.0, 8.0, 9.0], [2.0, 4.0, 3.0, 100.0]
    assert mine.over("step", other.seconds["step"]) == 2.0


def test_summary_is_the_mean_over_large_layers_and_the_worst_peer_of_the_framework():
    machine = Machine(1)
    machine.reads, machine.writes, machine.products = [1e30], [1e30], [SMALL.products / 2.0]  # limits 2 s and 6 s
    found = [
        measured("torch.fast", SMALL, 12.0),
        measured("torch.unfold", SMALL, 3.0),
        measured("jax.fast", SMALL, 1.0, family="jax"),
        measured("torch.wrong", SMALL, 1.0, error=2.0),
    ]
    forward, step = tables.summary(found, [SMALL], machine, ["torch.fast", "mlx.fast"])
    assert (forward["backend"], forward["op"], step["op"]) == ("torch.fast", "forward", "step")
    assert (np.round(forward["limit_ratio"], 12), np.round(step["limit_ratio"], 12)) == (6, 2)
    assert (forward["peer"], forward["peer_ratio"], forward["peer_workload"]) == ("torch.unfold", 4.0, SMALL.name)
    machine.products = [SMALL.products * 1e6]  # limits below a millisecond are not averaged
    assert tables.summary(found, [SMALL], machine, ["torch.fast"])[0]["limit_ratio"] is None


def test_only_takes_names_and_globs_of_backends_and_published_layers_alike():
    def chosen(*words):
        return {ref.name for ref in _refs(words, everything=False, published=True)}

    assert {"jax.fast", "jax.local", "jax.patches"} <= chosen("jax.*")
    assert {"flax.linen_layer", "flax.conv_local"} <= chosen("flax.*")
    assert chosen("forum.*", "torch.fast") == {"forum.LocallyConnected2d", "forum.LocalLinear", "torch.fast"}
    with pytest.raises(lcl.LclError, match=r"nearest known: torch\.fast"):
        chosen("torch.fas")


@pytest.mark.slow
def test_published_layers_are_measured_with_what_is_missing_told(monkeypatch, tmp_path):
    names = [ref.name for ref in published.refs()]
    assert {"forum.LocallyConnected2d", "mhcflurry.LocallyConnected1D", "flax.conv_local"} <= set(names)
    assert published.refs(tmp_path) == []
    monkeypatch.setattr(published, "PACKAGES", tmp_path / "nothing")
    file = tmp_path / "bench.json"
    words = ("--only", "forum.*", "--only", "eir.LCL", "--workload", "mnist-200", "--rounds", "2", "--seconds", "0.1")
    done = run(*words, "--json", str(file))
    assert done.return_value == 0, done.output
    document = json.loads(file.read_text())
    states = {each["backend"]: (each["state"], each["published"]) for each in document["measurements"]}
    assert states == {
        "forum.LocallyConnected2d": ("measured", True),
        "forum.LocalLinear": ("not_run", True),
        "eir.LCL": ("not_run", True),
    }
    assert "eir.LCL: not run: eir.models.layers.lcl_layers is not installed" in done.output
    assert document["workloads"][0]["best_published"] == dict.fromkeys(OPS, "forum.LocallyConnected2d")


def test_scaling_is_drawn_with_its_exponents(tmp_path):
    found = [
        Measurement("a", series, factor, 10 * factor, {op: [3.0 * factor] * 2 for op in OPS}, error_ratio=0.1)
        for series in SERIES
        for factor in FACTORS
    ]
    picture = tmp_path / "growth.svg"
    tables.plot(picture, found, [])
    text = picture.read_text()
    assert all(f"{op}, growing {series}" in text for op in OPS for series in SERIES)
    assert "a: 1.00" in text
