"""Layers of torch under its compiler."""

import numpy as np
import torch

from lcl_ref.layers.engines.accelerators.plans import with_plan
from lcl_ref.layers.engines.torch import local
from tests.support.layer_answers import golden, integers


def assert_one_graph(spec, plan):
    """Check that a layer and its gradients compile to one graph by a plan, with the answers of the reference."""
    text, operands = with_plan(spec.to_json(), plan), integers(spec, 3, 1)
    x, weight, bias, dy = (torch.tensor(array).requires_grad_() for array in operands.values())
    y = torch.compile(lambda *given: local(text, *given), fullgraph=True, backend="aot_eager")(x, weight, bias)
    y.backward(dy)
    expected = golden(spec, operands)
    for name, result in {"y": y.detach(), "dx": x.grad, "dw": weight.grad, "db": bias.grad}.items():
        assert np.array_equal(result, expected[name]), name
