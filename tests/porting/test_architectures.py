"""Three public architectures, moved whole: outputs and gradients have the bits of the old network's."""

import json
import os

import pytest

from tests.support.paths import SUPPORT
from tests.support.programs import python

PROGRAM = SUPPORT / "architectures.py"
SIDES = {
    "torch": {},
    "flax": {},
    "keras-jax": {"KERAS_BACKEND": "jax"},
    "keras-tensorflow": {"KERAS_BACKEND": "tensorflow"},
    "keras-torch": {"KERAS_BACKEND": "torch"},
}
FILLED = {"deepface": 7, "mhcflurry": 5, "all_tnn": 7}
"""Layers with weights of each network."""


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """Write the old networks."""
    folder = tmp_path_factory.mktemp("architectures")
    done = python(PROGRAM, "old", folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("side", SIDES)
def test_outputs_and_gradients_are_those_of_the_old_network(old, side):
    done = python(PROGRAM, side.partition("-")[0], old, env=os.environ | SIDES[side], timeout=1200)  # a minute alone
    assert done.returncode == 0, done.stderr
    counted = json.loads(done.stdout.splitlines()[-1])
    assert {name: filled for name, (filled, _) in counted.items()} == FILLED
