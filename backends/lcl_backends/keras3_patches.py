"""Windows by one gather, then one einsum, in `keras.ops` alone: one route on three backends of Keras 3.

Keras fixes its backend at its first import, so each of these adapters needs a process of its own.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from lcl_backends import _keras3, _patches
from lcl_ref.spec import Spec
from lcl_ref.suite.adapter import Capabilities, Declaration

SMALL = 1_000_000
"""Layers with fewer connections than this are compiled quickly rather than well."""


def _linear(spec: Spec, sites: Any, x: Any, weight: Any) -> Any:
    """Gather ``(n, i*, ci) -> (n, o*, K, g, cg)``, padding being one more site that holds zeros, and multiply."""
    from keras import ops

    batch, order = x.shape[0], _patches.gathered(spec)
    seen = x if order is None else ops.take(x, order, axis=-1)
    flat = ops.reshape(seen, (batch, math.prod(spec.input_size), seen.shape[-1]))
    if _patches.reads_padding(spec, sites):
        flat = ops.pad(flat, ((0, 0), (0, 1), (0, 0)))
    shaped = ops.reshape(ops.take(flat, sites, axis=1), _patches.windows_shape(spec, batch))
    return ops.reshape(ops.einsum(_patches.PRODUCT, shaped, weight), spec.y_shape(batch))


def _affine(spec: Spec, sites: Any, x: Any, weight: Any, bias: Any = None) -> Any:
    from keras import ops

    y = _linear(spec, sites, x, weight)
    return y if bias is None else ops.add(y, bias)


class PatchesLayer:
    """The layer's functions on one backend, and its weights as `lcl_backends._patches.grouped` and canonical bias.

    Parameters
    ----------
    spec : Spec
        The layer.
    weight : array
        ``(o*, k*, cg, co)``.
    bias : array or None
        ``(o*, co)`` or ``(co,)``.
    engine : JaxEngine, TensorflowEngine or TorchEngine
        What runs and differentiates `keras.ops`.
    """

    def __init__(self, spec: Spec, weight: Any, bias: Any, engine: Any) -> None:
        arrays = [_patches.grouped(spec, weight)] + ([] if bias is None else [bias])
        sites = _patches.sites(spec)
        self._spec = spec
        self._weights = [engine.tensor(array) for array in arrays]
        self._forward = engine.function(partial(_affine, spec, sites))
        self._vjp = engine.pullback(partial(_affine, spec, sites), 1 + len(arrays))
        self._transpose = engine.pullback(partial(_linear, spec, sites), 1)

    def forward(self, x: Any) -> Any:
        """Return ``y (n, o*, co)``."""
        return self._forward(x, *self._weights)

    def vjp(self, x: Any, dy: Any) -> Any:
        """Return ``(dx, dw, db)``."""
        dx, dw, *db = self._vjp(dy, x, *self._weights)
        return dx, dw.reshape(self._spec.weight_shape), db[0] if db else None

    def transpose(self, y: Any) -> Any:
        """Return ``xt (n, i*, ci)``: the gradient in x of the linear part."""
        return self._transpose(y, np.zeros(self._spec.x_shape(len(y)), y.dtype), self._weights[0])[0]


class _Patches:
    """Keras on one backend; `engine` makes what differentiates it."""

    declaration: Declaration

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> PatchesLayer:
        """Choose the backend, then compute the table of sites and hand it the weights once."""
        _keras3.load(self.declaration.modules[1])
        return PatchesLayer(spec, weight, bias, self.engine(spec, dtype))

    def engine(self, spec: Spec, dtype: str) -> Any:
        """Return the engine of this backend."""
        raise NotImplementedError


def _declaration(backend: str, suffix: str = "") -> Declaration:
    return Declaration(
        name=f"keras3.patches{suffix}",
        framework="keras",
        modules=("keras", backend),
        summary=f"keras.ops on {backend}: one take of every window from a flat table of input sites, then one einsum.",
        layout="canonical",
        capabilities=Capabilities(channel_table=True, dtypes=("float16", "bfloat16", "float32", "float64")),
        environment={"KERAS_BACKEND": backend},
    )


class OnJax(_Patches):
    """Compiled by JAX."""

    declaration = _declaration("jax")

    def engine(self, spec: Spec, dtype: str) -> _keras3.JaxEngine:
        """Return JAX, in float64 where the layer is."""
        return _keras3.JaxEngine(wide=dtype == "float64", quick=spec.connection_count < SMALL)


class OnTensorflow(_Patches):
    """Run eagerly by TensorFlow."""

    declaration = _declaration("tensorflow", ".tensorflow")

    def engine(self, spec: Spec, dtype: str) -> _keras3.TensorflowEngine:
        """Return TensorFlow."""
        return _keras3.TensorflowEngine()


class OnTorch(_Patches):
    """Run eagerly by torch."""

    declaration = _declaration("torch", ".torch")

    def engine(self, spec: Spec, dtype: str) -> _keras3.TorchEngine:
        """Return torch."""
        return _keras3.TorchEngine()
