"""Errata C1 to C10: the article on channel-local convolution."""

import itertools
from functools import partial

import numpy as np
import pytest
import torch

import lcl_ref as lcl
from errata.channel_snippets import (
    IMPORTS,
    IMPORTS_REPAIRED,
    OneBias,
    OrderRepaired,
    Printed,
    Repaired,
    ShapeRepaired,
    changes_of_parameters,
    changes_of_parameters_repaired,
    keras_layer,
    keras_layer_repaired,
    parameters_of_locally_connected_2d,
    parameters_of_locally_connected_2d_repaired,
    rule,
    rule_repaired,
    share_of_channels,
    share_of_channels_repaired,
    share_with_the_batch_in_groups,
)
from lcl_backends.torch import batch_in_groups
from tests.errata.whole_numbers import accepts, raises, repaired_by, same_bits, tensor, with_integers

image = partial(tensor, seed=5)
LINE = "weight = nn.Parameter(torch.randn(2, 2))\n"


@repaired_by(IMPORTS=IMPORTS_REPAIRED)
def test_C1_torch_itself_is_not_imported():
    assert raises(NameError, exec, IMPORTS + LINE, {})
    exec(IMPORTS_REPAIRED + LINE, {})  # noqa: S102 -- the text under test


SETTINGS = list(itertools.product((1, 2, 3), (1, 2, 3), (1, 2), (1, 2, 3)))
"""Batch, groups, channels per group, kernel size."""


@repaired_by(Printed=Repaired)
def test_C2_it_runs_for_one_sample_and_one_group_and_is_then_a_dense_convolution():
    def runs(kind, batch, groups, per_group, kernel_size):
        layer = kind(groups * per_group, groups * per_group, kernel_size, groups)
        return not raises(RuntimeError, layer, image(batch, groups * per_group, 5, 6))

    posted = [setting for setting in SETTINGS if runs(Printed, *setting)]
    assert {setting[:2] for setting in posted} == {(1, 1)}
    assert all(runs(Repaired, *setting) for setting in SETTINGS)
    layer, x = with_integers(Printed(4, 3, 3)), image(1, 4, 5, 6)
    assert same_bits(layer(x), torch.nn.functional.conv2d(x, layer.weight, layer.bias, padding=1))


@repaired_by(ShapeRepaired=OrderRepaired)
@pytest.mark.parametrize("groups", [1, 2])
def test_C3_filters_of_one_output_together_meet_the_wrong_samples(groups):
    x = image(3, 4, 5, 6)
    expected = with_integers(Repaired(4, 6, 3, groups))(x)
    assert same_bits(with_integers(OrderRepaired(4, 6, 3, groups))(x), expected)
    wrong = with_integers(ShapeRepaired(4, 6, 3, groups))(x)
    assert wrong.shape == expected.shape
    assert all(not same_bits(one, other) for one, other in zip(wrong, expected, strict=True))
    one = x[:1]
    assert same_bits(with_integers(ShapeRepaired(4, 6, 3, groups))(one), with_integers(Repaired(4, 6, 3, groups))(one))


@repaired_by(OneBias=OrderRepaired)
def test_C3_the_bias_is_needed_once_per_sample():
    x = image(3, 4, 5, 6)
    assert raises(RuntimeError, OneBias(4, 6, 3), x)
    assert not raises(RuntimeError, OneBias(4, 6, 3, bias=False), x)
    assert OrderRepaired(4, 6, 3)(x).shape == (3, 6, 5, 6)


@repaired_by(share_with_the_batch_in_groups=share_of_channels_repaired)
def test_C3_the_trick_with_weights_of_each_samples_own_is_another_layer_per_sample():
    """Which is what groups = batch is good for; it has nothing to do with locality."""
    layer, x = OrderRepaired(4, 4, 1, bias=False), torch.ones(3, 4, 1, 1)
    reads = torch.autograd.functional.jacobian(lambda x: layer(x)[0].flatten(), x).flatten(2) != 0  # (co, n, ci)
    own, others = reads[:, 0], reads[:, 1:]
    assert not others.any()
    share = own.double().mean().item()
    assert share == share_of_channels_repaired(3, 1) != share_with_the_batch_in_groups(3, 1)
    spec = lcl.Spec(input_size=(5, 6), in_channels=4, out_channels=3, kernel_size=2, shared=True, bias="none")
    x, filters = image(3, 4, 5, 6), image(3, 3, 4, 2, 2, seed=6)
    together = batch_in_groups.per_sample(spec, filters.flatten(0, 1), None, x)
    apart = [torch.nn.functional.conv2d(one[None], own)[0] for one, own in zip(x, filters, strict=True)]
    assert same_bits(together, torch.stack(apart))


