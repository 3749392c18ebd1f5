"""The recommended route of TensorFlow: a box of positions at a time, in a loop that XLA compiles."""

from __future__ import annotations

from functools import partial
from typing import Any

from lcl_backends import _tensorflow
from lcl_ref.spec import Spec
from lcl_ref.suite.adapter import Capabilities, Declaration


class Adapter:
    """`lcl_backends.layers._tensorflow_boxes.local`."""

    declaration = Declaration(
        name="tensorflow.fast",
        framework="tensorflow",
        modules=("tensorflow",),
        summary="Windows of a box of positions, batch last, times their weights, in a loop compiled by XLA.",
        layout="canonical",
        environment=_tensorflow.ENVIRONMENT,
        without=_tensorflow.WITHOUT,
        capabilities=Capabilities(channel_table=True, dtypes=_tensorflow.WITH_COMPLEX),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> _tensorflow.TensorflowLayer:
        """Hand the canonical weights to TensorFlow once."""
        _tensorflow.load()
        from lcl_backends.layers._tensorflow_boxes import local

        return _tensorflow.prepared(spec, partial(local, spec), weight, bias, compiled=True)
