"""The layers of Keras 3 to drop in (`lcl_ref.layers.keras`) on its three backends, called as a model calls them.

Keras fixes its backend at its first import, so those of one backend need a process without the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from lcl_backends.support import keras3, tensorflow
from lcl_backends.support.jax import JaxLayer, prepared
from lcl_ref.core.spec import Spec
from lcl_ref.suite.adapter import Capabilities, Declaration, padding_is

PADDING = {"valid": "valid", "same_keras_local": "same", "same_upper": "same_upper", "same_lower": "same_lower"}
"""Padding rule -> its name in the layer."""


def _module(spec: Spec, weight: Any, bias: Any, dtype: str) -> Any:
    """Return the built layer of the spec's rank, holding canonical weight and bias."""
    from lcl_ref.layers import keras as layers

    kind = (layers.LocallyConnected1D, layers.LocallyConnected2D, layers.LocallyConnected3D)[spec.rank - 1]
    padding = next(name for rule, name in PADDING.items() if padding_is(spec, rule))
    settings = {"strides": spec.stride, "padding": padding, "data_format": "channels_last", "dtype": dtype}
    start = {"kernel_initializer": _zeros, "bias_initializer": _zeros}
    module = kind(spec.out_channels, spec.kernel_size, **settings, **start, use_bias=bias is not None)
    module.build(spec.x_shape(1))
    module.set_canonical(weight, bias)
    return module


def _zeros(shape: Sequence[int], dtype: Any = None) -> Any:  # noqa: ARG001 -- Keras passes it, and casts
    """Return what Keras starts from; JAX would compile a program for every shape of its own zeros."""
    return np.zeros(shape, np.float32)


def _call(module: Any, x: Any, *held: Any) -> Any:
    """Call the layer on kernel and bias in its own shapes."""
    return module.stateless_call(list(held), [], x)[0]


def _parts(spec: Spec, weight: Any, bias: Any, dtype: str) -> tuple[Any, Any, Any]:
    """Return the layer as a function, and its kernel and bias, or None, in its own shapes."""
    module = _module(spec, weight, bias, dtype)
    kernel, *offsets = module.get_weights()
    return partial(_call, module), kernel, offsets[0] if offsets else None


def _declaration(backend: str, suffix: str = "") -> Declaration:
    return Declaration(
        name=f"keras3.layer{suffix}",
        framework="keras",
        summary=f"The Keras 3 layers to drop in, on {backend}.",
        layout="keras2/impl1/channels_last",
        **keras3.start(backend),
        capabilities=Capabilities(
            ranks=(1, 2, 3),
            dilation=False,
            padding=tuple(PADDING),
            groups=False,
            sharing=("none",),
            bias=("none", "position"),
            dtypes=("float16", "bfloat16", "float32", "float64"),
            why=dict.fromkeys(_OF_OLD, "the layer has the arguments of the one that Keras 3 removed"),
        ),
    )


_OF_OLD = ("ranks", "dilation", "padding", "groups", "channel_table", "sharing", "bias")


class OnJax:
    """Compiled by JAX."""

    declaration = _declaration("jax")

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> JaxLayer:
        """Choose the backend and build the layer."""
        import jax

        keras3.load("jax")
        with jax.enable_x64(dtype == "float64"):
            module = _module(spec, weight, bias, dtype)

        def apply(x: Any, kernel: Any, offsets: Any) -> Any:
            """Run without bias where the call has none: JAX transposes linear functions, not affine ones."""
            if (offsets is None) == (bias is None):
                return _call(module, x, *(held for held in (kernel, offsets) if held is not None))
            return _call(_module(spec, weight, None, dtype), x, kernel)

        kernel = module.get_weights()[0]
        return prepared(spec, dtype, apply, kernel, bias, lambda dw: dw.reshape(spec.weight_shape))


class OnTensorflow:
    """Run eagerly by TensorFlow."""

    declaration = _declaration("tensorflow", ".tensorflow")

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> tensorflow.TensorflowLayer:
        """Choose the backend and build the layer."""
        keras3.load("tensorflow")
        return tensorflow.prepared(spec, *_parts(spec, weight, bias, dtype))


class OnTorch:
    """Run eagerly by torch."""

    declaration = _declaration("torch", ".torch")

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> keras3.TorchLayer:
        """Choose the backend and build the layer."""
        keras3.load("torch")
        return keras3.TorchLayer(spec, *_parts(spec, weight, bias, dtype))
