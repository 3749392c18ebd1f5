"""The variables of the old Keras layer, in the shapes its files hold, as canonical tensors and back."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
from keras import ops

from lcl_ref import layouts
from lcl_ref.core.spec import Spec
from lcl_ref.extensions.regions import as_map
from lcl_ref.layouts.regions import keras_regions


class Stored:
    """How the old layer keeps its variables: a table, per canonical element, of where it is stored.

    Of a layer with regions, which the old one had not, kernel and bias have them in the place of positions.
    """

    def __init__(self, spec: Spec, implementation: int, data_format: str, regions: Any = None) -> None:
        self._spec, self.where = spec, None if regions is None else as_map(spec, regions)
        if self.where is not None:
            self._same, count = True, int(self.where.max()) + 1
            self.layout = keras_regions(self.where, spec.rank)
            self.kernel_shape: tuple[int, ...] = (count, spec.fan_in, spec.out_channels)
            return
        family = "keras2" if spec.rank < 3 else "neurite"
        self.layout = f"{family}/impl{implementation}/{data_format}"
        self._same = self.layout.endswith("impl1/channels_last")  # the canonical order, some axes joined
        if self._same:
            self.kernel_shape = (math.prod(spec.output_size), spec.fan_in, spec.out_channels)
            return
        numbers = np.arange(1, math.prod(spec.weight_shape) + 1).reshape(spec.weight_shape)
        offsets = None if spec.bias_shape is None else np.arange(math.prod(spec.bias_shape)).reshape(spec.bias_shape)
        stored, bias = layouts.convert(spec, numbers, offsets, source="canonical", target=self.layout)
        self.kernel_shape = stored.shape
        self._numbers = stored.reshape(-1)
        self._bias = None if bias is None else np.argsort(bias, axis=None)

    @cached_property
    def _places(self) -> Any:
        """Return, per canonical element, its place in the stored kernel plus 1; 0 where it is not stored."""
        places = np.zeros(math.prod(self._spec.weight_shape) + 1, np.int32)
        places[self._numbers] = np.arange(1, len(self._numbers) + 1)
        places[0] = 0
        return places[1:]

    @property
    def bias_shape(self) -> tuple[int, ...] | None:
        """Shape of the bias, per position or per region."""
        of_region = self.where is not None and self._spec.bias_shape is not None
        return (self.kernel_shape[0], self._spec.out_channels) if of_region else self._spec.bias_shape

    def kernel(self, weight: Any) -> Any:
        """Return a canonical array as it is stored, flat, dead entries 0."""
        if self._same:
            return weight.reshape(-1)
        return np.concatenate([np.zeros(1, weight.dtype), weight.reshape(-1)])[self._numbers]

    def canonical_kernel(self, stored: Any) -> Any:
        """Return a stored kernel as the tensor ``(o*, k*, ci, co)``; taps that are not stored are 0."""
        if self.where is not None:
            stored = ops.take(stored, self.where, axis=0)
        if self._same:
            return ops.reshape(stored, self._spec.weight_shape)
        flat = ops.pad(ops.reshape(stored, (-1,)), ((1, 0),))
        return ops.reshape(ops.take(flat, self._places), self._spec.weight_shape)

    def canonical_bias(self, stored: Any) -> Any:
        """Return a stored bias as the tensor ``(o*, co)``."""
        if self.where is not None:
            return ops.take(stored, self.where, axis=0)
        if self._same:
            return stored
        return ops.reshape(ops.take(ops.reshape(stored, (-1,)), self._bias), self._spec.bias_shape)
