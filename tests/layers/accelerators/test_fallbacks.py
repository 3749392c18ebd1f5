"""What the fused kernels leave to others (docs/accelerators.md), with their plan forced on the processor."""

import os
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import lcl_ref as lcl
from lcl_ref.layers.engines import jax as jax_engine
from lcl_ref.layers.engines.accelerators import plans
from lcl_ref.layers.engines.torch import local
from tests.support.layer_answers import golden, integers
from tests.support.programs import python

SPEC = lcl.Spec(input_size=4, in_channels=1, out_channels=1, kernel_size=2)
BLOCKS = lcl.Spec(input_size=(), in_channels=6, out_channels=9, kernel_size=(), groups=3)


@pytest.fixture(autouse=True)
def _fused_everywhere(monkeypatch):
    monkeypatch.setattr(plans, "FORCED", "fused")


def kernels(spec, batch, dtype):
    """How many kernels of Pallas a layer has in JAX's program for CUDA."""
    operands = [jax.ShapeDtypeStruct(shape, dtype) for shape in spec.operand_shapes(batch).values()]
    traced = jax.jit(partial(jax_engine.local, spec)).trace(*operands[:3])
    return traced.lower(lowering_platforms=("cuda",)).as_text().count("custom_call @__gpu$xla.gpu.triton")


def answers(layer, operands):
    """y, dx, dw and db in torch."""
    given = [torch.tensor(array).requires_grad_() for array in list(operands.values())[:3]]
    y = layer(*given)
    y.backward(torch.tensor(operands["dy"]))
    return dict(zip(("y", "dx", "dw", "db"), (y.detach(), *(tensor.grad for tensor in given)), strict=True))


@pytest.mark.parametrize(
    ("batch", "dtype", "count"), [(2, "bfloat16", 1), (2, "complex64", 0), (1 << 29, "float32", 0)]
)
def test_jax_has_no_kernel_for_complex_numbers_nor_for_more_than_it_can_count(batch, dtype, count):
    assert kernels(SPEC, batch, jnp.dtype(dtype)) == count


@pytest.mark.parametrize(("spec", "dtype"), [(SPEC, "complex64"), (BLOCKS, "float32"), (BLOCKS, "float64")])
def test_torch_multiplies_complex_numbers_and_blocks_by_its_own_products(spec, dtype):
    """The kernels of Triton would not import here, or refuse the processor."""
    operands = integers(spec, 3, 1, dtype)
    expected = golden(spec, {name: array.real for name, array in operands.items()})
    for name, value in answers(partial(local, spec.to_json()), operands).items():
        assert np.array_equal(value, expected[name]), name


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")
def test_a_traced_graph_has_operations_of_torch_alone():
    text, (x, weight, bias) = SPEC.to_json(), (torch.ones(shape) for shape in list(SPEC.operand_shapes(2).values())[:3])
    traced = torch.jit.trace(lambda x, weight, bias: local(text, x, weight, bias), (x, weight, bias), check_trace=False)
    kinds = {node.kind().partition("::")[0] for node in traced.inlined_graph.nodes()}
    assert kinds == {"aten", "prim"}
    assert torch.equal(traced(x, weight, bias), torch.full(SPEC.y_shape(2), 3.0))


@pytest.mark.slow
def test_the_first_kernel_of_pallas_has_jax_set_a_variable():
    """So `jax.pallas` declares it: it would be an unfounded excuse otherwise."""
    program = (
        "import os, jax, numpy as np, lcl_ref as lcl; from lcl_backends.jax.pallas import Adapter\n"
        "spec = lcl.Spec(input_size=(), in_channels=1, out_channels=1, kernel_size=(), bias='none')\n"
        "layer = Adapter().prepare(spec, np.ones(spec.weight_shape, 'float32'), None, 'float32')\n"
        "before = dict(os.environ); layer.forward(np.ones((1, 1), 'float32')); print(set(os.environ) - set(before))"
    )
    clean = {name: value for name, value in os.environ.items() if name != "MOSAIC_GPU_CUDA_ROOT"}
    assert python("-c", program, env=clean, check=True).stdout.strip() == "{'MOSAIC_GPU_CUDA_ROOT'}"
