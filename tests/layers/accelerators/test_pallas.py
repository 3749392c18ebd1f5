"""The fused kernels of Pallas: interpreted against the reference, and compiled for graphics cards as far as Triton."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lcl_ref as lcl
from lcl_backends.jax.pallas import Adapter
from lcl_ref.layers.engines.accelerators import kernel_tables, pallas_products
from lcl_ref.suite.cases.catalogue import CASES
from lcl_ref.suite.cases.tiers import TIERS
from lcl_ref.suite.formats import FORMATS
from tests.support.layer_answers import assert_conforms, golden, integers, random_spec
from tests.support.marks import quick

LAYERS = {
    "groups, padding, tails": lcl.Spec(
        input_size=(5, 4), in_channels=4, out_channels=6, kernel_size=(3, 2), stride=(2, 1), padding=1, groups=2
    ),
    "table": lcl.Spec(
        input_size=5, in_channels=3, out_channels=4, kernel_size=2, channel_table=((2, 0), (1, 0), (0, 2), (2, 1))
    ),
    "some shared": lcl.Spec(
        input_size=(4, 5), in_channels=2, out_channels=3, kernel_size=2, shared=(True, False), bias="channel"
    ),
    "blocks": lcl.Spec(input_size=(), in_channels=6, out_channels=9, kernel_size=(), groups=3),
}


def results(spec, operands, dtype):
    """y, dx, dw and db, interpreted."""
    x, weight, bias, dy = (jnp.asarray(array.astype(FORMATS[dtype].dtype)) for array in operands.values())
    y, pull_back = jax.vjp(partial(pallas_products.local, spec, interpret=True), x, weight, bias)
    return dict(zip(("y", "dx", "dw", "db"), (y, *pull_back(dy)), strict=True))


@pytest.mark.parametrize("dtype", quick(["bfloat16", "float16", "float32"], "bfloat16"))
def test_kernels_give_the_answers_of_the_reference(dtype):
    spec, operands = LAYERS["table"], integers(LAYERS["table"], 3, 1)
    expected = golden(spec, operands)
    for result, value in results(spec, operands, dtype).items():
        assert str(value.dtype) == dtype
        assert np.array_equal(np.asarray(value, np.float64), expected[result]), result


@pytest.mark.slow
@pytest.mark.parametrize("together", [1, 1 << 12])
@pytest.mark.parametrize("name", LAYERS)
def test_programs_that_make_one_product_or_several(monkeypatch, name, together):
    monkeypatch.setattr(kernel_tables, "INTERPRETED", together)
    jax.clear_caches()
    spec, operands = LAYERS[name], integers(LAYERS[name], 17, 2)
    expected = golden(spec, operands)
    for result, value in results(spec, operands, "float32").items():
        assert np.array_equal(value, expected[result]), result


@pytest.mark.slow
def test_layers_drawn_at_random():
    draw = np.random.default_rng(0)
    for number in range(12):
        assert_conforms(Adapter(), random_spec(draw), (1, 3, 0)[number % 3], seed=number)


def kernels_of(spec, batch, platform, dtype=jnp.bfloat16):
    """How many kernels of Triton a forward pass and its gradients have in JAX's program for a platform."""
    *operands, dy = (jax.ShapeDtypeStruct(shape, dtype) for shape in spec.operand_shapes(batch).values())

    def step(dy, *given):
        y, pull_back = jax.vjp(partial(pallas_products.local, spec), *given)
        return y, pull_back(dy)

    lowered = jax.jit(step).trace(dy, *operands).lower(lowering_platforms=(platform,)).as_text()
    return lowered.count("custom_call @__gpu$xla.gpu.triton")


@pytest.mark.parametrize(("platform", "kernels"), [("cuda", 3), ("rocm", 3), ("tpu", 0), ("cpu", 0)])
def test_a_step_is_three_kernels_where_pallas_has_triton(platform, kernels):
    assert kernels_of(LAYERS["groups, padding, tails"], 2, platform) == kernels


@pytest.mark.slow
@pytest.mark.parametrize(("platform", "kernels"), [("cuda", 3), ("rocm", 3), ("tpu", 0)])
def test_the_layers_of_the_core_tier_lower_for_accelerators(platform, kernels):
    layers = {case.spec: max(1, case.batch) for case in CASES if TIERS["core"](case)}
    assert len(layers) >= 60
    for spec, batch in layers.items():
        assert kernels_of(spec, batch, platform, jnp.float32) == kernels, spec


def test_a_processor_computes_what_is_not_interpreted_by_the_plain_route():
    spec, operands = LAYERS["table"], integers(LAYERS["table"], 3, 1, dtype="float32")
    x, weight, bias, dy = map(jnp.asarray, operands.values())
    y, pull_back = jax.vjp(partial(pallas_products.local, spec), x, weight, bias)
    expected = golden(spec, operands)
    for name, value in zip(("y", "dx", "dw", "db"), (y, *pull_back(dy)), strict=True):
        assert np.array_equal(value, expected[name]), name
