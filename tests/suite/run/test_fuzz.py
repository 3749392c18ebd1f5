"""`lcl fuzz` finds what is wrong, shrinks it, and finds nothing in a right layer."""

import json
from pathlib import Path

import pytest

from tests.support.programs import lcl

LAYERS = Path(__file__).with_name("wrong_layers.py")


def fuzz(name, *words):
    done = lcl("fuzz", "-b", f"{LAYERS}:{name}", "--examples", "150", *words)
    return done.returncode, done.stdout


def spec_of(text):
    return json.loads(text.split("spec", 1)[1].split("\n", 1)[0])


def test_a_wrong_layer_is_shrunk_to_what_is_wrong_about_it():
    status, out = fuzz("wrong_at_stride_three")
    assert status == 1
    spec = spec_of(out)
    assert spec["stride"] == [3]
    assert (spec["input_size"], spec["kernel_size"], spec["groups"]) == ([1], [1], 1)
    assert (spec["in_channels"], spec["out_channels"]) == (1, 1)


def test_memory_orders_are_drawn_too_unless_they_are_declined():
    status, out = fuzz("takes_memory_as_it_lies")
    assert status == 1
    assert "operands in Fortran order" in out or "operands a view, channels last" in out
    assert fuzz("NeedsContiguousArrays", "--examples", "60")[0] == 0


@pytest.mark.slow
def test_the_same_seed_finds_the_same_layer():
    words = ("wrong_at_stride_three", "--seed", "5", "--examples", "40")
    assert fuzz(*words) == fuzz(*words)


def test_a_crash_is_laid_at_the_door_of_the_layer_asked_last():
    status, out = fuzz("dies_at_stride_three")
    assert status == 1
    assert "lost while it was asked this layer" in out
    assert "exit status 5" in out
    assert 3 in spec_of(out)["stride"]


def test_a_right_layer_has_nothing_to_find():
    status, out = fuzz("right")
    assert status == 0
    assert "none wrong" in out


def test_a_layer_that_supports_nothing_was_not_tested():
    assert fuzz("Refuses")[0] == 3
