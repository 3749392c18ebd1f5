"""Errata B1 to B14: the thread on block-diagonal layers in PyTorch."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from errata.thread_snippets import (
    LAYERS_IN_A_ROW,
    LAYERS_IN_A_ROW_REPAIRED,
    LIST_OF_LAYERS,
    LIST_OF_LAYERS_REPAIRED,
    POSTED,
    POSTED_REPAIRED,
    Bare,
    Grouped,
    GroupedRepaired,
    Loop,
    LoopRepaired,
    Masked,
    MaskedRepaired,
    OddOutputs,
    OddOutputsRepaired,
    OddOutputsWider,
    Tied,
    TiedRepaired,
    WithoutSuper,
    WithSuper,
    first_is_useless,
    first_is_useless_repaired,
)
from lcl_backends.torch import tied
from tests.errata.counting_work import Written
from tests.errata.whole_numbers import accepts, integers, raises, repaired_by, same_bits, tensor, with_integers


@repaired_by(POSTED=POSTED_REPAIRED)
def test_B1_indentation_is_lost():
    assert raises(IndentationError, compile, POSTED, "posted", "exec")
    compile(POSTED_REPAIRED, "repaired", "exec")


@repaired_by(WithoutSuper=WithSuper)
@repaired_by(LIST_OF_LAYERS=LIST_OF_LAYERS_REPAIRED)
@repaired_by(LAYERS_IN_A_ROW=LAYERS_IN_A_ROW_REPAIRED)
def test_B1_modules_without_super_and_with_wrong_containers():
    assert raises(AttributeError, WithoutSuper)
    assert raises(TypeError, getattr(nn, LIST_OF_LAYERS), [nn.Linear(2, 3)])
    assert not hasattr(nn, LAYERS_IN_A_ROW)
    assert len(list(WithSuper().parameters())) == 2
    assert hasattr(nn, LIST_OF_LAYERS_REPAIRED)
    assert hasattr(nn, LAYERS_IN_A_ROW_REPAIRED)


@repaired_by(Loop=LoopRepaired)
@pytest.mark.parametrize("shape", [(4,), (1, 4), (2, 2), (4, 1)])
def test_B2_whatever_holds_four_numbers_is_one_sample(shape):
    x = tensor(*shape)
    assert accepts(Loop(), x)
    assert Loop()(x).shape == (6,)
    repaired = LoopRepaired()
    assert accepts(repaired, x) == (shape == (1, 4))
    if shape == (1, 4):
        assert repaired(x).shape == (1, 6)


@repaired_by(Loop=LoopRepaired)
def test_B2_batches_of_the_repaired_loop_are_samples_of_the_posted_one():
    x = tensor(5, 4)
    assert raises(RuntimeError, Loop(), x)
    posted = torch.stack([with_integers(Loop())(one) for one in x])
    assert same_bits(with_integers(LoopRepaired())(x), posted)


@repaired_by(Loop=LoopRepaired)
def test_B3_float64_is_rounded_to_float32():
    def result(kind):
        module = with_integers(kind().double())
        return module(torch.full((1, 4), 1 + 2**-40, dtype=torch.float64)).flatten()

    assert result(Loop).dtype == torch.float32
    assert result(LoopRepaired).dtype == torch.float64
    assert not same_bits(result(Loop).double(), result(LoopRepaired))


@repaired_by(Loop=LoopRepaired)
def test_B3_gradients_autocast_and_vmap_follow_the_buffer():
    x = tensor(1, 4, dtype=torch.float64).requires_grad_()
    posted, repaired = with_integers(Loop().double()), with_integers(LoopRepaired().double())
    assert not torch.autograd.gradcheck(posted, (x,), raise_exception=False)
    assert torch.autograd.gradcheck(repaired, (x,))
    with torch.autocast("cpu", torch.bfloat16):
        assert Loop()(x.float()).dtype == torch.float32
        assert LoopRepaired()(x.float()).dtype == torch.bfloat16
    samples = tensor(3, 1, 4)
    assert raises(RuntimeError, torch.vmap(Loop()), samples)
    assert torch.vmap(LoopRepaired())(samples).shape == (3, 1, 6)


@repaired_by(Loop=LoopRepaired)
def test_B4_in_place_writes_make_backward_quadratic():
    def written(kind, blocks):
        y = kind(blocks, 2, 3)(torch.zeros(1, 2 * blocks))
        with Written() as count:
            y.sum().backward()
        return count.total

    def growth(kind):
        return written(kind, 256) / written(kind, 128)

    assert growth(Loop) > 3
    assert growth(LoopRepaired) < 2.1


@repaired_by(Masked=MaskedRepaired)
def test_B5_pruning_in_every_call_changes_the_module():
    x = torch.zeros(1, 4)

    def called(kind, times=1):
        module = kind()
        before = set(module.state_dict())
        for _ in range(times):
            module(x)
        return module, before

    posted, before = called(Masked)
    assert set(posted.state_dict()) != before
    assert raises(RuntimeError, Masked().load_state_dict, posted.state_dict())
    assert raises(RuntimeError, copy.deepcopy, posted)
    methods = next(iter(called(Masked, 5)[0].layer._forward_pre_hooks.values()))
    assert len(methods) == 5
    assert "mask" not in dict(Masked().named_buffers())

    repaired, before = called(MaskedRepaired, 5)
    assert set(repaired.state_dict()) == before
    MaskedRepaired().load_state_dict(repaired.state_dict())
    assert same_bits(copy.deepcopy(repaired).layer.weight, repaired.layer.weight)
    assert not repaired.layer._forward_pre_hooks
    assert repaired.to("meta").mask.is_meta


@repaired_by(Masked=MaskedRepaired)
def test_B6_initial_weights_have_the_scale_of_the_dense_layer():
    def largest(kind):
        torch.manual_seed(0)
        return kind(64, 4, 8).layer.weight.abs().max().item()

    of_all, of_a_block = (64 * 4) ** -0.5, 4**-0.5
    assert largest(Masked) <= of_all
    assert of_all < largest(MaskedRepaired) <= of_a_block
    assert nn.Conv1d(64 * 4, 64 * 8, 1, groups=64).weight.abs().max().item() > of_all


@repaired_by(Masked=LoopRepaired)
def test_B7_one_bad_input_poisons_all_blocks():
    """Of the masked form only, whichever way it is written; its adapter declares it. The repair is another form."""
    x = torch.ones(1, 4)
    x[0, 0] = torch.nan
    for masked in (Masked(), MaskedRepaired()):
        assert masked(x).isnan().all()
    for apart in (LoopRepaired(), Grouped(2, 2, 3)):
        np.testing.assert_array_equal(apart(x).isnan().flatten(), [True] * 3 + [False] * 3)


@repaired_by(Masked=MaskedRepaired)
def test_B8_hidden_weights_count_and_revive():
    def hidden(module):
        return module.layer.weight[torch.block_diag(*[torch.ones(3, 2)] * 2) == 0]

    def trained(module):
        """One step with decay; where a module has been pruned, pruning is removed first, as for deployment."""
        module(torch.ones(1, 4)).sum().backward()
        layer = module
        if hasattr(module.layer, "weight_orig"):
            assert module.layer.weight_orig.norm() > module.layer.weight.norm(), "which is what decays and is clipped"
            prune.remove(module.layer, "weight")
            layer = module.layer
        layer(torch.ones(1, 4)).sum().backward()
        torch.optim.AdamW(module.parameters(), 0.1, weight_decay=0.1).step()
        return module

    assert hidden(trained(Masked())).any()
    assert not hidden(trained(MaskedRepaired())).any()


@repaired_by(Tied=TiedRepaired)
def test_B9_blocks_are_interleaved():
    blocks, x = 4, tensor(3, 8)
    posted, repaired = (with_integers(kind(blocks)) for kind in (Tied, TiedRepaired))
    one_by_one = torch.stack(
        [repaired.conv(block[..., None])[..., 0] for block in x.unflatten(1, (blocks, 2)).unbind(1)], 1
    )
    assert posted(x).shape == repaired(x).shape == (3, 12)
    assert same_bits(repaired(x), one_by_one.flatten(1))
    assert not same_bits(posted(x), repaired(x))
    weight, bias = posted.conv.weight[..., 0], posted.conv.bias
    assert same_bits(posted(x), tied.interleaved(weight, bias, x))
    kron = torch.kron(weight, torch.eye(blocks))
    assert same_bits(posted(x), x @ kron.T + bias.repeat_interleave(blocks))
    into, back = torch.arange(8).view(4, 2).T.flatten(), torch.arange(12).view(3, 4).T.flatten()
    assert same_bits(posted(x[:, into])[:, back], repaired(x))


@repaired_by(Tied=TiedRepaired)
def test_B10_the_posted_shape_needs_as_many_outputs_as_inputs():
    x = tensor(5, 4)
    assert raises(RuntimeError, Tied(2, 2, 3, posted_shape=True), x)
    assert Tied(2, 2, 2, posted_shape=True)(x).shape == (5, 4)
    assert Tied(2, 2, 3)(x).shape == (5, 6)


@repaired_by(Bare=GroupedRepaired)
def test_B11_a_batch_of_as_many_rows_as_channels_is_one_sample():
    bare, repaired = with_integers(Bare(2, 2, 2)), with_integers(GroupedRepaired(2, 2, 2))
    x = tensor(4, 4)
    assert bare(x).shape == repaired(x).shape == (4, 4)
    assert not same_bits(bare(x), repaired(x))
    assert same_bits(bare(x), repaired(x.T).T), "rows are taken for channels"
    assert raises(RuntimeError, bare, tensor(5, 4))


@repaired_by(Grouped=GroupedRepaired)
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("outputs", [1, 2])
def test_B12_squeeze_drops_the_batch_and_the_only_output(batch, outputs):
    x = tensor(batch, 2)
    posted, repaired = Grouped(1, 2, outputs), GroupedRepaired(1, 2, outputs)
    assert repaired(x).shape == (batch, outputs)
    assert (posted(x).shape != (batch, outputs)) == (batch == 1 or outputs == 1)


def support(module, inputs):
    """Which output reads which input."""
    jacobian = torch.autograd.functional.jacobian(module, torch.ones(1, inputs, 1))
    return jacobian[0, :, 0, 0, :, 0] != 0


@repaired_by(OddOutputs=OddOutputsRepaired)
@repaired_by(OddOutputsWider=OddOutputsRepaired)
def test_B13_odd_outputs_need_no_second_convolution():
    assert raises(ValueError, OddOutputs)
    np.testing.assert_array_equal(support(OddOutputsWider(), 2), [[True, False], [True, True], [False, True]])
    two_blocks = torch.block_diag(torch.ones(3, 1), torch.ones(3, 1)).bool()
    assert torch.equal(support(OddOutputsRepaired(), 2), two_blocks), "three outputs of each"
    two_blocks = torch.block_diag(torch.ones(3, 2), torch.ones(3, 2)).bool()
    assert torch.equal(support(nn.Conv1d(4, 6, 1, groups=2), 4), two_blocks), "which is the figure of the thread"
    kept = support(nn.Sequential(nn.Conv1d(4, 4, 1, groups=2), nn.Conv1d(4, 6, 1, groups=2)), 4)
    assert torch.equal(kept, two_blocks)


@repaired_by(first_is_useless=first_is_useless_repaired)
@pytest.mark.parametrize(("hidden", "useless"), [(2, False), (3, False), (4, True), (7, True)])
def test_B14_a_first_layer_is_useless_only_if_it_is_wide_enough(hidden, useless):
    """Four inputs, five outputs: it adds nothing where the two layers reach the rank that one layer has."""
    first, second, alone = integers(hidden, 4), integers(5, hidden, seed=1), integers(5, 4, seed=2)
    assert (np.linalg.matrix_rank(second @ first) == np.linalg.matrix_rank(alone)) == useless
    assert first_is_useless_repaired(hidden, 4, 5) == useless
    assert (first_is_useless(hidden, 4, 5) == useless) == useless, "what the thread says holds where it is useless"
