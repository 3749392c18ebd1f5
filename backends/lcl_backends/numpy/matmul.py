"""The fast path of the reference package: strided windows and batched matrix products, in the operands' own dtype."""

from __future__ import annotations

from typing import Any

from lcl_backends.support.numpy import DTYPES, NumpyLayer
from lcl_ref.core import batched
from lcl_ref.core.spec import Spec
from lcl_ref.suite.adapter import Capabilities, Declaration


class Adapter:
    """`lcl_ref.core.batched` behind the adapter protocol."""

    declaration = Declaration(
        name="numpy.matmul",
        framework="numpy",
        modules=("numpy",),
        summary="Windows of one slab of positions at a time, multiplied by their weights in one batched product.",
        layout="canonical",
        capabilities=Capabilities(channel_table=True, dtypes=DTYPES),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, _dtype: str) -> NumpyLayer:
        """Keep the canonical weights as they are."""
        return NumpyLayer(batched, spec, weight, bias)
