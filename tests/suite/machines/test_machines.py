"""A run on other machines: who is asked what, what is refused, and that the answers are those of one machine."""

import contextlib
import json
import os
import subprocess
import sys
import time

import pytest

import lcl_ref as lcl
from lcl_ref.suite.judge.outcome import Cell
from lcl_ref.suite.machines.offers import LCL, offered
from lcl_ref.suite.machines.units import Machine, Units, lacking
from lcl_ref.suite.machines.versions import check_versions
from lcl_ref.suite.run.loading import resolve
from tests.support import command_line
from tests.support.programs import FOREGROUND, python, run
from tests.support.programs import LCL as PROGRAM

REFS = resolve(["numpy.fast", "numpy.loop", "torch.fast", "torch.loop", "jax.fast"])
PLAN = {ref: [Cell(ref.name, "c", "forward", "float32")] * 400 for ref in REFS}
NUMPY = Machine("laptop", frozenset({LCL}))
TORCH = Machine("gpu", frozenset({LCL, "torch", "GPU"}))
ASKED = ["-b", "numpy.fast", "-b", "torch.fast", "-b", "torch.unfold", "-c", "1d/*", "--tier", "smoke", "--seed", "3"]


def handed_out(units, *machines):
    """Return what each machine is given next, for as many slots as it has free."""
    found = list(units.handed_out({machine.name: machine for machine in machines}))
    return found, [(unit.address, unit.ref.name) for unit in found]


def test_a_machine_is_given_what_it_can_answer_and_stays_with_what_it_has_loaded():
    units = Units(PLAN)
    first, given = handed_out(units, NUMPY, TORCH)
    assert given == [("laptop", "numpy.fast"), ("gpu", "torch.fast")]
    assert handed_out(units, NUMPY, TORCH)[1] == []
    for unit in first:
        units.settled(unit)
    assert handed_out(units, NUMPY, TORCH)[1] == [("laptop", "numpy.loop"), ("gpu", "torch.loop")]
    assert [ref.name for ref in units.waiting] == ["jax.fast"]
    reason = lacking(units.needs[units.waiting[0]], [NUMPY, TORCH])
    assert reason == "no machine has all it needs: laptop lacks jax; gpu lacks jax"


def test_a_machine_that_comes_later_is_given_what_is_left():
    units = Units(PLAN)
    handed_out(units, TORCH)
    assert handed_out(units, TORCH, Machine("late", TORCH.offers, threads=4))[1] == [
        ("late", "torch.fast"),
        ("late", "numpy.loop"),
        ("late", "torch.loop"),
    ]
    units.given_up(units.waiting[0])
    assert units.waiting == []


def test_what_is_demanded_is_needed_by_every_backend():
    units = Units(PLAN, ["GPU"])
    assert handed_out(units, NUMPY, TORCH)[1] == [("gpu", "numpy.fast")]
    assert lacking(units.needs[REFS[0]], [NUMPY]) == "no machine has all it needs: laptop lacks GPU"
    assert lacking(units.needs[REFS[0]], []) == "no machine is there: `lcl worker` starts one"


def test_a_machine_offers_its_python_and_what_imports():
    found = offered(["no-such-framework"])
    assert found[:2] == [LCL, f"PYTHON-{sys.version_info.major}.{sys.version_info.minor}"]
    assert "torch" not in found


def test_a_framework_that_does_not_import_is_named(monkeypatch, tmp_path):
    (tmp_path / "mlx.py").write_text("raise ImportError('no library')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    told = []
    assert "mlx" not in offered(["mlx"], told.append)
    assert told == ["mlx is not offered: `import mlx` fails: ImportError: no library"]


LOADED = "import sys, {}; print([name for name in ('dask', 'distributed') if name in sys.modules])"


def test_dask_is_imported_by_nothing_that_does_not_ask_for_it():
    modules = "lcl_ref.cli.run, lcl_ref.cli.worker, lcl_ref.suite.machines.units, lcl_ref.suite.machines.messages"
    assert python("-c", LOADED.format(modules)).stdout.strip() == "[]"


@pytest.mark.slow
def test_the_test_above_would_see_dask():
    assert python("-c", LOADED.format("lcl_ref.suite.machines.asking")).stdout.strip() == "['dask', 'distributed']"


def test_other_versions_are_refused_with_both_named():
    here = {"lcl-ref": "2.0", "golden data": "abc"}
    check_versions("gpu", here, here)
    with pytest.raises(lcl.LclError, match=r"machine gpu: got lcl-ref 1\.9, expected lcl-ref 2\.0, as at home"):
        check_versions("gpu", here | {"lcl-ref": "1.9"}, here)


def test_options_that_do_not_fit_are_refused(capsys):
    done = command_line.lcl("run", "-b", "numpy.loop", "--on", "GPU", capsys=capsys)
    assert (done.returncode, "--dask ADDRESS" in done.stderr) == (2, True)
    done = command_line.lcl("run", "-b", "numpy.loop", "--ladder", "--dask", "tcp://127.0.0.1:1", capsys=capsys)
    assert (done.returncode, "leave out --dask or --ladder" in done.stderr) == (2, True)


@pytest.fixture
def cluster():
    """A scheduler of Dask and its client; `lcl worker` adds machines."""
    import distributed

    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=None) as scheduler,
        distributed.Client(scheduler, set_as_default=False) as client,
    ):
        yield client


