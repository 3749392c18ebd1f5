"""How the fast layers walk their output: every position once, within the room given."""

import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.layers.engines import index_tables, tiling
from tests.support.layer_answers import random_spec

TILED = {"input_size": (6, 4), "in_channels": 3, "out_channels": 5, "kernel_size": (3, 2), "stride": (3, 2)}


@pytest.mark.parametrize("room", [0, 300, 5000, 1 << 30])
def test_tiles_cover_every_position_once_in_the_room_given(room):
    draw = np.random.default_rng(room)
    for _ in range(50):
        spec = random_spec(draw)
        seen = np.zeros(spec.output_size, int)
        for tile in tiling.tiles(spec, 2, 4, room):
            seen[tile] += 1
            windows = 2 * 4 * np.prod(tiling.counts(tile)) * spec.fan_in * index_tables.groups(spec)
            assert windows <= room or tiling.side_by_side(spec) or set(tiling.counts(tile)) == {1}
        assert (seen == 1).all()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"input_size": (7, 4)}, False),
        ({"padding": ((0, 0), (2, 0))}, False),
        ({"stride": 1, "kernel_size": 1, "dilation": 3}, True),
        ({"stride": 2, "kernel_size": (6, 4)}, True),
        ({"stride": 1}, False),
        ({"input_size": (), "kernel_size": (), "stride": ()}, True),
    ],
)
def test_windows_side_by_side_are_recognised(changes, expected):
    spec = lcl.Spec(**TILED | changes)
    assert tiling.side_by_side(spec) is expected
    sites = index_tables.sites(spec).ravel()
    if spec.rank:
        assert (sorted(sites) == list(range(np.prod(spec.input_size)))) is expected


def test_parts_cover_the_batch_once():
    spec = lcl.Spec(**TILED)
    for batch in (0, 1, 7, 100):
        parts = tiling.parts(spec, batch, 1 << 12)
        assert [sample for part in parts for sample in range(part.start, part.stop)] == list(range(batch))
    assert len(tiling.parts(spec, 100, 1 << 12)) > 1
    assert len(tiling.parts(spec, 100, 4)) == 1
