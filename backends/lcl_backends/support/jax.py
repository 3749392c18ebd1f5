"""Shared by the JAX adapters: a layer compiled once per operation, and the order of the fused kernel axis.

A route is one function ``product(spec, x, kernel)`` on JAX arrays; JAX's own autodiff makes the rest.
"""

from __future__ import annotations

import atexit
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache, partial
from typing import Any

import numpy as np

from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines.index_tables import groups
from lcl_ref.layers.engines.jax_operands import layer, split_channels

__all__ = ["DTYPES", "JaxLayer", "fuse_kernel", "layer", "prepared", "split_channels", "unfuse_kernel"]

DTYPES = ("float16", "bfloat16", "float32", "float64", "complex64")
"""The routes on JAX run in these on the CPU, and those of Keras 3 on any of its backends."""

QUICK = {
    "xla_backend_optimization_level": 0,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}
"""Compiler options for a layer that takes longer to compile than to run; they change no formula and no dtype."""

QUICK_PRODUCTS = 1 << 20
"""Calls of at most this many products are compiled once, with `QUICK`, for all three operations.

Compiling apart and at full effort takes about five times as long, which pays for larger layers only.
"""


@dataclass(frozen=True)
class JaxLayer:
    """A layer whose operations are compiled on first use.

    Parameters
    ----------
    spec : Spec
        The layer.
    dtype : str
        Of x, weight and bias; float64 switches 64-bit types on for the calls of this layer only.
    apply : callable
        ``(x, weight, bias or None) -> y``, differentiable, with the weight in the route's own layout. Small layers of
        the same spec share their program where they come with the same function.
    weight, bias : jax.Array
        What `apply` takes; bias None where there is none.
    restore : callable
        Takes a cotangent of `weight` back to ``(o*, k*, cg, co)``.
    """

    spec: Spec
    dtype: str
    apply: Callable[[Any, Any, Any], Any]
    weight: Any
    bias: Any
    restore: Callable[[Any], Any]

    def forward(self, x: Any) -> Any:
        """Return ``y (n, o*, co)``."""
        if self._small(len(x)):
            return self._run(self._quick, x, self.weight, self.bias, np.zeros(self.spec.y_shape(len(x)), x.dtype))[0]
        return self._run(self._forward, x, self.weight, self.bias)

    def vjp(self, x: Any, dy: Any) -> tuple[Any, Any, Any]:
        """Return ``(dx, dw, db)`` by `jax.vjp`; db is None without bias."""
        pull_back = self._quick if self._small(len(x)) else self._value_and_vjp
        _, dw, db, dx = self._run(pull_back, x, self.weight, self.bias, dy)
        return dx, self.restore(np.asarray(dw)), db

    def transpose(self, y: Any) -> Any:
        """Return ``xt (n, i*, ci)``; the layer is affine in x, so its cotangent anywhere is its adjoint."""
        if self._small(len(y)):
            return self._run(self._quick, np.zeros(self.spec.x_shape(len(y)), y.dtype), self.weight, self.bias, y)[-1]
        return self._run(self._adjoint, self.weight, y)

    def _small(self, batch: int) -> bool:
        return math.prod(self.spec.y_shape(batch)) * self.spec.fan_in <= QUICK_PRODUCTS

    @property
    def _quick(self) -> Any:
        return quick_program(self.apply)

    @cached_property
    def _value_and_vjp(self) -> Any:
        import jax

        return jax.jit(partial(_y_and_cotangents, self.apply))

    @cached_property
    def _forward(self) -> Any:
        import jax

        return jax.jit(self.apply)

    @cached_property
    def _adjoint(self) -> Any:
        import jax

        def adjoint(weight: Any, y: Any) -> Any:
            x = jax.ShapeDtypeStruct(self.spec.x_shape(len(y)), y.dtype)
            return jax.linear_transpose(lambda x: self.apply(x, weight, None), x)(y)[0]

        return jax.jit(adjoint)

    def _run(self, function: Any, *arrays: Any) -> Any:
        import jax

        with jax.enable_x64(self.dtype == "float64"):
            return function(*arrays)


def _y_and_cotangents(apply: Callable[[Any, Any, Any], Any], x: Any, weight: Any, bias: Any, dy: Any) -> Any:
    """Return ``(y, dw, db, dx)``, dw in the route's own layout.

    XLA computes results in their order: in this one, what y and dw read of x is gone before dx is summed.
    """
    import jax

    y, pull_back = jax.vjp(apply, x, weight, bias)
    dx, dw, db = pull_back(dy)
    return y, dw, db, dx


@lru_cache(maxsize=64)
def quick_program(apply: Callable[[Any, Any, Any], Any]) -> Any:
    """Return the program ``(x, weight, bias, dy) -> (y, dw, db, dx)`` of a small layer."""
    import jax

    return jax.jit(partial(_y_and_cotangents, apply), compiler_options=known(**QUICK))


@cache
def compile_once() -> None:
    """Keep compiled programs in a folder of this process: layers by different names often are the same program.

    Nor do programs note which line asked for which operation: looking that up takes a tenth of compiling a small one.
    """
    import jax

    jax.config.update("jax_traceback_in_locations_limit", 0)
    folder = tempfile.TemporaryDirectory(prefix="lcl-programs-")
    atexit.register(folder.cleanup)
    jax.config.update("jax_compilation_cache_dir", folder.name)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@cache
def known(**options: Any) -> dict[str, Any] | None:
    """Return compiler options, or None where the installed compiler does not know one of them."""
    import jax

    try:
        jax.jit(lambda: 0, compiler_options=options)()
    except jax.errors.JaxRuntimeError:
        return None
    return options


def prepared(spec: Spec, dtype: str, apply: Any, weight: Any, bias: Any, restore: Callable[[Any], Any]) -> JaxLayer:
    """Return the layer for NumPy weight (in the layout of `apply`) and bias, copied to the device."""
    import jax

    compile_once()
    with jax.enable_x64(dtype == "float64"):
        held = [None if array is None else jax.device_put(np.array(array)) for array in (weight, bias)]
    return JaxLayer(spec, dtype, apply, *held, restore)


def fuse_kernel(spec: Spec, weight: Any) -> Any:
    """``(o*, k*, cg, co) -> (g, o*, cg * k*, co/g)``: JAX and Flax order the fused axis channel first, then taps."""
    split = weight.reshape(*weight.shape[:-1], groups(spec), -1)
    channel_first = np.moveaxis(split, (-2, -3), (0, spec.rank + 1))  # (g, o*, cg, k*, co/g)
    return channel_first.reshape(groups(spec), *spec.weight_size, spec.fan_in, -1)


def unfuse_kernel(spec: Spec, kernel: Any) -> Any:
    """``(g, o*, cg * k*, co/g) -> (o*, k*, cg, co)``: the inverse of `fuse_kernel`."""
    split = kernel.reshape(*kernel.shape[:-2], spec.group_channels, *spec.kernel_size, kernel.shape[-1])
    return np.moveaxis(split, (0, spec.rank + 1), (-2, -3)).reshape(spec.weight_shape)
