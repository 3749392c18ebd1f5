"""Linear maps of blocks of channels, one weight each, by the packages that publish them; groups are blocks.

Ensembles (`tabm`, `torch_uncertainty`), columns of a table (`rtdl_num_embeddings`), variables of a graph (`castle`),
heads (`recurrentgemma`), types of nodes (`torch_geometric`) and factors of a matrix (`torch_structured`).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from _bare_packages import bare
from _torch_module import DTYPES, SUMS, Narrow, TorchModule

from lcl_ref import Spec
from lcl_ref.suite.adapter import Declaration


class Blocks:
    """A module of blocks behind the adapter protocol.

    Parameters
    ----------
    name, package : str
        Of the backend, and of the distribution.
    module, layer : str
        Where the layer is, and what it is called there.
    make : callable
        ``(layer, bias?, blocks, channels a block reads, channels it makes) -> module``.
    summary, layout : str
        As in `Declaration`.
    apart : bool
        Whether the module takes ``(n, blocks, channels)`` in place of ``(n, channels)``.
    names : tuple of str
        What the module calls its weight and bias.
    **limits
        Of `Capabilities`.
    """

    def __init__(
        self,
        name: str,
        package: str,
        module: str,
        layer: str,
        make: Callable[..., Any],
        summary: str,
        layout: str,
        apart: bool = False,
        names: tuple[str, str] = ("weight", "bias"),
        **limits: Any,
    ) -> None:
        self._module, self._layer, self._make, self._apart, self._names = module, layer, make, apart, names
        self.declaration = Declaration(
            name=name,
            framework=package,
            modules=("torch", module),
            summary=summary,
            layout=layout,
            capabilities=Narrow(ranks=(0,), dtypes=DTYPES, accumulation=SUMS, **limits),
        )

    def prepare(self, spec: Spec, weight: Any, bias: Any, _dtype: str) -> TorchModule:
        """Build the module and put the weights in."""
        layer = getattr(importlib.import_module(self._module), self._layer)
        blocks, reads = spec.groups, spec.group_channels
        module = self._make(layer, bias is not None, blocks, reads, spec.out_channels // blocks)
        enter = (lambda x: x.reshape(len(x), blocks, reads)) if self._apart else (lambda x: x)
        return TorchModule(
            spec,
            module,
            self.declaration.layout,
            weight,
            bias,
            enter,
            leave=lambda y: y.reshape(y.numel() // spec.out_channels, spec.out_channels),
            names=self._names,
        )


class OfTypes(torch.nn.Module):
    """`HeteroLinear` on the blocks of a sample one below another, each of its own type."""

    def __init__(self, layer: Any, bias: bool, blocks: int, reads: int, makes: int) -> None:
        super().__init__()
        self._layer, self._blocks, self._reads = layer(reads, makes, blocks, bias=bias), blocks, reads
        self.weight, self.bias = self._layer.weight, self._layer.bias

    def forward(self, x: Any) -> Any:
        """Apply the layer to ``(n, blocks * reads)``; return ``(n * blocks, makes)``."""
        return self._layer(x.reshape(len(x) * self._blocks, self._reads), torch.arange(self._blocks).repeat(len(x)))


def packed(implementation: str) -> Callable[..., Any]:
    """Return what makes a `PackedLinear` of the estimators that blocks are."""

    def make(layer: Any, bias: bool, blocks: int, reads: int, makes: int) -> Any:
        sizes = blocks * reads, blocks * makes
        return layer(*sizes, alpha=1, num_estimators=blocks, bias=bias, implementation=implementation)

    return make


def one_width(spec: Spec) -> str:
    """Say what one number for both widths cannot hold."""
    return "" if spec.in_channels == spec.out_channels else "a block makes as many channels as it reads"


tabm = Blocks(
    "tabm.LinearEnsemble",
    "tabm",
    "tabm",
    "LinearEnsemble",
    lambda layer, bias, blocks, reads, makes: layer(reads, makes, bias=bias, k=blocks),
    "One batched matrix product over members of an ensemble.",
    "notears",
    apart=True,
)

columns = Blocks(
    "rtdl_num_embeddings.NLinear",
    "rtdl_num_embeddings",
    "rtdl_num_embeddings",
    "_NLinear",
    lambda layer, bias, *sizes: layer(*sizes, bias=bias),
    "One batched matrix product over columns of a table.",
    "notears",
    apart=True,
)

variables = Blocks(
    "gcastle.LocallyConnected",
    "gcastle",
    bare("castle.algorithms.gradient.notears.torch.utils.locally_connected"),
    "LocallyConnected",
    lambda layer, bias, *sizes: layer(*sizes, bias=bias),
    "One matrix product per sample and variable of a graph.",
    "notears",
    apart=True,
)

heads = Blocks(
    "recurrentgemma.BlockDiagonalLinear",
    "recurrentgemma",
    bare("recurrentgemma.torch.layers"),
    "BlockDiagonalLinear",
    lambda layer, _bias, blocks, reads, _makes: layer(blocks * reads, blocks),
    "Channels split into heads, einsum over heads.",
    "block/h_in_out",
    names=("w", "b"),
    bias=("position", "channel"),
    limit=one_width,
)

types = Blocks(
    "torch_geometric.HeteroLinear",
    "torch_geometric",
    "torch_geometric.nn.dense.linear",
    "HeteroLinear",
    OfTypes,
    "Rows sorted by their type, one matrix product per type.",
    "block/h_in_out",
)

factors = Blocks(
    "torch_structured.BlockdiagLinear",
    "torch-structured",
    bare("torch_structured.monarch.blockdiag_linear"),
    "BlockdiagLinear",
    lambda layer, bias, blocks, reads, makes: layer(blocks * reads, blocks * makes, bias=bias, nblocks=blocks),
    "One batched matrix product over blocks, with a derivative of its own.",
    "block/h_out_in",
)

members = partial(
    Blocks,
    package="torch-uncertainty",
    module=bare("torch_uncertainty.layers.packed"),
    layer="PackedLinear",
    layout="block/h_out_in",
)
members_by_einsum = members(
    "torch_uncertainty.PackedLinear",
    make=packed("einsum"),
    summary="Channels split over members of an ensemble, einsum over members.",
)
members_by_full = members(
    "torch_uncertainty.PackedLinear.full",
    make=packed("full"),
    summary="One dense matrix with the blocks on its diagonal.",
    nonfinite=False,
    why={"nonfinite": "the dense product multiplies entries outside the blocks by 0"},
)
members_by_conv1d = members(
    "torch_uncertainty.PackedLinear.conv1d",
    make=packed("conv1d"),
    summary="conv1d of kernel size 1, groups = members.",
)
