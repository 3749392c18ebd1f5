"""Windows by one gather, then one `tf.einsum`: every rank, and whatever `tf.image.extract_patches` leaves out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lcl_backends import _patches, _tensorflow
from lcl_ref.spec import Spec
from lcl_ref.suite.adapter import Capabilities, Declaration


@dataclass(frozen=True)
class PatchesLayer:
    """The layer's table of `lcl_backends._patches.sites`, and as tensors its `grouped` weight and canonical bias."""

    spec: Spec
    sites: Any
    weight: Any
    bias: Any

    def forward(self, x: Any) -> Any:
        """Return ``y (n, o*, co)``."""
        return np.asarray(self._apply(*self._operands(x)))

    def vjp(self, x: Any, dy: Any) -> Any:
        """Return ``(dx, dw, db)``."""
        dx, dw, *db = _tensorflow.pullback(self._apply, self._operands(x), dy)
        return dx, dw.reshape(self.spec.weight_shape), db[0] if db else None

    def transpose(self, y: Any) -> Any:
        """Return ``xt (n, i*, ci)``: the gradient in x of the linear part."""
        x = _tensorflow.load().zeros(self.spec.x_shape(len(y)), self.weight.dtype)
        return _tensorflow.pullback(lambda x: self._apply(x, self.weight), [x], y)[0]

    def _operands(self, x: Any) -> list[Any]:
        tensor = _tensorflow.load().convert_to_tensor(x)
        return [tensor, self.weight] if self.bias is None else [tensor, self.weight, self.bias]

    def _linear(self, x: Any, weight: Any) -> Any:
        """Gather ``(n, i*, ci) -> (n, o*, K, g, cg)``, padding being one more site that holds zeros, and multiply."""
        tf, spec, order = _tensorflow.load(), self.spec, _patches.gathered(self.spec)
        seen = x if order is None else tf.gather(x, order, axis=-1)
        flat = tf.reshape(seen, (len(x), math.prod(spec.input_size), seen.shape[-1]))
        if _patches.reads_padding(spec, self.sites):
            flat = tf.pad(flat, ((0, 0), (0, 1), (0, 0)))
        shaped = tf.reshape(tf.gather(flat, self.sites, axis=1), _patches.windows_shape(spec, len(x)))
        return tf.reshape(tf.einsum(_patches.PRODUCT, shaped, weight), spec.y_shape(len(x)))

    def _apply(self, x: Any, weight: Any, bias: Any = None) -> Any:
        """Return ``y (n, o*, co)``; half types are summed in float32 and rounded once."""
        tf = _tensorflow.load()
        wide = tf.float32 if x.dtype in (tf.float16, tf.bfloat16) else x.dtype
        y = self._linear(tf.cast(x, wide), tf.cast(weight, wide))
        return tf.cast(y if bias is None else y + tf.cast(bias, wide), x.dtype)


class Adapter:
    """`tf.gather` and `tf.einsum`, run eagerly."""

    declaration = Declaration(
        name="tensorflow.patches",
        framework="tensorflow",
        modules=("tensorflow",),
        summary="One tf.gather of every window from a flat table of input sites, then one tf.einsum.",
        layout="canonical",
        environment=_tensorflow.ENVIRONMENT,
        capabilities=Capabilities(channel_table=True, dtypes=_tensorflow.WITH_COMPLEX),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> PatchesLayer:
        """Compute the table of sites and hand the weights to TensorFlow once."""
        tensor = _tensorflow.load().convert_to_tensor
        held = tensor(_patches.grouped(spec, weight))
        return PatchesLayer(spec, _patches.sites(spec), held, None if bias is None else tensor(np.asarray(bias)))
