"""The fused kernels of Triton: interpreted against the golden data and the reference, and compiled for graphics cards.

`make test-triton` installs Triton and runs these; they are no part of `make test`.
"""

import json
import os

import numpy as np
import pytest
import torch

from lcl_ref.layers.engines.accelerators import kernel_tables
from lcl_ref.layers.engines.accelerators.plans import Plan, with_plan
from lcl_ref.layers.engines.torch import local
from tests.layers.accelerators.test_pallas import LAYERS
from tests.support.compiled_layers import assert_one_graph
from tests.support.layer_answers import assert_conforms, golden, integers, random_spec
from tests.support.paths import ROOT
from tests.support.programs import lcl, python

pytestmark = pytest.mark.triton

TARGETS = ["cuda 80", "cuda 90", "hip gfx942"]

COMPILE = ROOT / "tests" / "layers" / "accelerators" / "compiled.py"


def test_the_interpreter_is_on():
    assert os.environ["TRITON_INTERPRET"] == "1"


@pytest.mark.parametrize("together", [1, 1 << 16])
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_programs_that_make_one_product_or_several(monkeypatch, name, together, dtype):
    monkeypatch.setattr(kernel_tables, "INTERPRETED", together)
    spec, operands = LAYERS[name], integers(LAYERS[name], 17, 2)
    x, weight, bias, dy = (torch.tensor(array).to(dtype).requires_grad_() for array in operands.values())
    y = local(with_plan(spec.to_json(), Plan.FUSED), x, weight, bias)
    y.backward(dy)
    expected = golden(spec, operands)
    for result, value in {"y": y.detach(), "dx": x.grad, "dw": weight.grad}.items():
        assert torch.equal(value, torch.tensor(expected[result]).to(dtype)), result


def test_layers_drawn_at_random():
    from lcl_backends.torch.triton import Adapter

    draw = np.random.default_rng(0)
    for number in range(20):
        assert_conforms(Adapter(), random_spec(draw), (1, 3, 0)[number % 3], seed=number)


# torch 2.13's tracer of autograd functions warns of what it does itself.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_the_plan_is_one_graph_under_the_compiler():
    assert_one_graph(LAYERS["table"], Plan.FUSED)


def test_every_cell_of_the_core_tier_conforms():
    done = lcl("run", "-b", "torch.triton", "--tier", "core", timeout=3000)
    assert done.returncode == 0, done.stdout


def compiled(target, what):
    """What `compiled.py` prints of a graphics card."""
    done = python(COMPILE, target, what, env=os.environ | {"TRITON_INTERPRET": "0"}, cwd=ROOT, timeout=1200)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("target", TARGETS)
def test_kernels_compile_for_graphics_cards_and_use_their_matrix_units(target):
    found = compiled(target, "units")
    assert len(found) == 9
    assert all(units > 0 for name, units in found.items() if not name.endswith("fp32") or target.startswith("hip"))


@pytest.mark.parametrize("target", TARGETS)
def test_what_the_layers_of_the_core_tier_launch_compiles(target):
    found = compiled(target, "layers")
    assert found["launches"] >= 200
    assert found["programs"] >= 100
