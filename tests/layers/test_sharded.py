"""Layers over several devices or processes: what moves, that answers are those of one, and what a loss ends in."""

import json
import math
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.layers.engines.shards import Cut, cuts, halo
from lcl_ref.layers.planning import Cluster, placements
from lcl_ref.layers.sharded import Sharded
from tests.support.layer_answers import random_spec
from tests.support.programs import python
from tests.support.sharded_cases import cut_cases, needed

SPEC = lcl.Spec(input_size=(12, 9), in_channels=2, out_channels=3, kernel_size=3, padding=1)
LOST_SECONDS = 30

PIECES = 16
"""Of some minutes each, for a process that compiles some dozens of programs."""


def test_what_moves_and_what_is_there_is_what_windows_see_and_no_more():
    draw = np.random.default_rng(4)
    for _ in range(40):
        spec = random_spec(draw)
        for axis in range(spec.rank):
            for shards in (2, 3, 4, 7):
                cut = Cut(spec, axis, shards)
                for shard in range(shards):
                    views = [view for view in cut.views if view.target == shard]
                    there = [(view.source, view.first + more) for view in views for more in view.sees]
                    assert sorted(site for _, site in there) == cut.seen(shard)
                    assert all(site in range(*cut.own_sites(source)) for source, site in there)


def test_the_halo_of_a_grid_has_each_site_once_that_windows_see_elsewhere():
    draw = np.random.default_rng(7)
    specs = [spec for _ in range(40) if (spec := random_spec(draw)).rank]
    for spec in specs:
        for shards in ([3] * spec.rank, [4, 2, 1][: spec.rank]):
            assert halo(spec, cuts(spec, shards)) == needed(spec, shards)
    assert sum(halo(spec, cuts(spec, [3] * spec.rank)) for spec in specs)


def test_every_position_sees_its_sites_in_the_window_of_its_shard():
    spec = lcl.Spec(input_size=11, in_channels=1, out_channels=1, kernel_size=3, stride=2, dilation=2, padding=3)
    cut = Cut(spec, 0, 3)
    for shard in range(3):
        for position in range(*cut.own_positions(shard)):
            sites = [position * 2 + tap * 2 - 3 for tap in range(3)]
            assert all(0 <= site - cut.start(shard) < cut.window for site in sites)
            assert set(cut.seen(shard)) >= {site for site in sites if 0 <= site < 11}


def test_axes_that_do_not_fit_are_refused():
    mesh = jax.make_mesh((1,), ("rows",))
    for axes, batch in ((("rows",), None), (("columns", None), None), (("rows", None), "rows")):
        with pytest.raises(lcl.SpecError, match="axes: got"):
            Sharded(SPEC, mesh, axes, batch)
    with pytest.raises(lcl.SpecError, match="2 spatial axes"):
        cuts(SPEC, (4,))
    layer = Sharded(SPEC, mesh, ("rows", None))
    with pytest.raises(lcl.ShapeError, match=r"weight: got shape \(1,\)"):
        layer.place(np.ones(1, np.float32))


def test_planned_bytes_are_those_of_the_halo():
    cluster = Cluster(4, memory=1e9, multiply_adds=1e12, memory_speed=1e11, link=1e9)
    positions, samples, gathered = placements(SPEC, 5, cluster)
    assert positions.moved == 2 * 4 * 5 * 2 * 9 * 2  # forward and back: two rows of nine sites with two channels
    assert samples.moved == 2 * 3 / 4 * 4 * SPEC.parameter_count
    assert gathered.moved == 1.5 * samples.moved
    assert positions.memory < gathered.memory < samples.memory


def lines(done):
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def over_devices(cases):
    """Return the rows of cases asked over devices of JAX, all of which have to be right and move the halo alone."""
    rows = lines(python("-m", "tests.support.sharded_child", *cases, timeout=3000))
    assert len(rows) >= 3 * len(cases)
    for row in rows:
        told, left = row["asked"], row["left_to_xla"]
        assert told["wrong"] == [], row
        assert told["moved"][0] == told["halo"] == told["least"], row
        summed = not row["unshared"] or row["bias"] == "channel"
        assert set(told["moved"][1]) <= ({"all-reduce"} if summed else set()), row
        if left:
            assert left["wrong"] == [], row
        if left and left["even"]:
            assert 2 * left["moved"][0] == 3 * left["least"], row  # the weight's gradient gets the halo again
            assert set(left["moved"][1]) <= ({"all-reduce"} if summed else set()), row
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("piece", range(PIECES))
def test_golden_answers_over_2_3_and_4_devices_move_no_more_than_the_halo(piece):
    rows = over_devices(cut_cases("full", 1)[piece::PIECES])
    assert any(row["asked"]["halo"] for row in rows if len(row["mesh"]) == 2)
    assert any(row["left_to_xla"] and row["left_to_xla"]["moved"][0] for row in rows)


