"""The torch routes: what all adapters owe, and the traps they stand in."""

import math

import numpy as np
import pytest
import torch

import lcl_ref as lcl
from lcl_backends.torch import conv, fast, grouped_conv, loop, masked, unfold
from lcl_ref.core import reference
from lcl_ref.suite.to_numpy import to_numpy
from tests.support.adapter_contract import AdapterContract
from tests.support.layer_answers import assert_conforms, integers
from tests.support.paths import ROOT

ADAPTERS = tuple(module.Adapter() for module in (conv, fast, grouped_conv, loop, masked, unfold))


class TestContract(AdapterContract):
    adapters, frameworks = ADAPTERS, ("torch",)


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.declaration.name)
def test_batch_as_large_as_a_channel_count(adapter):
    """torch reads (channels, length) as one sample; a batch of that size must stay a batch."""
    shared = adapter.declaration.name == "torch.conv"
    spec = lcl.Spec(input_size=1, in_channels=4, out_channels=6, kernel_size=1, groups=2, shared=shared)
    for batch in (4, 6, 2):
        assert_conforms(adapter, spec, batch, batch, "float64")


def test_masked_declares_that_zero_times_infinity_spreads():
    """The limit is real: one bad input poisons its whole sample."""
    spec = lcl.Spec(input_size=(4, 5), in_channels=3, out_channels=2, kernel_size=(2, 3), padding=((1, 0), (0, 2)))
    x, weight, bias, _ = (array.copy() for array in integers(spec, 2, 5, largest=3).values())
    x[0, 1, 2, 0], x[1, 3, 4, 2], x[1, 0, 0, 1] = np.inf, np.nan, -np.inf
    with np.errstate(invalid="ignore"):
        finite = np.isfinite(reference.forward(spec, x, weight, bias))
    assert finite.any()
    assert np.isnan(to_numpy(masked.Adapter().prepare(spec, weight, bias, "float64").forward(x))[finite]).all()
    refusal = masked.Adapter.declaration.capabilities.refusal(spec, "float64", "forward", ("nonfinite",))
    assert "0 * inf" in refusal


def test_loop_ties_shared_weights_and_draws_no_random_numbers():
    spec = lcl.Spec(input_size=(4, 3), in_channels=2, out_channels=4, kernel_size=2, groups=2, shared=(True, False))
    operands = integers(spec, 1, 6)
    state = torch.get_rng_state()
    layer = loop.Adapter().prepare(spec, operands["weight"], operands["bias"], "float64")
    assert torch.equal(torch.get_rng_state(), state)
    weights, biases = (len(held.tensors) for held in layer._parameters)
    assert weights == math.prod(spec.weight_size) * spec.groups == 4
    assert biases == math.prod(spec.output_size) * spec.groups == 12


def test_conv_of_one_channel_with_an_output_one_position_wide():
    """oneDNN 3.12 answers wrongly here when the one channel makes the input look channels-last."""
    sizes = {"input_size": (6, 3), "in_channels": 1, "out_channels": 3, "kernel_size": (3, 2), "stride": (1, 2)}
    assert_conforms(conv.Adapter(), lcl.Spec(**sizes, shared=True, bias="none"), 2, 7)


def test_the_adapter_of_the_tutorial_is_right():
    text = (ROOT / "backends" / "README.md").read_text()
    names = {}
    exec(text.split("```python\n")[1].split("```")[0], names)  # noqa: S102 -- the page's own example
    adapter = names["Adapter"]()
    refusal = adapter.declaration.capabilities.refusal
    for bias in ("none", "channel", "position"):
        spec = lcl.Spec(input_size=12, in_channels=2, out_channels=5, kernel_size=3, stride=3, bias=bias)
        assert refusal(spec, "float64", "vjp") is None
        assert_conforms(adapter, spec, 4, 9, "float64")
    overlapping = lcl.Spec(input_size=12, in_channels=2, out_channels=5, kernel_size=3, stride=2)
    assert "reshape" in refusal(overlapping, "float64", "forward")
