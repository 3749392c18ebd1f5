"""`UnequalBlockLinear` for Keras 3, on every backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import keras
from keras import ops

from lcl_ref.extensions.unequal import Blocks
from lcl_ref.layers._arguments import check_bias
from lcl_ref.layers._docstrings import UNEQUAL, UNEQUAL_ATTRIBUTES, documented

_PLACEMENT = """
kernel_initializer, bias_initializer
    As of `keras.layers.Dense`, of each block."""

_EXAMPLE = """\
>>> import keras
>>> from lcl_ref.layers.keras import UnequalBlockLinear
>>> layer = UnequalBlockLinear([(2, 3), (4, 1), (1, 5)])
>>> tuple(layer(keras.ops.zeros((4, 7))).shape)
(4, 9)
>>> [tuple(kernel.shape) for kernel in layer.kernels]
[(2, 3), (4, 1), (1, 5)]"""


@keras.saving.register_keras_serializable(package="lcl_ref")
@documented(
    UNEQUAL,
    flag="use_bias",
    placement=_PLACEMENT,
    held=UNEQUAL_ATTRIBUTES,
    kernels="kernels",
    array="keras.Variable",
    or_none=" or None",
    start="as `kernel_initializer` draws them",
    bias_start="as `bias_initializer` draws it",
    taken="`from_blocks`",
    example=_EXAMPLE,
)
class UnequalBlockLinear(keras.layers.Layer):
    """A linear map whose matrix is block-diagonal, with blocks of unequal sizes."""

    def __init__(
        self,
        sizes: Sequence[Sequence[int]],
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sizes = [(inputs, outputs) for inputs, outputs in sizes]
        self.blocks, self.use_bias = Blocks(self.sizes), use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.input_spec = keras.layers.InputSpec(min_ndim=1, axes={-1: self.blocks.in_channels})

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Make the variables, whose shapes do not depend on the input."""
        self.kernels = [
            self.add_weight(name=f"kernel_{number}", shape=size, initializer=_of_block(self.kernel_initializer, number))
            for number, size in enumerate(self.sizes)
        ]
        self.bias = None
        if self.use_bias:
            shape = (self.blocks.out_channels,)
            self.bias = self.add_weight(name="bias", shape=shape, initializer=self.bias_initializer)
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Return ``(*, sum of outputs)`` of ``(*, sum of inputs)``."""
        pairs = zip(self.blocks.inputs, self.kernels, strict=True)
        y = ops.concatenate([ops.matmul(inputs[..., where], kernel) for where, kernel in pairs], -1)
        return y if self.bias is None else ops.add(y, self.bias)

    @classmethod
    def from_blocks(cls, weights: Sequence[Any], bias: Any = None, **kwargs: Any) -> Self:
        """Return the built layer of weights ``(inputs, outputs)``, one per block, and of a bias or None.

        Raises
        ------
        ShapeError
            If the bias is not ``(sum of outputs,)``.
        """
        layer = cls([weight.shape for weight in weights], use_bias=bias is not None, **kwargs)
        if bias is not None:
            check_bias(layer.blocks, bias)
        layer.build((None, layer.blocks.in_channels))
        layer.set_weights([*weights, *([] if bias is None else [bias])])
        return layer

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Return the shape of the output."""
        return (*input_shape[:-1], self.blocks.out_channels)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        own = {"sizes": self.sizes, "use_bias": self.use_bias}
        drawn = {name: keras.initializers.serialize(getattr(self, name)) for name in _INITIALIZERS}
        inherited: dict[str, Any] = super().get_config()
        return inherited | own | drawn


_INITIALIZERS = ("kernel_initializer", "bias_initializer")


def _of_block(initializer: Any, number: int) -> Any:
    """Return an initialiser of its own: Keras's draw the same numbers at every call, and blocks may be of one size."""
    if not isinstance(initializer, keras.initializers.Initializer):
        return initializer
    config = initializer.get_config()
    if isinstance(config.get("seed"), int):
        config["seed"] += number
    return type(initializer).from_config(config)
