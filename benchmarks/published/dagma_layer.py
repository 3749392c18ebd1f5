"""`dagma.locally_connected.LocallyConnected` (Apache-2.0), as in notears: one linear map per variable of a graph."""

from __future__ import annotations

import math
from typing import Any

from _torch_module import DTYPES, SUMS, Narrow, TorchModule

from lcl_ref import Spec
from lcl_ref.suite.adapter import Declaration


def limit(spec: Spec) -> str:
    """Say what `(n, d, m1)` cannot hold without a transposition by the caller."""
    return "groups and positions are one axis of the module" if spec.rank and spec.groups != 1 else ""


class Adapter:
    """The module on windows that tile the input, or, at rank 0, on blocks of channels."""

    declaration = Declaration(
        name="dagma.LocallyConnected",
        framework="dagma",
        modules=("torch", "dagma"),
        summary="One batched matrix product over positions.",
        layout="torch/bmm",
        capabilities=Narrow(
            ranks=(0, 1),
            stride="kernel",
            dilation=False,
            sharing=("none",),
            bias=("none", "position"),
            dtypes=DTYPES,
            accumulation=SUMS,
            limit=limit,
        ),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, _dtype: str) -> TorchModule:
        """Build the module and put the weights in."""
        from dagma.locally_connected import LocallyConnected

        count = math.prod(spec.output_size) * spec.groups
        module = LocallyConnected(count, spec.fan_in, spec.out_channels // spec.groups, bias=bias is not None)
        return TorchModule(
            spec,
            module,
            "torch/bmm",
            weight,
            bias,
            enter=lambda x: x.reshape(len(x), count, spec.fan_in),
            leave=lambda y: y.reshape(spec.y_shape(len(y))),
        )