@repaired_by(Printed=Repaired)
@pytest.mark.parametrize(("kernel_size", "grown"), [(1, 0), (2, 1), (3, 0), (4, 1)])
def test_C4_even_kernels_grow_the_map(kernel_size, grown):
    x = image(1, 2, 8, 9)
    assert Printed(2, 2, kernel_size)(x).shape[2:] == (8 + grown, 9 + grown)
    assert Repaired(2, 2, kernel_size)(x).shape[2:] == (8, 9)


@repaired_by(rule=rule_repaired)
def test_C5_the_printed_rule_of_channels_holds_for_as_many_groups_as_outputs():
    def general(in_channels, out_channels, channels):
        groups = in_channels // channels
        arguments = {"kernel_size": 1, "groups": groups, "in_channels": in_channels, "out_channels": out_channels}
        return lcl.Spec(input_size=1, **arguments).channels

    np.testing.assert_array_equal(rule(12, 3, 4), general(12, 3, 4))
    np.testing.assert_array_equal(rule_repaired(64, 64, 4), general(64, 64, 4))
    assert rule(64, 64, 4).max() == 255, "which 64 input channels do not have"
    table = rule(64, 64, 4).tolist()
    assert raises(
        lcl.SpecError,
        lambda: lcl.Spec(input_size=9, in_channels=64, out_channels=64, kernel_size=3, channel_table=table),
    )


@repaired_by(changes_of_parameters=changes_of_parameters_repaired)
def test_C6_more_channels_per_output_are_more_parameters():
    def parameters(groups):
        return Repaired(16, 16, 3, groups, bias=False).weight.numel()

    by_channels = [parameters(16 // channels) for channels in (1, 2, 4, 8)]
    assert by_channels == [144, 288, 576, 1152]
    changes = list(itertools.pairwise(by_channels))
    assert not any(changes_of_parameters(*pair) for pair in changes), "the text says fewer"
    assert all(changes_of_parameters_repaired(*pair) for pair in changes)
    by_groups = [parameters(groups) for groups in (1, 2, 4, 8)]
    assert by_groups == [2304, 1152, 576, 288], "of the groups, not of the channels, what the text says is true"
    spec = lcl.Spec(input_size=9, in_channels=16, out_channels=16, kernel_size=9, groups=4, shared=True, bias="none")
    assert spec.parameter_count == parameters(4)


@repaired_by(share_of_channels=share_of_channels_repaired)
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_C7_a_grouped_convolution_is_not_fully_connected(groups):
    layer = Repaired(8, 8, 1, groups, bias=False)
    jacobian = torch.autograd.functional.jacobian(layer, torch.ones(1, 8, 1, 1))
    share = (jacobian != 0).double().mean().item()
    assert share == share_of_channels_repaired(1, groups)
    assert (share == share_of_channels(1, groups)) == (groups == 1)


@repaired_by(keras_layer=keras_layer_repaired)
@repaired_by(parameters_of_locally_connected_2d=parameters_of_locally_connected_2d_repaired)
def test_C8_locally_connected_2d_is_another_layer_and_has_left_keras():
    assert raises(AttributeError, keras_layer)
    layer = keras_layer_repaired()(4, 3, use_bias=False)
    layer.build((None, 8, 8, 4))
    printed = Repaired(4, 4, 3, groups=4, bias=False).weight.numel()
    dense = Repaired(4, 4, 3, bias=False).weight.numel()
    assert [printed, dense, layer.count_params()] == [36, 144, 36 * 144], "more than a convolution, not fewer"
    assert layer.count_params() == parameters_of_locally_connected_2d_repaired((6, 6), 4, 4, 3)
    assert parameters_of_locally_connected_2d((6, 6), 4, 4, 3) == printed, "as if it were the layer of the article"


@repaired_by(Printed=Repaired)
def test_C9_initial_outputs_are_larger_the_more_inputs_there_are():
    torch.manual_seed(0)
    x = torch.randn(1, 64, 24, 24)

    def variance(kind):
        return kind(64, 16, 3)(x)[..., 1:-1, 1:-1].var().item()

    assert variance(Printed) > 64 * 9 / 2
    assert variance(Repaired) < 1


@repaired_by(Printed=Repaired)
def test_C10_groups_that_do_not_divide_are_accepted():
    assert accepts(Printed, 5, 6, 3, 2)
    assert Printed(5, 6, 3, groups=2).weight.shape == (6, 2, 3, 3)
    assert not accepts(Repaired, 5, 6, 3, 2)
