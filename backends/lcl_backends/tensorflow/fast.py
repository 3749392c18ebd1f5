"""The recommended route of TensorFlow: a box of positions at a time, in a loop that XLA compiles."""

from __future__ import annotations

from functools import partial
from typing import Any

from lcl_backends.support import tensorflow
from lcl_ref.core.spec import Spec
from lcl_ref.suite.adapter import Capabilities, Declaration


class Adapter:
    """`lcl_ref.layers.engines.tensorflow.local`."""

    declaration = Declaration(
        name="tensorflow.fast",
        framework="tensorflow",
        modules=("tensorflow",),
        summary="Windows of a box of positions, batch last, times their weights, in a loop compiled by XLA.",
        layout="canonical",
        environment=tensorflow.ENVIRONMENT,
        without=tensorflow.WITHOUT,
        capabilities=Capabilities(channel_table=True, dtypes=tensorflow.WITH_COMPLEX),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> tensorflow.TensorflowLayer:
        """Hand the canonical weights to TensorFlow once."""
        tensorflow.load()
        from lcl_ref.layers.engines.tensorflow import local

        return tensorflow.prepared(spec, partial(local, spec), weight, bias, compiled=True)
