"""Whole networks over: a model of today filled from a stored Keras model.

`fill` takes a model of PyTorch, Flax (linen or nnx), MLX or Keras 3, and a file that Keras wrote or `lcl convert` made
of it. Every layer gets its arrays in the order of axes, gates and features that its framework has. What does not fit,
or is left over, is refused with every reason, before anything is written.
"""

from lcl_ref.porting.filling import Filled, fill

__all__ = ["Filled", "fill"]