@contextlib.contextmanager
def machine(client, name, *only, env=()):
    """Start a machine, and wait until the scheduler has it."""
    words = [word for one in only for word in ("--only", one)]
    command = [*FOREGROUND, *PROGRAM, "worker", client.scheduler.address, "--name", name, *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | dict(env))
    try:
        assert process.stdout.readline().startswith(f"{name} at tcp://")
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def asked(tmp_path, name, *words):
    """Run `lcl` for a report, and return it with its rows but for times and machines."""
    file = tmp_path / f"{name}.json"
    done = run(*PROGRAM, "run", *words, "--json", file, "-q", timeout=500)
    report = json.loads(file.read_text())
    rows = [{key: value for key, value in row.items() if key != "seconds"} for row in report["outcomes"]]
    return done, report, rows


@pytest.mark.slow
def test_a_machine_without_a_framework_leaves_its_cells_not_run(cluster, tmp_path):
    with machine(cluster, "laptop", "nothing"):
        words = [*ASKED, "--dask", cluster.scheduler.address]
        done, report, rows = asked(tmp_path, "dask", *words)
        home = asked(tmp_path, "home", "-b", "numpy.fast", *ASKED[6:])[2]
    assert {row["backend"]: row["message"] for row in rows if row["state"] == "not_run"} == dict.fromkeys(
        ("torch.fast", "torch.unfold"), "no machine has all it needs: laptop lacks torch"
    )
    assert "laptop lacks torch" in done.stderr
    assert [row for row in rows if row["backend"] == "numpy.fast"] == home
    assert report["machines"].keys() == {"laptop"}
    assert report["backends"][0]["machine"] == "laptop"


@pytest.mark.slow
def test_a_machine_that_is_killed_in_the_middle_changes_nothing_in_the_report(cluster, tmp_path):
    with (
        machine(cluster, "laptop", "jax"),
        machine(cluster, "first", "torch") as first,
        machine(cluster, "second", "torch") as second,
    ):
        words = [*ASKED, "-b", "jax.fast", "--dask", cluster.scheduler.address, "--json", tmp_path / "dask.json", "-q"]
        process = subprocess.Popen([*PROGRAM, "run", *map(str, words)])
        addresses = {one["name"]: address for address, one in cluster.scheduler_info()["workers"].items()}
        machines = {addresses["first"]: first, addresses["second"]: second}
        busy = set()
        while not busy and process.poll() is None:
            busy = {address for address, keys in cluster.processing().items() if keys and address in machines}
            time.sleep(0.05)
        time.sleep(1)
        lost = busy.pop()
        machines[lost].kill()
        assert process.wait(timeout=400) == 0
        _, _, home = asked(tmp_path, "home", *ASKED, "-b", "jax.fast")
    report = json.loads((tmp_path / "dask.json").read_text())
    rows = [{key: value for key, value in row.items() if key != "seconds"} for row in report["outcomes"]]
    assert rows == home
    answered = {one["name"]: one["machine"] for one in report["backends"]}
    other = next(name for name in ("first", "second") if addresses[name] != lost)
    assert answered["torch.fast"] == answered["torch.unfold"] == other
    assert answered["jax.fast"] == "laptop"


@pytest.mark.slow
def test_ctrl_c_is_one_line_and_the_machine_stops_asking(cluster, tmp_path):
    (tmp_path / "sleeps.py").write_text("import time\ndef forward(spec, x, weight, bias):\n    time.sleep(2)\n")
    with machine(cluster, "laptop", "nothing"):
        words = ["run", "-b", str(tmp_path / "sleeps.py"), "--dask", cluster.scheduler.address]
        process = subprocess.Popen([*FOREGROUND, *PROGRAM, *words], stderr=subprocess.PIPE, text=True)
        while not any(cluster.processing().values()):
            time.sleep(0.1)
        time.sleep(1)
        process.send_signal(2)
        assert process.communicate(timeout=60)[1].strip() == "lcl: interrupted"
        assert process.returncode == 130
        deadline = time.monotonic() + 30
        while cluster.run(_threads_that_answer).popitem()[1] and time.monotonic() < deadline:
            time.sleep(0.5)
        assert cluster.run(_threads_that_answer).popitem()[1] == 0


def _threads_that_answer(dask_worker):
    return dask_worker.state.executing_count


@pytest.mark.slow
def test_without_a_scheduler_it_is_one_line():
    done = run(*PROGRAM, "run", "-b", "numpy.loop", "--dask", "tcp://127.0.0.1:9", timeout=100)
    assert done.returncode == 2
    assert done.stderr.startswith("lcl: scheduler tcp://127.0.0.1:9: got ")
    assert done.stderr.count("\n") == 1
