"""tf_keras ``LocallyConnected1D/2D``, the layers Keras 3 removed: three implementations in both data formats.

One layer, six weight files: `lcl_ref.layouts` holds the conversions. ``padding="same"`` of these layers is
the rule ``same_keras_local`` (``lo = kernel_size // 2`` whatever the stride), not the one of TensorFlow's convolutions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lcl_backends.support import Capabilities, Declaration, Reshaping, padding_is, tensorflow
from lcl_backends.support.flushing import declared_flushing
from lcl_ref.core.spec import Spec
from lcl_ref.layouts import convert

_SUMMARY = {
    1: "One slice per position, stacked, times one weight matrix per position.",
    2: "One dense matrix from all inputs to all outputs, multiplied by a 0/1 mask.",
    3: "One sparse matrix from all inputs to all outputs that stores the live taps only.",
}

_WHY = {
    "ranks": "tf_keras has LocallyConnected1D and LocallyConnected2D only",
    "dilation": "the constructor has no dilation argument",
    "groups": "the constructor has no groups argument",
    "channel_table": "every output channel reads all input channels",
    "sharing": "no two positions can share weights in this layer",
    "bias": "the bias variable has one element per position and channel, so one per channel would be another model",
}

_PRODUCT_AND_BIAS = {"float16/forward": "float16", "bfloat16/forward": "bfloat16"}
"""Half types are summed in float32, but the product is rounded before the bias is added."""

_ACCUMULATION = {
    1: {"float16": "float16", "bfloat16": "bfloat16"},
    2: _PRODUCT_AND_BIAS | {"float16/vjp": "float16"},
    3: _PRODUCT_AND_BIAS | {"float16/vjp": "float16", "bfloat16": "bfloat16"},
}
"""Implementation 1 adds up overlapping windows of dx in the half type, implementation 3 every sum in bfloat16."""

_SAME = {"padding": "the padding argument is 'valid' or 'same', and this layer reads 'same' as same_keras_local"}
_MASK = {
    "nonfinite": "its dense product takes 0 * inf of masked entries for NaN in float16 and float64, "
    "and skips zeros, those of live taps too, in bfloat16 and float32"
}
_CONJUGATE = {"dtypes": "implementation 3 takes the adjoint of its inputs in a sparse product, which conjugates them"}
_WHY_OF = {1: {"padding": "implementation 1 takes padding='valid' only"}, 2: _SAME | _MASK, 3: _SAME | _CONJUGATE}

_LARGEST = {
    "max_positions": "slices, or indices of weights, of all positions are listed one by one in Python",
    "max_matrix": "the matrix and its mask are dense",
}
"""Why the largest layers are declined; each implementation names its own limit."""


class LocalLayer(tensorflow.TensorflowLayer):
    """A built tf_keras layer that holds its weights in its own layout."""

    def __init__(self, spec: Spec, layout: str, weight: Any, bias: Any) -> None:
        self.layer, self._layout = _build(spec, layout, str(weight.dtype)), layout
        super().__init__(spec, self._called, weight, bias)

    def _called(self, _spec: Spec, x: Any, *_held: Any) -> Any:
        with tensorflow.without_notices():  # implementation 2 passes a deprecated argument
            return self.layer(x)

    def hold(self, *arrays: Any) -> list[Any]:
        """Let the layer hold them."""
        self.layer.set_weights(arrays)
        return list(self.layer.trainable_variables)

    def reshaping(self) -> Reshaping | None:
        """Return nothing with channels first, where data is not in canonical order."""
        return None if self._layout.endswith("channels_first") else super().reshaping()

    @property
    def settings(self) -> Any:
        """What the layer was built with."""
        return self.layer.get_config()

    def to_native(self, array: Any) -> Any:
        """Return a tensor in the layer's data format."""
        first = self._layout.endswith("channels_first")
        return tensorflow.load().convert_to_tensor(np.moveaxis(array, -1, 1) if first else array)

    def to_numpy(self, tensor: Any) -> Any:
        """Return an array with channels last: the inverse of `to_native`."""
        array = np.asarray(tensor)
        return np.moveaxis(array, 1, -1) if self._layout.endswith("channels_first") else array

    def canonical(self, gradients: Sequence[Any]) -> tuple[Any, Any]:
        """Convert; the gradient of a tap that ``impl2`` or ``impl3`` does not store is 0."""
        weight, *bias = map(np.asarray, gradients)
        return convert(self.spec, weight, bias[0] if bias else None, source=self._layout, target="canonical")


