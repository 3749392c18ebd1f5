"""Windows by one gather, then one `tf.einsum`: every rank, and whatever `tf.image.extract_patches` leaves out."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from lcl_backends.support import (
    PRODUCT,
    Capabilities,
    gathered,
    grouped,
    reads_padding,
    sites,
    tensorflow,
    windows_shape,
)
from lcl_ref.core.spec import Spec


def _linear(spec: Spec, table: Any, x: Any, weight: Any) -> Any:
    """Gather ``(n, i*, ci) -> (n, o*, K, g, cg)``, padding being one more site that holds zeros, and multiply."""
    tf, order = tensorflow.load(), gathered(spec)
    seen = x if order is None else tf.gather(x, order, axis=-1)
    flat = tf.reshape(seen, (x.shape[0], math.prod(spec.input_size), seen.shape[-1]))
    if reads_padding(spec, table):
        flat = tf.pad(flat, ((0, 0), (0, 1), (0, 0)))
    shaped = tf.reshape(tf.gather(flat, table, axis=1), windows_shape(spec, x.shape[0]))
    return tf.reshape(tf.einsum(PRODUCT, shaped, weight), spec.y_shape(x.shape[0]))


def _apply(table: Any, spec: Spec, x: Any, weight: Any, bias: Any = None) -> Any:
    """Return ``y (n, o*, co)``; half types are summed in float32 and rounded once."""
    tf = tensorflow.load()
    wide = tf.float32 if x.dtype in (tf.float16, tf.bfloat16) else x.dtype
    y = _linear(spec, table, tf.cast(x, wide), tf.cast(weight, wide))
    return tf.cast(y if bias is None else y + tf.cast(bias, wide), x.dtype)


class Adapter:
    """`tf.gather` and `tf.einsum`, run eagerly."""

    declaration = tensorflow.declared(
        name="tensorflow.patches",
        summary="One tf.gather of every window from a flat table of input sites, then one tf.einsum.",
        layout="canonical",
        capabilities=Capabilities(channel_table=True, dtypes=tensorflow.WITH_COMPLEX),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> tensorflow.TensorflowLayer:
        """Compute the table of sites and hand the weights to TensorFlow once."""
        apply = partial(_apply, sites(spec))
        return tensorflow.TensorflowLayer(spec, apply, grouped(spec, weight), bias)
