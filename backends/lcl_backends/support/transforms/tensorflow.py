"""Layers on TensorFlow under accumulators, tapes in tapes, `tf.vectorized_map`, `tf.function` and SavedModel."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lcl_backends.support.transforms.transformed import Function, TransformedLayer


class TensorflowTransforms(TransformedLayer):
    """What TensorFlow makes of the functions of a layer."""

    def pushed_forward(self, operands: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        """Use `tf.autodiff.ForwardAccumulator`."""
        import tensorflow as tf

        with tf.autodiff.ForwardAccumulator(list(operands), list(tangents)) as accumulator:
            y = self.apply(*operands)
        return y, accumulator.jvp(y)

    def pulled_back(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        """Use `tf.GradientTape`."""
        import tensorflow as tf

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(operands)
            y = self.apply(*operands)
        return [tf.convert_to_tensor(gradient) for gradient in tape.gradient(y, list(operands), cotangent)]

    def pulled_back_twice(self, operands: Sequence[Any], cotangent: Any, tangents: Sequence[Any]) -> Sequence[Any]:
        """Use a tape around a tape."""
        import tensorflow as tf

        moving = [cotangent, *operands]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(moving)
            gradients = self.pulled_back(*moving)
        found: Sequence[Any] = tape.gradient(
            gradients, moving, list(tangents), unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return found

    def mapped_over(self, function: Function, axes: Sequence[int | None]) -> Function:
        """Use `tf.vectorized_map`, which maps over first axes."""
        import tensorflow as tf

        def mapped(*operands: Any) -> Any:
            pairs = list(zip(operands, axes, strict=True))
            first = [tf.experimental.numpy.moveaxis(one, axis, 0) for one, axis in pairs if axis is not None]

            def one(elements: Sequence[Any]) -> Any:
                left = iter(elements)
                return function(*(whole if axis is None else next(left) for whole, axis in pairs))

            return tf.vectorized_map(one, first)

        return mapped

    def stacked(self, tensors: Sequence[Any], axis: int) -> Any:
        """Use `tf.stack`."""
        import tensorflow as tf

        return tf.stack(tensors, axis)

    def modes(self) -> Mapping[str, Callable[[Function], Function]]:
        """Make a graph, and have XLA compile it."""
        import tensorflow as tf

        return {
            "in a graph of tf.function": tf.function,
            "compiled by XLA": functools.partial(tf.function, jit_compile=True),
        }

    def stored_and_loaded(self, x: Any) -> Function:
        """Use SavedModel."""
        import tensorflow as tf

        module = tf.Module()
        module.held = [tf.Variable(tensor) for tensor in self.held]
        module.call = tf.function(lambda x: self.apply(x, *module.held)).get_concrete_function(x)
        with tempfile.TemporaryDirectory() as folder:
            tf.saved_model.save(module, folder, signatures=module.call)
            loaded = tf.saved_model.load(folder)
        return lambda x: loaded.signatures["serving_default"](x)["output_0"]
