"""The recommended route of NumPy, in the operands' own dtype: the compiled kernel, or windows and batched products."""

from __future__ import annotations

from typing import Any

from lcl_backends.support import Capabilities
from lcl_backends.support.numpy import DTYPES, NumpyLayer, declared
from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines import numpy as engine


class _Layer(NumpyLayer):
    """The engine takes half types as they are."""

    def to_native(self, array: Any) -> Any:
        """Return it."""
        return array


class Adapter:
    """`lcl_ref.layers.engines.numpy` behind the adapter protocol."""

    declaration = declared(
        name="numpy.fast",
        aliases=("numpy.matmul",),
        summary="Windows of one tile of positions at a time, multiplied by their weights in one batched product.",
        layout="canonical",
        capabilities=Capabilities(channel_table=True, dtypes=DTYPES),
        recommended=True,
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> NumpyLayer:
        """Keep the canonical weights."""
        return _Layer(spec, engine, weight, bias)
