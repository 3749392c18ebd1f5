"""The readable reference as a backend: nested loops over positions and taps."""

from __future__ import annotations

from typing import Any

from lcl_backends.support.numpy import DTYPES, NumpyLayer
from lcl_ref.core import reference
from lcl_ref.core.spec import Spec
from lcl_ref.suite.adapter import Capabilities, Declaration


class Adapter:
    """`lcl_ref.core.reference` behind the adapter protocol."""

    declaration = Declaration(
        name="numpy.loop",
        framework="numpy",
        modules=("numpy",),
        summary="One multiply and sum per position and tap, as SPEC.md writes it.",
        layout="canonical",
        capabilities=Capabilities(channel_table=True, dtypes=DTYPES),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, _dtype: str) -> NumpyLayer:
        """Keep the canonical weights as they are."""
        return NumpyLayer(reference, spec, weight, bias)
