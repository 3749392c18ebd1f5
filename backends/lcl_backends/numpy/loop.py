"""The readable reference as a backend: nested loops over positions and taps."""

from __future__ import annotations

from typing import Any

from lcl_backends.support import Capabilities
from lcl_backends.support.numpy import DTYPES, NumpyLayer, declared
from lcl_ref.core import reference
from lcl_ref.core.spec import Spec


class Adapter:
    """`lcl_ref.core.reference` behind the adapter protocol."""

    declaration = declared(
        name="numpy.loop",
        summary="One multiply and sum per position and tap, as SPEC.md writes it.",
        layout="canonical",
        capabilities=Capabilities(
            channel_table=True,
            dtypes=DTYPES,
            max_positions=2**12,
            why={"max_positions": "a loop in Python over the positions, which would take most of a run"},
        ),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> NumpyLayer:
        """Keep the canonical weights."""
        return NumpyLayer(spec, reference, weight, bias)
