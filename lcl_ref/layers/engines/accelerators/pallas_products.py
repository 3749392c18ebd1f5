"""The three products of a layer in JAX, by the kernels of `pallas_kernels`, as operations that JAX can transform.

Factors may be of half types, which the kernels read as they are; the output is as wide as its sums, so that the bias is
added before they are rounded. The derivatives of each product are the other two, in the dtype of what they belong to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines import jax_tiles
from lcl_ref.layers.engines.accelerators import kernel_tables, pallas_kernels
from lcl_ref.layers.engines.accelerators.pallas_kernels import Product
from lcl_ref.layers.engines.jax_operands import add_bias, split_channels

PLATFORMS = ("cuda", "rocm")
"""Where Pallas compiles the kernels, by Triton."""


def local(spec: Spec, x: Any, weight: Any, bias: Any = None, *, interpret: bool = False) -> Any:
    """Return ``y (n, o*, co)`` of ``x (n, i*, ci)`` with canonical weight and bias, in the dtype of x.

    Half types are summed in float32 and rounded once. With `interpret` it runs anywhere, slowly.
    """
    wide = jnp.promote_types(x.dtype, jnp.float32)
    y = OUTPUT.bind(x, weight, spec=spec, dtype=wide, interpret=interpret)
    return (y if bias is None else add_bias(y, bias.astype(wide))).astype(x.dtype)


def _output(x: Any, weight: Any, *, spec: Spec, dtype: Any, interpret: bool) -> Any:
    """``(n, i*, ci), (o*, k*, cg, co) -> (n, o*, co)``."""
    size, batch = kernel_tables.sizes(spec), len(x)
    shape = size.own * size.groups, size.tied * batch, size.taps * size.group_channels, size.width
    product = _product(shape, interpret=interpret)
    kernel = partial(pallas_kernels.output, size, product, batch)
    return _run(kernel, product, spec.y_shape(batch), dtype, (x, weight, *kernel_tables.forward(spec)), interpret)


def _input_gradient(dy: Any, weight: Any, *, spec: Spec, dtype: Any, interpret: bool) -> Any:
    """``(n, o*, co), (o*, k*, cg, co) -> (n, i*, ci)``."""
    size, tables, batch = kernel_tables.sizes(spec), kernel_tables.backward(spec), len(dy)
    readers, (blocks, outputs) = tables.positions.shape[1], tables.outputs.shape
    product = _product((size.sites * blocks, batch, readers * outputs, tables.width), interpret=interpret)
    kernel = partial(pallas_kernels.input_gradient, size, product, (readers, blocks, outputs))
    return _run(kernel, product, spec.x_shape(batch), dtype, (dy, weight, *tables[:4]), interpret)


def _weight_gradient(x: Any, dy: Any, *, spec: Spec, dtype: Any, interpret: bool) -> Any:
    """``(n, i*, ci), (n, o*, co) -> (o*, k*, cg, co)``."""
    size, batch = kernel_tables.sizes(spec), len(x)
    shape = size.own * size.groups, size.taps * size.group_channels, size.tied * batch, size.width
    product = _product(shape, interpret=interpret)
    kernel = partial(pallas_kernels.weight_gradient, size, product, batch)
    return _run(kernel, product, spec.weight_shape, dtype, (x, dy, *kernel_tables.forward(spec)), interpret)


def _run(
    kernel: Callable[..., None],
    product: Product,
    shape: Sequence[int],
    dtype: Any,
    operands: Sequence[Any],
    interpret: bool,
) -> Any:
    """Return a result of a shape, made by the programs of a product; zeros where there is nothing to sum."""
    if product.rows == 0 or product.inner == 0:
        return jnp.zeros(shape, dtype)
    flat = jax.ShapeDtypeStruct((math.prod(shape),), dtype)
    call = pl.pallas_call(
        lambda *given: kernel(given[:-1], given[-1]),
        flat,
        grid=(product.programs,),
        interpret=interpret,
        compiler_params=None if interpret else triton.CompilerParams(),
    )
    return call(*(jnp.asarray(operand).reshape(-1) for operand in operands)).reshape(shape)


def _product(shape: tuple[int, int, int, int], *, interpret: bool) -> Product:
    """Return ``(count, rows, inner, columns)`` in blocks."""
    return Product(*shape, kernel_tables.blocks_of(*shape, interpreted=interpret))


def _primitive(run: Callable[..., Any], shape: Callable[[Spec, int], Sequence[int]]) -> Any:
    """Return a primitive computed by `run`, of a result of `shape` for a batch size, in the dtype asked for."""
    primitive = Primitive(f"lcl_fused{run.__name__}")
    primitive.def_impl(jax_tiles.compiled(primitive, "spec", "dtype", "interpret"))
    primitive.def_abstract_eval(
        lambda first, _, spec, dtype, **__: first.update(shape=tuple(shape(spec, first.shape[0])), dtype=dtype)
    )
    mlir.register_lowering(primitive, mlir.lower_fun(partial(_anywhere, run), multiple_results=False))
    for platform in PLATFORMS:
        mlir.register_lowering(primitive, mlir.lower_fun(run, multiple_results=False), platform=platform)
    batching.primitive_batchers[primitive] = partial(jax_tiles.mapped, primitive)
    return primitive


def _anywhere(run: Callable[..., Any], first: Any, second: Any, *, spec: Spec, dtype: Any, interpret: bool) -> Any:
    """Return a product where the kernels cannot be compiled: interpreted if asked for, else as on a processor."""
    if interpret:
        return run(first, second, spec=spec, dtype=dtype, interpret=True)
    wide = jnp.promote_types(first.dtype, jnp.promote_types(second.dtype, dtype))
    first, second = first.astype(wide), second.astype(wide)
    return _PLAIN[run](spec, first, second).astype(dtype)


def _plain(spec: Spec, x: Any, weight: Any) -> Any:
    return jax_tiles.OUTPUT.bind(split_channels(spec, x), weight, spec=spec).reshape(spec.y_shape(len(x)))


def _plain_input_gradient(spec: Spec, dy: Any, weight: Any) -> Any:
    x = jax.ShapeDtypeStruct(spec.x_shape(len(dy)), dy.dtype)
    return jax.linear_transpose(lambda x: _plain(spec, x, weight), x)(dy)[0]


def _plain_weight_gradient(spec: Spec, x: Any, dy: Any) -> Any:
    weight = jax.ShapeDtypeStruct(spec.weight_shape, dy.dtype)
    return jax.linear_transpose(lambda weight: _plain(spec, x, weight), weight)(dy)[0]


_PLAIN: dict[Any, Callable[[Spec, Any, Any], Any]] = {
    _output: _plain,
    _input_gradient: _plain_input_gradient,
    _weight_gradient: _plain_weight_gradient,
}


OUTPUT = _primitive(_output, Spec.y_shape)
INPUT_GRADIENT = _primitive(_input_gradient, Spec.x_shape)
WEIGHT_GRADIENT = _primitive(_weight_gradient, lambda spec, _: spec.weight_shape)


def _with(primitive: Any, first: Any, second: Any, of: Any, how: dict[str, Any]) -> Any:
    """Return a product in the dtype of the operand that it is the gradient of."""
    return primitive.bind(first, second, **how | {"dtype": of.aval.dtype})


ad.defbilinear(
    OUTPUT,
    lambda dy, x, weight, **how: _with(INPUT_GRADIENT, dy, weight, x, how),
    lambda dy, x, weight, **how: _with(WEIGHT_GRADIENT, x, dy, weight, how),
)
ad.defbilinear(
    INPUT_GRADIENT,
    lambda dx, dy, weight, **how: _with(OUTPUT, dx, weight, dy, how),
    lambda dx, dy, weight, **how: _with(WEIGHT_GRADIENT, dx, dy, weight, how),
)
ad.defbilinear(
    WEIGHT_GRADIENT,
    lambda dw, x, dy, **how: _with(INPUT_GRADIENT, dy, dw, x, how),
    lambda dw, x, dy, **how: _with(OUTPUT, x, dw, dy, how),
)
