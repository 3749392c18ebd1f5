"""Sections of docstrings that layers of several ranks or frameworks share, written once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from string import Template
from typing import TypeVar

Layer = TypeVar("Layer", bound=type)

REGIONS = """
regions : int, sequence of int or array of int, optional
    Regions along each axis, or the region of each position: all positions of a region share one weight, and weight and
    bias per position have one axis of regions in the place of ``*output_size``. Each call spreads them to positions."""
"""The argument that layers of all frameworks have (SPEC 14.10)."""

DEVICES = """
mesh, axes, batch_axis : jax.sharding.Mesh, sequence of (str or None), str, optional
    Devices over which the layer lies, the axis of the mesh along which each spatial axis is cut, and that of samples:
    only halos move (`lcl_ref.layers.sharded.Sharded`)."""
"""The arguments that layers of JAX have."""

CONVOLUTION = """
Parameters
----------
in_channels, out_channels : int
    Channels of the input and of the output.
input_size : int or sequence of int
    Spatial sizes of the input; the layer belongs to them.
kernel_size, stride, dilation : int or sequence of int
    As of the convolutions of $framework.
padding : str, int or sequence
    Zeros on both sides, pairs ``(lo, hi)`` per axis, or a name: ``"valid"``, ``"same_upper"`` (TensorFlow's SAME),
    ``"same_lower"``, ``"same_keras_local"`` (tf_keras ``LocallyConnected``), ``"causal"``.
groups : int
    Blocks of channels that do not see each other.
bias : bool or {"position", "channel", "none"}
    True: one number per position and channel.
shared : bool or sequence of bool
    Axes along which all positions share one weight.$placement

Attributes
----------
weight : $array
    ``(*output_size, *kernel_size, in_channels / groups, out_channels)``, 1 along shared axes. It starts uniform within
    ``+-1 / sqrt(fan_in)``, ``fan_in = prod(kernel_size) * in_channels / groups``, as the convolutions of $framework do;
    the functions of `$initialisers` would take positions for channels or taps, and start it far too small.
bias : $array$or_none
    ``(*output_size, out_channels)`` or ``(out_channels,)``, $bias_start.

Raises
------
SpecError
    If the settings describe no layer; the error lists all that is wrong.

Notes
-----
Input ``$input``, output ``$output``.
$note

Examples
--------
$example
"""

BLOCKS = """
Parameters
----------
$inputs, $outputs : int
    Sizes of the whole input and output, both divisible by `groups`.
groups : int
    Number of blocks.
bias : bool
    Whether there is one.$placement

Attributes
----------
weight : $array
    ``($inputs / groups, $outputs)``: column f belongs to block ``f // ($outputs / groups)``.
    It starts uniform within ``+-1 / sqrt(fan_in)``, ``fan_in = $inputs / groups``, as `$linear` does.
bias : $array$or_none
    ``($outputs,)``, from the same range.

Raises
------
SpecError
    If `groups` does not divide both sizes.

Notes
-----
Input ``(*, $inputs)``, output ``(*, $outputs)``, as of `$linear`.

Examples
--------
$example
"""

UNEQUAL = """
Parameters
----------
sizes : sequence of (int, int)
    Inputs and outputs of each block, in order.
$flag : bool
    Whether there is a bias.$placement
$held
Raises
------
SpecError
    If a size is below 1.

Notes
-----
Input ``(*, sum of inputs)``, output ``(*, sum of outputs)`` (SPEC 14.4): a product per block, and an infinity or NaN
stays in its block. $taken takes weights that are there; `lcl_ref.extensions.unequal.split` cuts them out of a
dense matrix, such as that of `torch.block_diag`.

Examples
--------
$example
"""

UNEQUAL_ATTRIBUTES = """
Attributes
----------
$kernels : list of $array
    Per block ``(inputs, outputs)``, $start.
bias : $array$or_none
    ``(sum of outputs,)``, $bias_start.
"""

OF_SPEC = """
Parameters
----------
spec : Spec
    The layer.
dtype : dtype, optional
    To compute in; by default that of the input.
param_dtype : dtype
    Of the parameters.$regions
kernel_init, bias_init : callable
    ``(key, shape, dtype) -> array``. By default LeCun normal with the fan of one position, the number of inputs that
    one output sums, and zeros. Initialisers of `jax.nn.initializers` would take positions for taps.$more

Notes
-----
Input ``(n, *input_size, in_channels)``, output ``(n, *output_size, out_channels)``; kernel
``(*output_size, *kernel_size, in_channels / groups, out_channels)``, 1 along shared axes, and bias
``(*output_size, out_channels)`` or ``(out_channels,)``.
$note

Examples
--------
$example
"""

FLAX_PLACEMENT = """
dtype : dtype, optional
    To compute in; by default that of the input.
param_dtype : dtype
    Of the parameters.
kernel_init, bias_init : callable
    ``(key, shape, dtype) -> array``, of each block. By default LeCun normal, and zeros."""

KERAS = """
Parameters
----------
filters : int
    Channels of the output.
kernel_size, strides : int or sequence of int
    Taps per window, and step between positions.
padding : {"valid", "same", "same_upper", "same_lower"}
    ``"same"`` is what the old layer made of it; ``"same_upper"`` that of TensorFlow's convolutions.
data_format : {"channels_last", "channels_first"}, optional
    By default that of `keras.config`.
activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, \
activity_regularizer, kernel_constraint, bias_constraint
    As of every layer of Keras.
implementation : {1, 2, 3}
    Shape in which the kernel is kept, as files of the old layer hold it: 1 ``(positions, taps * channels, filters)``,
    2 a dense matrix, mostly of dead entries, 3 the live entries of that matrix. They compute the same.$regions

Notes
-----
Input ``(n, *input_size, channels)``, output ``(n, *output_size, filters)``, or both with channels second. `canonical`
gives the weights as ``(*output_size, *kernel_size, channels, filters)`` and ``(*output_size, filters)``.

Initialisers that scale with a fan (Glorot, He, LeCun) see that of one position: ``fan_in`` is the number of inputs that
one output sums, ``fan_out`` the number of filters. The old layer counted positions as well, so that its weights began
``sqrt(positions)`` times smaller under ``implementation=1``.

Examples
--------
>>> import keras
>>> from lcl_ref.layers.keras import $name
>>> layer = $name(8, kernel_size=3, strides=2)
>>> tuple(layer(keras.ops.zeros((4, $sizes, 3))).shape)
(4, $positions, 8)
>>> spec, weight, bias = layer.canonical()
>>> weight.shape
($positions, $taps, 3, 8)
"""

EXAMPLES = {
    1: {"size": "9", "sizes": "9", "positions": "4", "taps": "3"},
    2: {"size": "(9, 8)", "sizes": "9, 8", "positions": "4, 3", "taps": "3, 3"},
    3: {"size": "(9, 8, 5)", "sizes": "9, 8, 5", "positions": "4, 3, 2", "taps": "3, 3, 3"},
}
"""Rank -> sizes of the layer that examples make: kernel size 3, stride 2."""


def documented(sections: str, **given: str) -> Callable[[Layer], Layer]:
    """Return a decorator that appends `sections` to the docstring of a class.

    Words stand in place of ``$names``: those given, the class's own name, and the sizes of `EXAMPLES` for its rank.
    """

    def complete(layer: Layer) -> Layer:
        words = given | {"name": layer.__name__} | EXAMPLES.get(getattr(layer, "rank", 0), {})
        filled = {name: Template(word).safe_substitute(words) for name, word in words.items()}  # words may name others
        layer.__doc__ = f"{inspect.cleandoc(layer.__doc__ or '')}\n\n{Template(sections.strip()).substitute(filled)}\n"
        return layer

    return complete
