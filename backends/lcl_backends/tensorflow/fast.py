"""The recommended route of TensorFlow: a tile of positions at a time, in a loop that XLA compiles."""

from __future__ import annotations

from typing import Any

from lcl_backends.support import Capabilities, tensorflow
from lcl_ref.core.spec import Spec


class Adapter:
    """`lcl_ref.layers.engines.tensorflow.local`."""

    declaration = tensorflow.declared(
        name="tensorflow.fast",
        summary="Windows of a tile of positions, batch last, times their weights, in a loop compiled by XLA.",
        layout="canonical",
        capabilities=Capabilities(channel_table=True, dtypes=tensorflow.WITH_COMPLEX),
        recommended=True,
        holds="tiles",
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> tensorflow.TensorflowLayer:
        """Hand the canonical weights to TensorFlow once."""
        tensorflow.load()
        from lcl_ref.layers.engines.tensorflow import local

        return tensorflow.TensorflowLayer(spec, local, weight, bias, compiled=True)
