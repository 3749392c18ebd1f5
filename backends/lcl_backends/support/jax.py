"""Adapters on JAX: a layer compiled once per operation, and the order of the fused kernel axis.

A route is one function ``product(spec, x, kernel)`` on JAX arrays; JAX's own autodiff makes the rest.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import tempfile
from collections.abc import Callable, Sequence
from functools import cache, lru_cache, partial
from typing import Any

import numpy as np

from lcl_backends.support.flushing import declared_flushing
from lcl_backends.support.transforms.jax import JaxTransforms
from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines.index_tables import groups
from lcl_ref.layers.engines.jax_operands import layer, split_channels
from lcl_ref.suite.native_views import Reshaping

__all__ = [
    "DTYPES",
    "JaxLayer",
    "declared",
    "declared_flax",
    "fuse_kernel",
    "route",
    "split_channels",
    "unfuse_kernel",
]

declared = partial(declared_flushing, framework="jax", modules=("jax",))
"""Makes a `Declaration` of a route on JAX."""

declared_flax = partial(declared_flushing, framework="flax", modules=("flax", "jax"), family="jax")
"""Makes a `Declaration` of a module of Flax."""

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


class JaxLayer(JaxTransforms):
    """A layer whose operations are compiled on first use.

    Layers of the same spec with the same function `apply` share their programs.
    """

    def __init__(
        self,
        spec: Spec,
        apply: Callable[..., Any],
        weight: Any,
        bias: Any,
        restore: Callable[[Spec, Any], Any] | None = None,
    ) -> None:
        compile_once()
        super().__init__(spec, apply, weight, bias, restore)

    def reshaping(self) -> Reshaping:
        """Return what makes views of arrays, which XLA may copy."""
        import jax.numpy as jnp

        return lambda tensor: jnp.moveaxis(tensor, 0, -1), jnp.broadcast_to

    def to_native(self, array: Any) -> Any:
        """Copy the array to the device, where that is not the memory it is in."""
        import jax

        return jax.device_put(array)

    def value(self, operands: Sequence[Any]) -> Any:
        """Compile the call; small layers run the program of all operations."""
        x = operands[0]
        if self._small(len(x)):
            nothing = self.to_native(np.zeros(self.spec.y_shape(len(x)), x.dtype))
            return self._all(operands)(nothing, *operands)[0]
        return program(self._apply, self.spec, 0)(*operands)

    def gradients(self, operands: Sequence[Any], cotangent: Any, count: int) -> Sequence[Any]:
        """Compile `jax.vjp`; small layers run the program of all operations."""
        small = self._small(len(cotangent))
        run = self._all(operands) if small else program(self._apply, self.spec, count)
        *rest, dx = run(cotangent, *operands)
        return [dx, *rest[1:]][:count]

    def compiled_once(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Compile in little time."""
        import jax

        compiled: Callable[..., Any] = jax.jit(function, compiler_options=known(**QUICK))
        return compiled

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Switch 64-bit types on for the calls of float64 layers only."""
        import jax

        context: contextlib.AbstractContextManager[Any] = jax.enable_x64(self.dtype == "float64")
        return context

    def _small(self, batch: int) -> bool:
        return math.prod(self.spec.y_shape(batch)) * self.spec.fan_in <= QUICK_PRODUCTS

    def _all(self, operands: Sequence[Any]) -> Callable[..., Any]:
        """Return the program of all operations, which takes little time to compile."""
        return program(self._apply, self.spec, len(operands), quick=True)


def _y_and_gradients(apply: Callable[..., Any], spec: Spec, count: int, dy: Any, *operands: Any) -> tuple[Any, ...]:
    """Return ``(y, dw, db, dx)``, or of one operand ``(dx,)``.

    XLA computes results in their order: in this one, what y and dw read of x is gone before dx is summed.
    """
    import jax

    y, pull_back = jax.vjp(lambda *moving: apply(spec, *moving, *operands[count:]), *operands[:count])
    dx, *rest = pull_back(dy)
    return (y, *rest, dx) if rest else (dx,)


@lru_cache(maxsize=64)
def program(apply: Callable[..., Any], spec: Spec, count: int, *, quick: bool = False) -> Callable[..., Any]:
    """Return the compiled ``operands -> y``, or ``(dy, *operands) -> `` y and gradients in `count` of the operands."""
    import jax

    if not count:
        return jax.jit(partial(apply, spec))
    options = known(**QUICK) if quick else None
    return jax.jit(partial(_y_and_gradients, apply, spec, count), compiler_options=options)


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


@cache
def route(product: Callable[[Spec, Any, Any], Any]) -> Callable[..., Any]:
    """Return the `apply` of a route: groups split, half types widened, bias added, rounded once.

    Parameters
    ----------
    product : callable
        ``(spec, x (n, i*, g, cg), weight) -> y (n, o*, g, co/g)``.
    """

    def apply(spec: Spec, x: Any, weight: Any, bias: Any = None) -> Any:
        return layer(spec, product)(x, weight, bias)

    return apply


def fuse_kernel(spec: Spec, weight: Any) -> Any:
    """``(o*, k*, cg, co) -> (g, o*, cg * k*, co/g)``: JAX and Flax order the fused axis channel first, then taps."""
    split = weight.reshape(*weight.shape[:-1], groups(spec), -1)
    channel_first = np.moveaxis(split, (-2, -3), (0, spec.rank + 1))  # (g, o*, cg, k*, co/g)
    return channel_first.reshape(groups(spec), *spec.weight_size, spec.fan_in, -1)


def unfuse_kernel(spec: Spec, kernel: Any) -> Any:
    """``(g, o*, cg * k*, co/g) -> (o*, k*, cg, co)``: the inverse of `fuse_kernel`."""
    split = kernel.reshape(*kernel.shape[:-2], spec.group_channels, *spec.kernel_size, kernel.shape[-1])
    return np.moveaxis(split, (0, spec.rank + 1), (-2, -3)).reshape(spec.weight_shape)
