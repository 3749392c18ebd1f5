"""The recommended route of TensorFlow: a box of positions at a time, in a loop that XLA compiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lcl_backends import _tensorflow
from lcl_ref.spec import Spec
from lcl_ref.suite.adapter import Capabilities, Declaration


@dataclass(frozen=True)
class FastLayer:
    """A layer holding canonical weights as tensors, differentiated by `tf.GradientTape`."""

    spec: Spec
    weight: Any
    bias: Any

    def forward(self, x: Any) -> Any:
        """Return ``y (n, o*, co)``."""
        return np.asarray(self._apply(*self._operands(x)))

    def vjp(self, x: Any, dy: Any) -> Any:
        """Return ``(dx, dw, db)``."""
        dx, dw, *db = _tensorflow.pullback(self._apply, self._operands(x), dy)
        return dx, dw, db[0] if db else None

    def transpose(self, y: Any) -> Any:
        """Return ``xt (n, i*, ci)``: the gradient in x of the linear part."""
        x = _tensorflow.load().zeros(self.spec.x_shape(len(y)), self.weight.dtype)
        return _tensorflow.pullback(lambda x: self._apply(x, self.weight), [x], y)[0]

    def _operands(self, x: Any) -> list[Any]:
        tensor = _tensorflow.load().convert_to_tensor(x)
        return [tensor, self.weight] if self.bias is None else [tensor, self.weight, self.bias]

    def _apply(self, *operands: Any) -> Any:
        from lcl_backends.layers._tensorflow_boxes import local

        return local(self.spec, *operands)


class Adapter:
    """`lcl_backends.layers._tensorflow_boxes.local`."""

    declaration = Declaration(
        name="tensorflow.fast",
        framework="tensorflow",
        modules=("tensorflow",),
        summary="Windows of a box of positions, batch last, times their weights, in a loop compiled by XLA.",
        layout="canonical",
        environment=_tensorflow.ENVIRONMENT,
        capabilities=Capabilities(channel_table=True, dtypes=_tensorflow.WITH_COMPLEX),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> FastLayer:
        """Hand the canonical weights to TensorFlow once."""
        held = [None if array is None else _tensorflow.load().constant(array) for array in (weight, bias)]
        return FastLayer(spec, *held)
