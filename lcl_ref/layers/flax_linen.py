"""`LocallyConnected` for flax.linen: channels last, params ``kernel`` and ``bias`` in canonical layout.

`UnequalBlockLinear` has blocks of unequal sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flax import linen

from lcl_ref.core.spec import Spec
from lcl_ref.extensions.regions import as_map
from lcl_ref.extensions.unequal import Blocks
from lcl_ref.layers._arguments import spread, stored_shapes
from lcl_ref.layers._docstrings import DEVICES, FLAX_PLACEMENT, OF_SPEC, REGIONS, UNEQUAL, documented
from lcl_ref.layers._flax import apply, apply_blocks, bias_start, block_start, hashable, kernel_start

_EXAMPLE = """\
>>> import jax
>>> from lcl_ref import Spec
>>> from lcl_ref.layers.flax_linen import LocallyConnected
>>> spec = Spec(input_size=(9, 8), in_channels=3, out_channels=8, kernel_size=3, stride=2)
>>> x = jax.numpy.zeros((4, 9, 8, 3))
>>> layer = LocallyConnected(spec)
>>> variables = layer.init(jax.random.key(0), x)
>>> layer.apply(variables, x).shape
(4, 4, 3, 8)
>>> variables["params"]["kernel"].shape
(4, 3, 3, 3, 3, 8)"""


@documented(
    OF_SPEC,
    regions=REGIONS + DEVICES,
    more="",
    note='What `apply` takes is ``{"params": {"kernel": weight, "bias": bias}}`` of such arrays.',
    example=_EXAMPLE,
)
class LocallyConnected(linen.Module):
    """A locally connected layer of any rank, groups and sharing included; rank 0 is a block-diagonal linear map."""

    spec: Spec
    dtype: Any = None
    param_dtype: Any = "float32"
    kernel_init: Callable[..., Any] | None = None
    bias_init: Callable[..., Any] = bias_start
    regions: Any = None
    mesh: Any = None
    axes: Any = None
    batch_axis: str | None = None

    def __post_init__(self) -> None:
        """Keep the map and the axes as tuples: Flax compares and hashes modules."""
        self.axes = self.axes if self.axes is None else tuple(self.axes)
        self.regions = hashable(self.regions)
        super().__post_init__()

    @linen.compact
    def __call__(self, x: Any) -> Any:
        """Return ``y (..., o*, co)`` of ``x (..., i*, ci)``: any batch axes, or none."""
        where = None if self.regions is None else as_map(self.spec, self.regions)
        shapes = stored_shapes(self.spec, where)
        start = kernel_start(self.spec) if self.kernel_init is None else self.kernel_init
        kernel = self.param("kernel", start, shapes["weight"], self.param_dtype)
        bias = self.param("bias", self.bias_init, shapes["bias"], self.param_dtype) if "bias" in shapes else None
        over = (self.mesh, self.axes, self.batch_axis)
        return apply(self.spec, x, *spread(self.spec, where, kernel, bias), self.dtype, over)


_UNEQUAL = """\
>>> import jax
>>> from lcl_ref.layers.flax_linen import UnequalBlockLinear
>>> layer = UnequalBlockLinear([(2, 3), (4, 1), (1, 5)])
>>> variables = layer.init(jax.random.key(0), jax.numpy.zeros((4, 7)))
>>> layer.apply(variables, jax.numpy.zeros((4, 7))).shape
(4, 9)
>>> {name: array.shape for name, array in variables["params"].items()}
{'kernel_0': (2, 3), 'kernel_1': (4, 1), 'kernel_2': (1, 5), 'bias': (9,)}"""


@documented(
    UNEQUAL,
    flag="use_bias",
    placement=FLAX_PLACEMENT,
    held="",
    taken="`apply`",
    example=_UNEQUAL,
)
class UnequalBlockLinear(linen.Module):
    """A linear map whose matrix is block-diagonal, with blocks of unequal sizes."""

    sizes: Sequence[tuple[int, int]]
    use_bias: bool = True
    dtype: Any = None
    param_dtype: Any = "float32"
    kernel_init: Callable[..., Any] = block_start
    bias_init: Callable[..., Any] = bias_start

    def __post_init__(self) -> None:
        """Check the sizes, and keep them as tuples."""
        self.sizes = hashable(Blocks(self.sizes).sizes)
        super().__post_init__()

    @linen.compact
    def __call__(self, x: Any) -> Any:
        """Return ``y (..., sum of outputs)`` of ``x (..., sum of inputs)``: any batch axes, or none."""
        blocks = Blocks(self.sizes)
        kernels = [
            self.param(f"kernel_{number}", self.kernel_init, size, self.param_dtype)
            for number, size in enumerate(blocks.sizes)
        ]
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (blocks.out_channels,), self.param_dtype)
        return apply_blocks(blocks, x, kernels, bias, self.dtype)
