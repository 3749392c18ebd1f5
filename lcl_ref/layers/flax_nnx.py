"""`LocallyConnected` for flax.nnx: channels last, ``kernel`` and ``bias`` in canonical layout.

`UnequalBlockLinear` has blocks of unequal sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import jax.numpy as jnp
import numpy as np
from flax import nnx

from lcl_ref.core.spec import Spec
from lcl_ref.extensions.regions import Map, as_map, collapse
from lcl_ref.extensions.unequal import Blocks
from lcl_ref.layers._arguments import check_bias, check_shapes, collapsed, spread, stored_shapes
from lcl_ref.layers._docstrings import (
    DEVICES,
    FLAX_PLACEMENT,
    OF_SPEC,
    REGIONS,
    UNEQUAL,
    UNEQUAL_ATTRIBUTES,
    documented,
)
from lcl_ref.layers._flax import apply, apply_blocks, bias_start, block_start, hashable, kernel_start

_EXAMPLE = """\
>>> import jax
>>> from flax import nnx
>>> from lcl_ref import Spec
>>> from lcl_ref.layers.flax_nnx import LocallyConnected
>>> spec = Spec(input_size=(9, 8), in_channels=3, out_channels=8, kernel_size=3, stride=2)
>>> layer = LocallyConnected(spec, rngs=nnx.Rngs(0))
>>> layer(jax.numpy.zeros((4, 9, 8, 3))).shape
(4, 4, 3, 8)
>>> layer.kernel.shape
(4, 3, 3, 3, 3, 8)"""


@documented(
    OF_SPEC,
    regions=REGIONS + DEVICES,
    more="\nrngs : nnx.Rngs\n    Where the parameters are drawn from.",
    note="`from_canonical` and `canonical` take and give such arrays.",
    example=_EXAMPLE,
)
class LocallyConnected(nnx.Module):
    """A locally connected layer of any rank, groups and sharing included; rank 0 is a block-diagonal linear map."""

    def __init__(
        self,
        spec: Spec,
        *,
        rngs: nnx.Rngs,
        dtype: Any = None,
        param_dtype: Any = "float32",
        kernel_init: Callable[..., Any] | None = None,
        bias_init: Callable[..., Any] = bias_start,
        regions: Any = None,
        mesh: Any = None,
        axes: Sequence[str | None] | None = None,
        batch_axis: str | None = None,
    ) -> None:
        self.mesh, self.axes, self.batch_axis = mesh, None if axes is None else tuple(axes), batch_axis
        start = kernel_start(spec) if kernel_init is None else kernel_init
        self.spec, self.dtype, self.regions = spec, dtype, hashable(regions)
        shapes = stored_shapes(spec, self._where())
        self.kernel = nnx.Param(start(rngs.params(), shapes["weight"], param_dtype))
        self.bias = nnx.data(None)
        if "bias" in shapes:
            self.bias = nnx.Param(bias_init(rngs.params(), shapes["bias"], param_dtype))

    def _where(self) -> Map | None:
        return None if self.regions is None else as_map(self.spec, self.regions)

    def __call__(self, x: Any) -> Any:
        """Return ``y (..., o*, co)`` of ``x (..., i*, ci)``: any batch axes, or none."""
        return apply(self.spec, x, *self.canonical(), self.dtype, (self.mesh, self.axes, self.batch_axis))

    @classmethod
    def from_canonical(
        cls, spec: Spec, weight: Any, bias: Any = None, dtype: Any = None, regions: Any = None, **over: Any
    ) -> Self:
        """Return the layer of `spec` with copies of canonical weight and bias, `over` devices as the constructor says.

        Raises
        ------
        ShapeError
            If a shape is not the one `spec` asks for.
        LayoutError
            If they differ inside one of the regions.
        """
        given = check_shapes(spec, jnp.array(weight), None if bias is None else jnp.array(bias))
        if regions is not None:
            given = collapsed(spec, as_map(spec, regions), given, _collapse)
        start: dict[str, Any] = {"kernel_init": lambda *_: given["weight"], "bias_init": lambda *_: given["bias"]}
        return cls(spec, rngs=nnx.Rngs(0), dtype=dtype, regions=regions, **start, **over)

    def canonical(self) -> tuple[Any, Any]:
        """Return weight ``(o*, k*, cg, co)`` and bias ``(o*, co)``, ``(co,)`` or None."""
        return spread(self.spec, self._where(), self.kernel[...], None if self.bias is None else self.bias[...])


def _collapse(where: Map, array: Any, name: str) -> Any:
    return jnp.array(collapse(where, np.asarray(array), name))


_UNEQUAL = """\
>>> import jax
>>> from flax import nnx
>>> from lcl_ref.layers.flax_nnx import UnequalBlockLinear
>>> layer = UnequalBlockLinear([(2, 3), (4, 1), (1, 5)], rngs=nnx.Rngs(0))
>>> layer(jax.numpy.zeros((4, 7))).shape
(4, 9)
>>> [kernel.shape for kernel in layer.kernels]
[(2, 3), (4, 1), (1, 5)]"""


@documented(
    UNEQUAL,
    flag="use_bias",
    placement=f"{FLAX_PLACEMENT}\nrngs : nnx.Rngs\n    Where the parameters are drawn from.",
    held=UNEQUAL_ATTRIBUTES,
    kernels="kernels",
    array="nnx.Param",
    or_none=" or None",
    start="as `kernel_init` draws them",
    bias_start="as `bias_init` draws it",
    taken="`from_blocks`",
    example=_UNEQUAL,
)
class UnequalBlockLinear(nnx.Module):
    """A linear map whose matrix is block-diagonal, with blocks of unequal sizes."""

    def __init__(
        self,
        sizes: Sequence[tuple[int, int]],
        *,
        rngs: nnx.Rngs,
        use_bias: bool = True,
        dtype: Any = None,
        param_dtype: Any = "float32",
        kernel_init: Callable[..., Any] = block_start,
        bias_init: Callable[..., Any] = bias_start,
    ) -> None:
        self.blocks, self.dtype = Blocks(hashable(sizes)), dtype
        self.kernels = nnx.List([nnx.Param(kernel_init(rngs.params(), size, param_dtype)) for size in sizes])
        self.bias = nnx.data(None)
        if use_bias:
            self.bias = nnx.Param(bias_init(rngs.params(), (self.blocks.out_channels,), param_dtype))

    def __call__(self, x: Any) -> Any:
        """Return ``y (..., sum of outputs)`` of ``x (..., sum of inputs)``: any batch axes, or none."""
        kernels = [kernel[...] for kernel in self.kernels]
        return apply_blocks(self.blocks, x, kernels, None if self.bias is None else self.bias[...], self.dtype)

    @classmethod
    def from_blocks(cls, weights: Sequence[Any], bias: Any = None, dtype: Any = None) -> Self:
        """Return the layer of copies of weights ``(inputs, outputs)``, one per block, and of a bias or None.

        Raises
        ------
        ShapeError
            If the bias is not ``(sum of outputs,)``.
        """
        sizes = [tuple(weight.shape) for weight in weights]
        if bias is not None:
            check_bias(Blocks(sizes), bias)
        given = iter(weights)
        start = {"kernel_init": lambda *_: jnp.array(next(given)), "bias_init": lambda *_: jnp.array(bias)}
        return cls(sizes, rngs=nnx.Rngs(0), use_bias=bias is not None, dtype=dtype, **start)
