"""Importing or calling a layer leaves the state of its framework and of the process as it was."""

import json
from functools import cache

import pytest

from tests.support.child import run
from tests.support.marks import quick
from tests.support.paths import SUPPORT

SYSTEMS = [(name, None) for name in ("torch", "mlx", "flax_linen", "flax_nnx")]
SYSTEMS = quick([*SYSTEMS, *(("keras", name) for name in ("tensorflow", "jax", "torch"))], ("torch", None))


@cache
def observed(kind, backend):
    """What one process has seen: changes by import and by call, and changes of its own that it did not notice."""
    return json.loads(run("-W", "ignore", SUPPORT / "global_state.py", kind, backend=backend).splitlines()[-1])


@pytest.mark.parametrize(("kind", "backend"), SYSTEMS)
def test_a_layer_changes_no_global_state(kind, backend):
    seen = observed(kind, backend)
    assert (seen["import"], seen["call"]) == ([], [])


@pytest.mark.parametrize(("kind", "backend"), SYSTEMS)
def test_the_test_above_would_see_each_kind_of_change(kind, backend):
    seen = observed(kind, backend)
    assert seen["unseen"] == []
    assert seen["kept"] > 8
