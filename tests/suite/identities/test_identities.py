"""Every law of the table: bitwise on integers, within twice the proved limit on reals; forward and all gradients."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

import lcl_ref as lcl
from errata.thread_snippets import LoopRepaired, MaskedRepaired
from lcl_ref.cli import cli, laws
from lcl_ref.suite.identities import identity, maps
from lcl_ref.suite.identities.catalogue import LAWS
from lcl_ref.suite.identities.identity import operations, system, verify

DTYPES = ("float32", "float64")
BY_ID = {entry.id: entry for entry in LAWS}


@pytest.mark.parametrize("kind", ["integers", "reals"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BY_ID)
def test_both_sides_are_equal(name, dtype, kind):
    result = verify(BY_ID[name], dtype, kind)
    assert result.ok, (result.share, result.differences)
    assert set(result.differences) >= {"y"}


def test_every_law_says_more_than_conformance():
    assert all(entry.spec != entry.right_spec for entry in LAWS)


def test_ids_differ_and_both_sides_support_the_layer():
    assert len(BY_ID) == len(LAWS)
    for entry in LAWS:
        for name, spec in ((entry.left, entry.spec), (entry.right, entry.right_spec)):
            capabilities = system(name).declaration.capabilities
            reasons = [capabilities.refusal(spec, dtype, op) for dtype in DTYPES for op in operations(entry)]
            assert not any(reasons), (entry.id, name, reasons)


@pytest.mark.parametrize("name", ["tied/loop", "tiles-1d/loop", "figure/one-channel", "channels/both-localities"])
def test_a_wrong_map_breaks_a_law(name):
    entry = BY_ID[name]

    def reversed_weight(left, right, weight):
        return entry.maps.weight(left, right, weight)[..., ::-1]

    wrong = replace(entry, maps=replace(entry.maps, weight=reversed_weight))
    for kind in ("integers", "reals"):
        result = verify(wrong, "float64", kind)
        assert not result.ok
        assert result.differences["y"] > 0


def test_a_wrong_system_breaks_a_law(monkeypatch):
    """The interleaved layer as posted, without the shuffles around it, in place of the shared convolution."""
    from lcl_backends.torch import tied

    entry = BY_ID["tied/loop"]
    posted = tied.Interleaved()
    monkeypatch.setattr(
        tied.Interleaved,
        "product",
        staticmethod(lambda matrix, bias, blocks: tied.interleaved(matrix, bias, blocks.flatten(1))),
    )
    monkeypatch.setattr(identity, "system", lambda name: posted if name == entry.left else system(name))
    assert not verify(entry, "float64", "integers").ok


def test_gradients_of_repeated_weights_add_up():
    shared, unshared = (
        lcl.Spec(input_size=4, in_channels=1, out_channels=1, kernel_size=2, shared=flag, bias="none")
        for flag in (True, False)
    )
    gradient = np.arange(6.0).reshape(unshared.weight_shape)
    back = maps.pulled_back(maps.repeated_weight, shared, unshared, shared.weight_shape, gradient)
    np.testing.assert_array_equal(back.ravel(), [0 + 2 + 4, 1 + 3 + 5])


def test_grouped_and_local_is_the_layers_of_its_groups_side_by_side():
    """The law of both localities once more, composed of whole layers."""
    whole = BY_ID["channels/both-localities"].spec
    part = lcl.Spec.from_dict(whole.to_dict() | {"in_channels": 3, "out_channels": 2, "groups": 1})
    operands = identity.operands(BY_ID["channels/both-localities"], "float64", "integers")
    x, weight, bias = operands["x"], operands["weight"], operands["bias"]
    layers = [
        lcl.forward(part, x[..., 3 * g : 3 * g + 3], weight[..., 2 * g : 2 * g + 2], bias[..., 2 * g : 2 * g + 2])
        for g in range(2)
    ]
    np.testing.assert_array_equal(np.concatenate(layers, -1), lcl.forward(whole, x, weight, bias))


def test_what_a_mask_hides_has_no_part():
    """Thousands planted in the weights under the mask: the masked layer is the loop all the same, to the last bit."""
    import torch

    loop, masked = LoopRepaired(3, 2, 4), MaskedRepaired(3, 2, 4)
    blocks = [torch.from_numpy(identity.values.integers("hidden", f"{block}", (4, 2), 9)).float() for block in range(3)]
    for layer, block in zip(loop.layers, blocks, strict=True):
        layer.weight.data, layer.bias.data = block, block[:, 0].clone()
    masked.layer.weight.data = torch.block_diag(*blocks) + 1000 * (1 - masked.mask)
    masked.layer.bias.data = torch.cat([block[:, 0] for block in blocks])
    x = torch.from_numpy(identity.values.integers("hidden", "x", (5, 6), 9)).float().requires_grad_()
    y, other = loop(x), masked(x)
    assert torch.equal(y, other)
    cotangent = torch.ones_like(y) * torch.arange(12.0)
    assert torch.equal(*(torch.autograd.grad(each, x, cotangent)[0] for each in (y, other)))


def test_command_prints_what_was_measured():
    result = CliRunner().invoke(cli, ["laws", "-l", "tied/*", "--json"])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.output)
    assert {row["law"] for row in rows} == {name for name in BY_ID if name.startswith("tied/")}
    assert all(row["ok"] and set(row["differences"]) >= {"y", "dx", "dw"} for row in rows)
    table = CliRunner().invoke(cli, ["laws", "-l", "tied/loop"])
    assert "torch.tied_conv" in table.output
    assert "bitwise" in table.output


def test_command_says_what_it_could_not_measure(monkeypatch):
    monkeypatch.setattr(laws, "installed", lambda declaration: declaration.framework != "mlx")
    result = CliRunner().invoke(cli, ["laws", "-l", "figure/one-channel", "--json"])
    assert result.exit_code == 0, result.output
    for row in json.loads(result.output):
        assert (row["ok"], row["reason"]) == (None, "mlx.reshape not installed")


def test_command_refuses_a_law_that_does_not_exist():
    result = CliRunner().invoke(cli, ["laws", "-l", "tied/lop"])
    assert isinstance(result.exception, lcl.LclError)
    assert "tied/loop" in str(result.exception)
