"""`lcl bench`: what it measures is right, what it prints is what it measured, and what is wrong is shown as wrong."""

import contextlib
import json
import os
import sys
import threading
import time

import numpy as np
import pytest
from click.testing import CliRunner

import lcl_ref as lcl
from lcl_ref.bench import machine, published, regression, tables
from lcl_ref.bench.child import Bench, family, find, operands
from lcl_ref.bench.machine import Machine, rest, turn
from lcl_ref.bench.memory_estimate import batches_that_fit, needed
from lcl_ref.bench.process import BackendProcess
from lcl_ref.bench.session import OPS, TRAIN, Measurement
from lcl_ref.bench.spot_check import worst_error
from lcl_ref.bench.workloads import FACTORS, SERIES, WORKLOADS, Workload
from lcl_ref.cli import cli
from lcl_ref.cli.bench import MODULES, _refs, recommended_names
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
        assert all(len(measurement[kind][op]) == 2 for op in (*OPS, TRAIN) for kind in ("seconds", "cold", "limits"))
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


def test_a_turn_prepares_every_call_and_does_not_time_that():
    calls, began = [], time.perf_counter()
    work = lambda: (calls.append("call"), time.sleep(0.03))  # noqa: E731
    taken = turn(work, "wall", before=lambda: (calls.append("before"), time.sleep(0.001)))
    assert calls[:4] == ["before", "call"] * 2
    assert calls.count("before") == calls.count("call")
    assert 0.03 <= taken < (time.perf_counter() - began) / 2


def test_a_process_answers_when_its_threads_no_longer_spin():
    until = time.monotonic() + 0.2

    def spin():
        while time.monotonic() < until:
            pass

    spinning = threading.Thread(target=spin)
    spinning.start()
    rest()
    assert not spinning.is_alive()
    spinning.join()


def test_caches_are_flushed_by_twice_what_the_largest_holds(tmp_path):
    for number, size in enumerate(["32K", "512K", "8192K"]):
        (tmp_path / f"index{number}").mkdir()
        (tmp_path / f"index{number}" / "size").write_text(size + "\n")
    assert machine.largest_cache_bytes(tmp_path) == 8 << 20
    assert machine.largest_cache_bytes(tmp_path / "nothing") == machine.UNKNOWN_CACHE_BYTES
    memory = machine._other_memory()
    before = int(memory[0])
    machine.flush_caches()
    assert (memory.nbytes, int(memory[-1])) == (2 * machine.largest_cache_bytes(), (before + 1) % 256)


@pytest.mark.parametrize("name", ["numpy.fast", "torch.fast", "torch.layer"])
def test_a_step_of_training_takes_the_gradient_off_the_weights(name):
    spec = lcl.Spec(input_size=(4, 3), in_channels=2, out_channels=3, kernel_size=2, bias="channel")
    stream = np.random.default_rng(0)
    x, weight, bias, dy = (
        stream.integers(-3, 4, shape).astype(np.float32) for shape in spec.operand_shapes(2).values()
    )
    layer = named(name).load()().prepare(spec, weight, bias, "float32")
    layer.descend(x, dy, 0.5)
    _, dw, db = lcl.vjp(spec, x, weight, bias, dy)
    assert np.array_equal(layer.forward(x), lcl.forward(spec, x, weight - dw / 2, bias - db / 2))


def test_what_users_call_is_measured_by_default_and_interpreted_kernels_never():
    chosen = {ref.name for ref in _refs((), everything=False, published=False)}
    assert set(MODULES) | set(recommended_names()) == chosen
    assert not {"torch.triton", "jax.pallas"} & {ref.name for ref in _refs((), everything=True, published=False)}


def document(*measurements, threads=2):
    return {
        "format": tables.FORMAT,
        "machine": {"threads": threads, "clock": "wall"},
        "measurements": [vars(each) for each in measurements],
    }


def test_runs_are_compared_by_multiples_of_the_limit_or_of_a_control():
    old = document(measured("a", SMALL, 4.0), measured("b", SMALL, 8.0), measured("gone", SMALL, 1.0))
    new = document(measured("a", SMALL, 8.0), measured("b", SMALL, 8.0), measured("new", SMALL, 1.0))
    found = regression.changes(new, old)
    assert {(each.backend, each.op, each.old, each.new) for each in found[:2]} == {
        ("a", "forward", 2.0, 4.0),
        ("a", "step", 4 / 6, 8 / 6),
    }
    assert [each.factor for each in found] == [2.0, 2.0, 1.0, 1.0]
    slow_day = document(measured("a", SMALL, 40.0), measured("b", SMALL, 80.0))
    assert [each.factor for each in regression.changes(slow_day, old, "b")] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("new", "control", "said"),
    [
        (document(measured("a", SMALL, 1.0), threads=1), None, "threads: got 1, expected 2"),
        (document(measured("other", SMALL, 1.0)), None, "none in common"),
        (document(measured("a", SMALL, 1.0)), "b", "none in common, expected .* both runs have measured, and b"),
    ],
)
def test_runs_that_cannot_be_compared_say_why(new, control, said):
    with pytest.raises(lcl.LclError, match=said):
        regression.changes(new, document(measured("a", SMALL, 1.0)), control)


def test_a_file_that_is_no_run_is_refused(tmp_path):
    file = tmp_path / "report.json"
    file.write_text('{"format": "lcl-report/1"}')
    with pytest.raises(lcl.LclError, match="format 'lcl-report/1', expected 'lcl-bench/1'"):
        regression.read(file)


@pytest.mark.parametrize(("factor", "status"), [(1e-3, 4), (1e3, 0)])
def test_the_status_says_whether_anything_grew(tmp_path, factor, status):
    words = ("-b", "numpy.fast", "--workload", "blocks-256", "--rounds", "2", "--seconds", "0.1", "--threads", "1")
    file = tmp_path / "bench.json"
    old = document(measured("numpy.fast", find("blocks-256", 0), factor), threads=1)
    old["measurements"][0]["limits"] = {op: [1.0] * 2 for op in OPS}
    file.write_text(json.dumps(old))
    done = run(*words, "--against", str(file))
    assert (done.exception, done.return_value) == (None, status), done.output
    assert f"{len(OPS) if status else 0} of {len(OPS)} ratios grew by more than 25 %" in done.output
