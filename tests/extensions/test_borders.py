import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.extensions import borders
from tests.extensions.arrays import operands

SPEC = lcl.Spec(input_size=(5, 4), in_channels=4, out_channels=2, kernel_size=3, padding=((2, 1), (1, 3)), groups=2)
RULES = list(borders.RULES)
NUMPY_NAMES = {"circular": "wrap", "reflect": "reflect", "replicate": "edge"}
each_rule = pytest.mark.parametrize("rule", RULES)


@each_rule
def test_extension_is_that_of_numpy(rule):
    x, _, _ = operands(SPEC)
    expected = np.pad(x, ((0, 0), *SPEC.padding, (0, 0)), mode=NUMPY_NAMES[rule])
    np.testing.assert_array_equal(borders.extended(SPEC, x, rule), expected)


@each_rule
def test_the_layer_is_the_plain_one_on_the_extended_input(rule):
    x, weight, bias = operands(SPEC)
    plain = borders.unpadded(SPEC)
    assert plain.output_size == SPEC.output_size
    assert plain.weight_shape == SPEC.weight_shape
    y = borders.forward(SPEC, x, weight, bias, rule)
    np.testing.assert_array_equal(y, lcl.forward(plain, borders.extended(SPEC, x, rule), weight, bias))
    assert not np.array_equal(y, lcl.forward(SPEC, x, weight, bias))


@each_rule
def test_without_padding_every_rule_is_the_plain_layer(rule):
    spec = lcl.Spec.from_dict(SPEC.to_dict() | {"padding": "valid"})
    x, weight, bias = operands(spec)
    np.testing.assert_array_equal(borders.forward(spec, x, weight, bias, rule), lcl.forward(spec, x, weight, bias))


@each_rule
def test_torch_pads_alike(rule):
    import torch

    x, weight, bias = operands(SPEC)
    (top, bottom), (left, right) = SPEC.padding
    first = torch.from_numpy(x).movedim(-1, 1)
    padded = torch.nn.functional.pad(first, (left, right, top, bottom), mode=rule).movedim(1, -1).numpy()
    expected = lcl.forward(borders.unpadded(SPEC), padded, weight, bias)
    np.testing.assert_array_equal(borders.forward(SPEC, x, weight, bias, rule), expected)


def test_circular_is_the_rule_of_flax():
    import jax
    from flax import linen

    spec = lcl.Spec(input_size=(5, 4), in_channels=2, out_channels=3, kernel_size=(3, 2), padding=((1, 1), (0, 1)))
    x, weight, bias = operands(spec)
    kernel, stored = lcl.layouts.convert(spec, weight, bias, source="canonical", target="flax/conv_local")
    module = linen.ConvLocal(3, (3, 2), padding="CIRCULAR", precision=jax.lax.Precision.HIGHEST)
    params = {"kernel": kernel.astype(np.float32), "bias": stored.astype(np.float32)}
    y = module.apply({"params": params}, x.astype(np.float32))
    np.testing.assert_array_equal(borders.forward(spec, x, weight, bias, "circular"), y)


@pytest.mark.parametrize(("rule", "padding"), [("reflect", 4), ("circular", 5)])
def test_padding_beyond_the_rule_is_refused(rule, padding):
    spec = lcl.Spec(input_size=4, in_channels=1, out_channels=1, kernel_size=2, padding=padding)
    with pytest.raises(lcl.SpecError, match="padding, axis 0"):
        borders.sites(spec, rule)
    borders.sites(lcl.Spec.from_dict(spec.to_dict() | {"padding": padding - 1}), rule)


def test_an_unknown_rule_is_refused():
    with pytest.raises(lcl.SpecError, match="circular, reflect, replicate"):
        borders.sites(SPEC, "mirror")
