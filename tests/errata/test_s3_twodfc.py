"""Errata D1 to D7: the article on a fully connected layer in two dimensions."""

import warnings
from functools import cache, partial

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from errata.twodfc_snippets import (
    IMPORTS,
    IMPORTS_REPAIRED,
    AsLinear,
    Printed,
    Printed2,
    Printed3,
    Repaired,
    as_linear,
    as_linear_reshaped,
    initialise,
    initialise_repaired,
    linear_shape,
    linear_shape_repaired,
)
from tests.errata.counting_work import Written
from tests.errata.whole_numbers import accepts, raises, repaired_by, tensor, with_integers

image = partial(tensor, seed=5)
LINE = "fan_in = np.prod((28, 28))\n"


@repaired_by(IMPORTS=IMPORTS_REPAIRED)
@repaired_by(Printed=Repaired)
def test_D1_numpy_is_not_imported_and_a_size_must_be_a_tuple():
    assert raises(NameError, exec, IMPORTS + LINE, {})
    exec(IMPORTS_REPAIRED + LINE, {})  # noqa: S102 -- the text under test
    assert raises(TypeError, Printed, 28, 10)
    assert Repaired(28, 10)(image(3, 28, 28)).shape == (3, 10)


@repaired_by(linear_shape=linear_shape_repaired)
@repaired_by(as_linear_reshaped=as_linear)
def test_D2_the_weight_of_linear_is_the_transpose():
    layer, x = with_integers(Printed3((4, 6), 5)), image(3, 4, 6)
    linear = as_linear(layer)
    assert linear[1].weight.shape == linear_shape_repaired(24, 5) != linear_shape(24, 5)
    assert torch.equal(linear(x), layer(x))
    assert not torch.equal(as_linear_reshaped(layer)(x), layer(x))


@repaired_by(Printed3=Repaired)
@pytest.mark.parametrize(
    ("shape", "returned"),
    [((3, 1, 28, 28), (3, 28, 10)), ((28, 28), (1, 10)), ((3, 1, 28), (3, 10)), ((3, 28, 1), (3, 10))],
)
def test_D3_other_shapes_are_swallowed(shape, returned):
    assert accepts(Printed3((28, 28), 10), image(*shape))
    assert Printed3((28, 28), 10)(image(*shape)).shape == returned
    repaired, of_a_loader_of_grey_images = Repaired((28, 28), 10), shape == (3, 1, 28, 28)
    assert accepts(repaired, image(*shape)) == of_a_loader_of_grey_images
    if of_a_loader_of_grey_images:
        assert repaired(image(*shape)).shape == (3, 10)


@repaired_by(Printed=Repaired)
@repaired_by(Printed3=Repaired)
@pytest.mark.parametrize(("size", "returned", "without_bias"), [((3, 8, 8), (2, 8, 10), False), ((8,), (2,), True)])
def test_D3_sizes_of_other_ranks_are_swallowed(size, returned, without_bias):
    def apply(kind):
        return kind(size, 10)(image(2, *size))

    printed = Printed if without_bias else Printed3
    assert accepts(apply, printed)
    assert apply(printed).shape == returned
    assert not accepts(apply, Repaired)


@repaired_by(Printed3=Repaired)
def test_D4_a_product_of_all_samples_pixels_and_outputs_is_built():
    def largest(kind):
        layer, x = kind((28, 28), 10), torch.zeros(20, 28, 28)
        with Written() as count:
            layer(x).sum().backward()
        return count.largest

    assert largest(Printed3) == 20 * 28 * 28 * 10
    assert largest(Repaired) <= 20 * 28 * 28


@repaired_by(initialise=initialise_repaired)
def test_D5_initialisers_take_another_axis_for_the_inputs():
    """Kaiming's bound is sqrt(6 / fan_in); the largest of 7840 numbers comes close to it."""

    def largest(scheme):
        torch.manual_seed(0)
        layer = Printed3((28, 28), 10)
        scheme(layer)
        return layer.weight.abs().max().item()

    of_pixels_and_outputs, of_pixels = (6 / 7840) ** 0.5, (6 / 784) ** 0.5
    assert largest(initialise) <= of_pixels_and_outputs
    assert of_pixels_and_outputs < largest(initialise_repaired) <= of_pixels


@cache
def digits():
    data = load_digits()
    return torch.from_numpy(data.images / 16).float(), torch.from_numpy(data.target)


def start_and_end(model, steps=150):
    """Mean loss over the data before and after some steps of gradient descent on all of it."""
    x, labels = digits()
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    losses = []
    for _ in range(steps):
        loss = nn.functional.cross_entropy(model(x), labels)
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return losses[0], losses[-1]


@repaired_by(Printed=Repaired)
@repaired_by(Printed2=Repaired)
def test_D6_the_scale_of_the_weights_is_the_cause_and_not_the_missing_bias():
    torch.manual_seed(0)
    first, second, third = (start_and_end(kind((8, 8), 10)) for kind in (Printed, Printed2, Printed3))
    unbiased = start_and_end(nn.Sequential(nn.Flatten(), nn.Linear(64, 10, bias=False)))
    random_bias = Printed3((8, 8), 10)
    nn.init.normal_(random_bias.bias)
    small, large = [third, unbiased, start_and_end(random_bias)], [first, second]
    assert min(start for start, _ in large) > 2 * max(start for start, _ in small)
    assert min(end for _, end in large) > max(end for _, end in small)


@repaired_by(Printed3=AsLinear)
def test_D7_tools_that_look_for_linear_skip_it():
    def quantised(model):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tool is announced to move
            smaller = torch.ao.quantization.quantize_dynamic(nn.Sequential(model), {nn.Linear})
        return any("quantized" in type(module).__module__ for module in smaller.modules())

    assert not quantised(Printed3((8, 8), 10))
    assert quantised(AsLinear((8, 8), 10))


@repaired_by(Printed3=AsLinear)
def test_D7_an_optimiser_that_factors_its_state_tells_them_apart():
    """Adafactor averages over the last two axes; the last two of (1, h, w, o) are others than those of (o, h*w)."""

    def trained(kind, optimiser, **settings):
        layer = kind((8, 8), 10)
        twin, (x, labels) = as_linear(layer), digits()
        for model in (layer, twin):
            steps = optimiser(model.parameters(), **settings)
            for _ in range(3):
                steps.zero_grad()
                nn.functional.cross_entropy(model(x[:50]), labels[:50]).backward()
                steps.step()
        return (layer.weight[0].flatten(0, 1).T - twin[1].weight).abs().max().item()

    torch.manual_seed(0)
    elementwise = trained(Printed3, torch.optim.SGD, lr=0.1)
    assert trained(Printed3, torch.optim.Adafactor, lr=0.1) > 1000 * elementwise
    assert trained(AsLinear, torch.optim.Adafactor, lr=0.1) == 0, "the two last axes are the same"
