"""The recommended route of Keras 3: the engine of the framework it runs on, as in the layers to drop in.

Keras fixes its backend at its first import, so those of one backend need a process without the others.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np

from lcl_backends.support import keras3, tensorflow
from lcl_backends.support.jax import DTYPES, JaxLayer, prepared
from lcl_ref.core.spec import Spec
from lcl_ref.suite.adapter import Capabilities, Declaration


def _declaration(backend: str, suffix: str = "") -> Declaration:
    return Declaration(
        name=f"keras3.fast{suffix}",
        framework="keras",
        summary=f"Keras on {backend}, by the engine of {backend}.fast: windows of a box of positions at a time.",
        layout="canonical",
        **keras3.start(backend),
        capabilities=Capabilities(channel_table=True, dtypes=DTYPES),
    )


@cache
def _apply(spec: Spec) -> Any:
    from lcl_ref.layers.engines.keras import local

    return partial(local, spec)


class OnJax:
    """Compiled by JAX."""

    declaration = _declaration("jax")

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> JaxLayer:
        """Choose the backend; the weight stays canonical."""
        keras3.load("jax")
        return prepared(spec, dtype, _apply(spec), weight, bias, np.asarray)


class OnTensorflow:
    """Compiled by XLA."""

    declaration = _declaration("tensorflow", ".tensorflow")

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> tensorflow.TensorflowLayer:
        """Choose the backend and hand over the weights once."""
        keras3.load("tensorflow")
        return tensorflow.prepared(spec, _apply(spec), weight, bias, compiled=True)


class OnTorch:
    """Run by torch."""

    declaration = _declaration("torch", ".torch")

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> keras3.TorchLayer:
        """Choose the backend and hand over the weights once."""
        keras3.load("torch")
        return keras3.TorchLayer(spec, _apply(spec), weight, bias)