class _Local:
    """Builds the layer that the declared layout names."""

    declaration: Declaration

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> LocalLayer:
        """Build the published layer and load converted weights into it once."""
        layout = self.declaration.layout
        return LocalLayer(spec, layout, *convert(spec, weight, bias, source="canonical", target=layout))

    def prepare_stored(self, spec: Spec, layout: str, weight: Any, bias: Any) -> LocalLayer:
        """Load arrays of a file as they are; Keras 1 stored what implementation 1 does."""
        return LocalLayer(spec, self.declaration.layout, weight, bias)


def _build(spec: Spec, layout: str, dtype: str) -> Any:
    """Return the tf_keras layer, its variables made but zero."""
    _, implementation, data_format = layout.split("/")
    layers = tensorflow.load_keras2().layers
    layer = (layers.LocallyConnected1D, layers.LocallyConnected2D)[spec.rank - 1](
        filters=spec.out_channels,
        kernel_size=spec.kernel_size,
        strides=spec.stride,
        padding="valid" if padding_is(spec, "valid") else "same",
        data_format=data_format,
        use_bias=spec.bias != "none",
        kernel_initializer="zeros",
        implementation=int(implementation[-1]),
        dtype=dtype,
    )
    channels_first = data_format == "channels_first"
    layer.build(
        (None, spec.in_channels, *spec.input_size) if channels_first else (None, *spec.input_size, spec.in_channels)
    )
    if implementation == "impl3":  # the same indices: Keras walks a list of pairs through at every call
        layer.kernel_idxs = np.array(layer.kernel_idxs)
    return layer


def _declaration(implementation: int, data_format: str) -> Declaration:
    suffix = ".channels_first" if data_format == "channels_first" else ""
    layout = f"keras2/impl{implementation}/{data_format}"
    return declared_flushing(
        name=f"keras.local{implementation}{suffix}",
        framework="tf-keras",
        modules=("tensorflow", "tf_keras"),
        summary=_SUMMARY[implementation],
        layout=layout,
        environment=tensorflow.ENVIRONMENT,
        without=tensorflow.WITHOUT,
        capabilities=Capabilities(
            ranks=(1, 2),
            dilation=False,
            padding=("valid",) if implementation == 1 else ("valid", "same_keras_local"),
            groups=False,
            sharing=("none",),
            bias=("none", "position"),
            dtypes=tensorflow.DTYPES if implementation == 3 else tensorflow.WITH_COMPLEX,
            nonfinite=implementation != 2,
            accumulation=_ACCUMULATION[implementation],
            max_positions=None if implementation == 2 else 2**12,
            max_matrix=2**24 if implementation == 2 else None,
            why=_WHY | _WHY_OF[implementation] | _LARGEST,
            declines={"transform/*": "its weights are variables of the layer, not arguments of a function"},
        ),
        published=not suffix,
        holds="windows" if implementation == 1 else "dense_matrix",
        live_layouts=(layout, f"keras1/{data_format}") if implementation == 1 else (layout,),
    )


class Local1(_Local):
    """``implementation=1``, channels last."""

    declaration = _declaration(1, "channels_last")


class Local2(_Local):
    """``implementation=2``, channels last."""

    declaration = _declaration(2, "channels_last")


class Local3(_Local):
    """``implementation=3``, channels last."""

    declaration = _declaration(3, "channels_last")


class Local1ChannelsFirst(_Local):
    """``implementation=1``, channels first."""

    declaration = _declaration(1, "channels_first")


class Local2ChannelsFirst(_Local):
    """``implementation=2``, channels first."""

    declaration = _declaration(2, "channels_first")


class Local3ChannelsFirst(_Local):
    """``implementation=3``, channels first."""

    declaration = _declaration(3, "channels_first")
