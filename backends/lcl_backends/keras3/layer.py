"""The layers of Keras 3 to drop in (`lcl_ref.layers.keras`) on its three backends, called as a model calls them.

Keras fixes its backend at its first import, so those of one backend need a process without the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from lcl_backends.support import Capabilities, Declaration, keras3, padding_is
from lcl_ref.core.spec import Spec

PADDING = {"valid": "valid", "same_keras_local": "same", "same_upper": "same_upper", "same_lower": "same_lower"}
"""Padding rule -> its name in the layer."""


def _module(spec: Spec, weight: Any, bias: Any, dtype: str) -> Any:
    """Return the built layer of the spec's rank, holding canonical weight and bias."""
    from lcl_ref.layers import keras as layers

    kind = (layers.LocallyConnected1D, layers.LocallyConnected2D, layers.LocallyConnected3D)[spec.rank - 1]
    padding = next(name for rule, name in PADDING.items() if padding_is(spec, rule))
    module = kind(
        spec.out_channels,
        spec.kernel_size,
        strides=spec.stride,
        padding=padding,
        data_format="channels_last",
        dtype=dtype,
        kernel_initializer=_zeros,
        bias_initializer=_zeros,
        use_bias=bias is not None,
    )
    module.build(spec.x_shape(1))
    module.set_canonical(weight, bias)
    return module


def _zeros(shape: Sequence[int], dtype: Any = None) -> Any:  # noqa: ARG001 -- Keras passes it, and casts
    """Return what Keras starts from; JAX would compile a program for every shape of its own zeros."""
    return np.zeros(shape, np.float32)


def _call(module: Any, _spec: Spec, x: Any, *held: Any) -> Any:
    """Call the layer on kernel and bias in its own shapes."""
    return module.stateless_call(list(held), [], x)[0]


def _declaration(backend: str) -> Declaration:
    return keras3.declared(
        "layer",
        backend,
        summary=f"The Keras 3 layers to drop in, on {backend}.",
        layout="keras2/impl1/channels_last",
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


class _Layer(keras3.KerasAdapter):
    def parts(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> tuple[Any, ...]:
        """Return the built layer as a function, and its kernel and bias, or None, in its own shapes."""
        module = _module(spec, weight, bias, dtype)
        kernel, *offsets = module.get_weights()
        return partial(_call, module), kernel, offsets[0] if offsets else None


class OnJax(_Layer):
    """Compiled by JAX."""

    declaration = _declaration("jax")


class OnTensorflow(_Layer):
    """Run eagerly by TensorFlow."""

    declaration = _declaration("tensorflow")


class OnTorch(_Layer):
    """Run eagerly by torch."""

    declaration = _declaration("torch")
