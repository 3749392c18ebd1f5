"""`xlstm.components.linear_headwise.LinearHeadwiseExpand`: a linear map per head."""

from __future__ import annotations

from typing import Any

from _torch_module import DTYPES, SUMS, TorchModule

from lcl_ref import Spec
from lcl_ref.suite.adapter import Capabilities, Declaration


class Adapter:
    """The module; heads are groups."""

    declaration = Declaration(
        name="xlstm.LinearHeadwiseExpand",
        framework="xlstm",
        modules=("torch", "xlstm"),
        summary="Channels split into heads, einsum over heads.",
        layout="block/h_out_in",
        capabilities=Capabilities(ranks=(0,), dtypes=DTYPES, accumulation=SUMS),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, _dtype: str) -> TorchModule:
        """Build the module and put the weights in."""
        from xlstm.components.linear_headwise import (
            LinearHeadwiseExpand,
            LinearHeadwiseExpandConfig,
        )

        sizes = {"in_features": spec.in_channels, "num_heads": spec.groups, "_out_features": spec.out_channels}
        module = LinearHeadwiseExpand(LinearHeadwiseExpandConfig(**sizes, bias=bias is not None))
        return TorchModule(spec, module, "block/h_out_in", weight, bias)