@pytest.mark.slow
def test_layers_of_flax_move_halos_and_training_is_that_of_one_device():
    *asked, transforms, training = lines(python("-m", "tests.support.sharded_flax_child", timeout=600))
    halo = 4 * 2 * 2 * 8 * 6  # two samples, two channels, six rows of eight
    assert len(asked) == 8
    for row in asked:
        times = 2 if row["named"] or row["kind"] == "Explicit" else 3  # the weight's gradient gets it again
        assert row["right"], row
        assert row["moved"] == [times * halo, {}], row
    assert transforms == {"transforms": [True] * 6}
    assert training == {"furthest": 0.0, "loaded": [True, True, True]}


def processes(tmp_path, job, size, *words):
    """Run so many processes of torch, and return what became of each."""
    store = tmp_path / f"{job}-{size}"
    store.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.support.sharded_torch_child", job, str(store)]
    started = [
        subprocess.Popen([*command, str(rank), str(size), *map(str, words)], stdout=-1, stderr=-1, text=True)
        for rank in range(size)
    ]
    return [(one.communicate(timeout=900), one.returncode) for one in started]


def over_processes(tmp_path, grid, cases):
    """Return the rows of every process that asked these cases over a grid, all of which have to be right."""
    found = []
    for (out, err), status in processes(tmp_path, "cases", math.prod(map(int, grid.split("x"))), grid, *cases):
        assert status == 0, err
        found.append([json.loads(line) for line in out.splitlines()])
        assert [row["case"] for row in found[-1]] == cases
        assert [row for row in found[-1] if row["wrong"] or not row["same"]] == []
    for rows in zip(*found, strict=True):
        assert sum(row["sent"] for row in rows) == rows[0]["halo"], rows[0]["case"]
    assert any(row["halo"] for row in found[0])


@pytest.mark.slow
@pytest.mark.parametrize("grid", ["2", "3", "4", "2x2", "2x1"])
def test_golden_answers_over_processes_of_torch(tmp_path, grid):
    over_processes(tmp_path, grid, cut_cases("full", 1 + grid.count("x")))


@pytest.mark.slow
def test_training_over_four_processes_is_that_of_one_and_its_checkpoint_loads_under_any_number(tmp_path, monkeypatch):
    monkeypatch.setenv("LCL_KERNEL", "0")  # by the compiled kernel the last bit of a sum depends on its neighbours
    for size in (1, 4):
        (tmp_path / f"{size}").mkdir()
        assert [status for _, status in processes(tmp_path, "train", size, tmp_path / f"{size}")] == [0] * size
    for name in ("weight.npy", "bias.npy"):
        assert np.array_equal(np.load(tmp_path / "1" / name), np.load(tmp_path / "4" / name))
    for size in (1, 2, 3):
        answers = [json.loads(out) for (out, _), _ in processes(tmp_path, "load", size, tmp_path / "4")]
        assert answers == [[True, True]] * size
    for grid in ([2, 2], [1, 2]):
        size = math.prod(grid)
        answers = [json.loads(out) for (out, _), _ in processes(tmp_path, "load", size, tmp_path / "4", grid)]
        assert answers == [[True, True]] * size


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_others_with_one_error(tmp_path):
    (first, killed, last) = processes(tmp_path, "lost", 3)
    assert killed[1] == -9
    for (out, _), status in (first, last):
        found = json.loads(out)
        assert status == 3
        assert found["seconds"] < LOST_SECONDS
        assert found["error"].startswith("a process of the group: got ")
        assert "\n" not in found["error"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lost", "how", "heartbeat"),
    [(1, signal.SIGKILL, 100), (0, signal.SIGKILL, 100), (1, signal.SIGSTOP, 10), (0, signal.SIGSTOP, 10)],
)
def test_a_process_of_jax_that_is_lost_ends_the_other(lost, how, heartbeat):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "tests.support.sharded_jax_child", address]
    words = [str(lost), str(int(how)), str(heartbeat)]
    started = [subprocess.Popen([*command, str(rank), *words], stdout=-1, stderr=-1, text=True) for rank in (0, 1)]
    try:
        assert all(any("reached" in line for line in one.stdout) for one in started)
        began = time.monotonic()
        out, err = started[1 - lost].communicate(timeout=2 * LOST_SECONDS)
        took = time.monotonic() - began
    finally:
        for one in started:
            with one:
                one.kill()
    assert took < LOST_SECONDS, (out, err)
    assert started[1 - lost].returncode not in (0, None)
    assert out or "distributed service detected fatal errors" in err
