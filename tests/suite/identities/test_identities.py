"""Every law of the table: bitwise on integers, within twice the proved limit on reals; forward and all cotangents."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

import lcl_ref as lcl
from lcl_ref.cli import cli
from lcl_ref.suite.identities import identity, maps
from lcl_ref.suite.identities.catalogue import LAWS
from lcl_ref.suite.identities.identity import hold, operations, system
from tests.errata.thread_snippets import LoopRepaired, MaskedRepaired

DTYPES = ("float32", "float64")
BY_ID = {entry.id: entry for entry in LAWS}


@pytest.mark.parametrize("kind", ["integers", "reals"])
@pytest.mark.parametrize(("name", "dtype"), [(identity.id, dtype) for identity in LAWS for dtype in identity.dtypes])
def test_both_sides_are_equal(name, dtype, kind):
    held = hold(BY_ID[name], dtype, kind)
    assert held.ok, (held.share, held.differences)
    assert set(held.differences) >= {"y"}


def test_ids_differ_and_both_sides_support_the_layer():
    assert len(BY_ID) == len(LAWS)
    for entry in LAWS:
        for name, spec in ((entry.left, entry.spec), (entry.right, entry.other)):
            capabilities = system(name).declaration.capabilities
            reasons = [capabilities.refusal(spec, dtype, op) for dtype in entry.dtypes for op in operations(entry)]
            assert not any(reasons), (entry.id, name, reasons)
    unsupported = {(entry.id, dtype) for entry in LAWS for dtype in set(DTYPES) - set(entry.dtypes)}
    assert unsupported == {("blocks/mlx-grouped-conv", "float64")}


@pytest.mark.parametrize("name", ["tied/loop", "tiles-1d/loop", "figure/one-channel", "channels/both-localities"])
def test_a_wrong_map_breaks_a_law(name):
    entry = BY_ID[name]

    def reversed_weight(left, right, weight):
        return entry.maps.weight(left, right, weight)[..., ::-1]

    wrong = replace(entry, maps=replace(entry.maps, weight=reversed_weight))
    for kind in ("integers", "reals"):
        held = hold(wrong, "float64", kind)
        assert not held.ok
        assert held.differences["y"] > 0


def test_a_wrong_system_breaks_a_law(monkeypatch):
    """The interleaved layer as posted, without the shuffles around it."""
    from lcl_backends.torch import tied

    entry = BY_ID["tied/torch-tied-conv-interleaved"]
    posted = tied.Interleaved()
    monkeypatch.setattr(
        tied.Interleaved,
        "product",
        staticmethod(lambda matrix, bias, blocks: tied.interleaved(matrix, bias, blocks.flatten(1))),
    )
    monkeypatch.setattr(identity, "system", lambda name: posted if name == entry.right else system(name))
    assert not hold(entry, "float64", "integers").ok


def test_cotangents_of_repeated_weights_add_up():
    tied, untied = (
        lcl.Spec(input_size=4, in_channels=1, out_channels=1, kernel_size=2, shared=shared, bias="none")
        for shared in (True, False)
    )
    cotangent = np.arange(6.0).reshape(untied.weight_shape)
    back = maps.pulled_back(maps.repeated_weight, tied, untied, tied.weight_shape, cotangent)
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


def test_command_says_what_it_could_not_measure():
    result = CliRunner().invoke(cli, ["laws", "-l", "blocks/mlx-grouped-conv", "--json"])
    assert result.exit_code == 0, result.output
    rows = {(row["dtype"], row["values"]): row for row in json.loads(result.output)}
    assert rows["float32", "integers"]["ok"] is True
    assert (rows["float64", "reals"]["ok"], rows["float64", "reals"]["reason"]) == (None, "not in float64")


def test_command_refuses_a_law_that_does_not_exist():
    result = CliRunner().invoke(cli, ["laws", "-l", "tied/lop"])
    assert isinstance(result.exception, lcl.LclError)
    assert "tied/loop" in str(result.exception)
