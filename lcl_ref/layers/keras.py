"""`LocallyConnected1D`, `2D` and `3D` for Keras 3, which removed them: arguments, configuration and weights of old.

They run on every backend of Keras 3. Models saved by Keras 2 load as they are: ``model = load_model("old.keras")``.
Saved again, they are models of Keras 3, whose own `load_model` finds the layers once this module is imported.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from lcl_ref import layouts
from lcl_ref.core.spec import Spec
from lcl_ref.errors import LclError
from lcl_ref.layers._docstrings import KERAS, REGIONS, documented
from lcl_ref.layers._keras_elsewhere import as_keras_file
from lcl_ref.layers._keras_models import modernised
from lcl_ref.layers._keras_unequal import UnequalBlockLinear  # noqa: F401  offered here
from lcl_ref.layers._keras_variables import Stored
from lcl_ref.layers.engines.keras import local

PADDING = {"valid": "valid", "same": "same_keras_local", "same_upper": "same_upper", "same_lower": "same_lower"}
"""Name in the layer -> padding rule. ``"same"`` of the old layer starts ``kernel_size // 2`` before the input, whatever
the stride; ``"same_upper"`` is the rule of TensorFlow's convolutions."""


class _LocallyConnected(keras.layers.Layer):
    """What the layers share: the variables, in the shapes of the old layer, and the call."""

    rank: ClassVar[int]

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        implementation: int = 1,
        regions: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.filters = filters
        self.kernel_size, self.strides = self._sizes("kernel_size", kernel_size), self._sizes("strides", strides)
        self.padding = _one_of("padding", padding, PADDING)
        own_format = keras.config.image_data_format() if data_format is None else data_format
        self.data_format = _one_of("data_format", own_format, ("channels_last", "channels_first"))
        self.implementation = _one_of("implementation", implementation, (1, 2, 3))
        self.regions = None if regions is None else np.asarray(regions).tolist()
        if regions is not None and implementation != 1:
            raise ValueError(f"regions need implementation=1. Received: implementation={implementation!r}")
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.input_spec = keras.layers.InputSpec(ndim=self.rank + 2)

    def _sizes(self, name: str, value: int | Sequence[int]) -> tuple[int, ...]:
        sizes = (value,) * self.rank if isinstance(value, int) else tuple(value)
        if len(sizes) != self.rank:
            raise ValueError(
                f"{name} of {type(self).__name__} must be an int or {self.rank} of them. Received: {value}"
            )
        return sizes

    def spec_of(self, input_shape: Sequence[int | None]) -> Spec:
        """Return the description of the layer for inputs of this shape.

        Raises
        ------
        ValueError
            If a size is unknown, or too small for the kernel.
        """
        *_, channels = shape = self._channels_last(input_shape)
        size = shape[1:-1]
        if None in (*size, channels):
            raise ValueError(
                f"The sizes of inputs to {type(self).__name__} must be known: every position has weights of its own. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        try:
            return Spec(
                input_size=size,
                in_channels=channels,
                out_channels=self.filters,
                kernel_size=self.kernel_size,
                stride=self.strides,
                padding=PADDING[self.padding],
                bias="position" if self.use_bias else "none",
            )
        except LclError as error:
            raise ValueError(f"{type(self).__name__} {self.name!r}: {error}") from error

    def _channels_last(self, shape: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(shape) if self.data_format == "channels_last" else (shape[0], *shape[2:], shape[1])

    def _native(self, shape: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(shape) if self.data_format == "channels_last" else (shape[0], shape[-1], *shape[1:-1])

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Make the variables; their shapes are those of the old layer."""
        self.spec = self.spec_of(input_shape)
        self.kernel = self.add_weight(
            name="kernel",
            shape=self._stored.kernel_shape,
            initializer=self._drawn,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=self._stored.bias_shape,
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        axis = -1 if self.data_format == "channels_last" else 1
        self.input_spec = keras.layers.InputSpec(ndim=self.rank + 2, axes={axis: self.spec.in_channels})
        self.built = True

    @cached_property
    def _stored(self) -> Stored:
        return Stored(self.spec, self.implementation, self.data_format, self.regions)

    def _drawn(self, shape: Sequence[int], dtype: Any = None) -> Any:
        """Return the initial kernel, its fans those of one position."""
        spec = self.spec
        count = math.prod(spec.output_size) if self.regions is None else shape[0]
        one = (count, spec.fan_in, spec.out_channels)
        drawn = self.kernel_initializer(one, dtype=dtype)
        if isinstance(self.kernel_initializer, keras.initializers.VarianceScaling):
            drawn = drawn * math.sqrt(count)  # Keras counts the first axis into both fans
        return self._stored.kernel(ops.convert_to_numpy(drawn)).reshape(shape)

    def call(self, inputs: Any) -> Any:
        """Return ``(n, *output_size, filters)`` of ``(n, *input_size, channels)``, or both channels first."""
        first = self.data_format == "channels_first"
        x = ops.moveaxis(inputs, 1, -1) if first else inputs
        y = local(self.spec, x, *self._tensors())
        return self.activation(ops.moveaxis(y, -1, 1) if first else y)

    def _tensors(self) -> tuple[Any, Any]:
        """Return weight ``(o*, k*, ci, co)`` and bias ``(o*, co)`` as tensors."""
        weight = self._stored.canonical_kernel(ops.convert_to_tensor(self.kernel))
        if self.bias is None:
            return weight, None
        return weight, self._stored.canonical_bias(ops.convert_to_tensor(self.bias))

    def canonical(self) -> tuple[Spec, Any, Any]:
        """Return the description and, as arrays, weight ``(o*, k*, ci, co)`` and bias ``(o*, co)`` or None."""
        weight, bias = self._tensors()
        return self.spec, ops.convert_to_numpy(weight), None if bias is None else ops.convert_to_numpy(bias)

    def set_canonical(self, weight: Any, bias: Any = None) -> None:
        """Load weight ``(o*, k*, ci, co)`` and bias ``(o*, co)`` or None into the built layer.

        Raises
        ------
        LclError
            If a shape is not the layer's.
        """
        arrays = layouts.convert(self.spec, weight, bias, source="canonical", target=self._stored.layout)
        given = [array for array in arrays if array is not None]
        self.set_weights([array.reshape(variable.shape) for array, variable in zip(given, self.weights, strict=True)])

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Return the shape of the output."""
        return self._native((input_shape[0], *self.spec_of(input_shape).output_size, self.filters))

    def compute_output_spec(self, inputs: Any) -> Any:
        """Return shape and dtype of the output, without running the layer."""
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.compute_dtype)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """Return the layer of a configuration, that of the old layer included; its ``batch_input_shape`` is dropped."""
        return super().from_config({key: value for key, value in config.items() if key != "batch_input_shape"})

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as the old layer wrote them."""
        serialize = {
            "activation": keras.activations.serialize,
            "kernel_initializer": keras.initializers.serialize,
            "bias_initializer": keras.initializers.serialize,
            "kernel_regularizer": keras.regularizers.serialize,
            "bias_regularizer": keras.regularizers.serialize,
            "activity_regularizer": keras.regularizers.serialize,
            "kernel_constraint": keras.constraints.serialize,
            "bias_constraint": keras.constraints.serialize,
        }
        plain = ("filters", "kernel_size", "strides", "padding", "data_format", "use_bias", "implementation")
        own = {name: getattr(self, name) for name in plain}
        own |= {} if self.regions is None else {"regions": self.regions}
        inherited: dict[str, Any] = super().get_config()
        return inherited | own | {name: write(getattr(self, name)) for name, write in serialize.items()}


def _one_of(name: str, value: Any, allowed: Sequence[Any] | Mapping[Any, Any]) -> Any:
    """Return a value, a word in small letters: the old layer took ``"SAME"`` and ``"Channels_Last"``."""
    value = value.lower() if isinstance(value, str) else value
    if value not in allowed:
        raise ValueError(f"{name} must be one of {tuple(allowed)}. Received: {value!r}")
    return value


@keras.saving.register_keras_serializable(package="lcl_backends")
@documented(KERAS, regions=REGIONS)
class LocallyConnected1D(_LocallyConnected):
    """A convolution over one spatial axis whose every position has a kernel of its own."""

    rank = 1


@keras.saving.register_keras_serializable(package="lcl_backends")
@documented(KERAS, regions=REGIONS)
class LocallyConnected2D(_LocallyConnected):
    """A convolution over two spatial axes whose every position has a kernel of its own."""

    rank = 2


@keras.saving.register_keras_serializable(package="lcl_backends")
@documented(KERAS, regions=REGIONS)
class LocallyConnected3D(_LocallyConnected):
    """A convolution over three spatial axes whose every position has a kernel of its own."""

    rank = 3


def load_model(
    filepath: Any,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = False,  # noqa: A002
    architecture: Any = None,
) -> Any:
    """Return a model that Keras 1 or 2 has saved, as a model of Keras 3.

    Parameters
    ----------
    filepath : str or Path
        A whole model (``.h5``, ``.keras``, SavedModel folder, ``model.json`` of TensorFlow.js), or with `architecture`
        weights alone (``.h5``, a checkpoint of TensorFlow). Lambda layers are refused, as Keras's own loader does.
    custom_objects : mapping, optional
        Other classes and functions that the model uses, by name.
    compile : bool
        Whether to restore the optimiser and the loss as well, which not every old one can be.
    architecture : str or Path, optional
        What ``to_json`` or ``to_yaml`` of the model wrote, for a file of ``save_weights``.

    Raises
    ------
    ValueError
        If the file holds weights without a model, or Keras 3 cannot build the model.
    """
    gone = importlib.import_module("keras._tf_keras.keras.layers").ThresholdedReLU  # which Keras 3 keeps for old models
    kinds = (LocallyConnected1D, LocallyConnected2D, LocallyConnected3D, gone)
    own = {kind.__name__: kind for kind in kinds}
    beside = None if architecture is None else Path(architecture)
    with as_keras_file(Path(filepath), beside) as found, modernised(*found) as path:
        return keras.models.load_model(path, custom_objects=own | dict(custom_objects or {}), compile=compile)


def restore() -> None:
    """Put `LocallyConnected1D` and `2D` back into `keras.layers`, and into `tf.keras.layers` of a loaded TensorFlow.

    Code that names them there then finds them. Under ``TF_USE_LEGACY_KERAS=1``, `tf.keras` is Keras 2 and has its own.
    """
    importlib.import_module("keras._tf_keras.keras.layers")
    if "tensorflow" in sys.modules:
        importlib.import_module("tensorflow.keras.layers")  # what tf.keras.layers names is another module than this one
    for name in ("keras.layers", "keras._tf_keras.keras.layers", "tensorflow.keras.layers"):
        module: Any = sys.modules.get(name)
        if module is not None and module.Layer is keras.layers.Layer:
            module.LocallyConnected1D, module.LocallyConnected2D = LocallyConnected1D, LocallyConnected2D
