"""Shared by the JAX adapters: a layer compiled once per operation, and the order of the fused kernel axis.

A route is one function ``product(spec, x, kernel)`` on JAX arrays; JAX's own autodiff makes the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np

from lcl_ref.spec import Spec

QUICK = {
    "xla_backend_optimization_level": 0,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}
"""Compiler options for a layer that takes longer to compile than to run; they change no formula and no dtype."""

QUICK_PRODUCTS = 1 << 20
"""Layers of at most this many products per sample compile with `QUICK`, in about a quarter of the time."""


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
        ``(x, weight, bias or None) -> y``, differentiable, with the weight in the route's own layout.
    weight, bias : array
        What `apply` takes.
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
        return self._run(self._forward, x, self.weight, self.bias)

    def vjp(self, x: Any, dy: Any) -> tuple[Any, Any, Any]:
        """Return ``(dx, dw, db)`` by `jax.vjp`; db is None without bias."""
        dx, dw, db = self._run(self._vjp, x, self.weight, self.bias, dy)
        return dx, self.restore(np.asarray(dw)), db

    def transpose(self, y: Any) -> Any:
        """Return ``xt (n, i*, ci)`` by `jax.linear_transpose`."""
        return self._run(self._transpose, self.weight, y)

    @cached_property
    def _forward(self) -> Any:
        return self._compiled(self.apply)

    @cached_property
    def _vjp(self) -> Any:
        import jax

        def cotangents(x: Any, weight: Any, bias: Any, dy: Any) -> Any:
            return jax.vjp(self.apply, x, weight, bias)[1](dy)

        return self._compiled(cotangents)

    @cached_property
    def _transpose(self) -> Any:
        import jax

        def adjoint(weight: Any, y: Any) -> Any:
            x = jax.ShapeDtypeStruct(self.spec.x_shape(len(y)), y.dtype)
            return jax.linear_transpose(lambda x: self.apply(x, weight, None), x)(y)[0]

        return self._compiled(adjoint)

    def _compiled(self, function: Callable[..., Any]) -> Any:
        import jax

        products = math.prod(self.spec.y_shape(1)) * self.spec.fan_in
        return jax.jit(function, compiler_options=quick_options() if products <= QUICK_PRODUCTS else None)

    def _run(self, function: Any, *arrays: Any) -> Any:
        import jax

        with jax.enable_x64(self.dtype == "float64"):
            return function(*arrays)


@cache
def quick_options() -> dict[str, Any] | None:
    """Return `QUICK`, or None where the installed compiler does not know one of the options."""
    import jax

    try:
        jax.jit(lambda: 0, compiler_options=QUICK)()
    except jax.errors.JaxRuntimeError:
        return None
    return QUICK


def layer(spec: Spec, product: Callable[[Spec, Any, Any], Any]) -> Callable[[Any, Any, Any], Any]:
    """Return the `apply` of a route: groups split, half types widened, bias added, rounded once.

    Parameters
    ----------
    spec : Spec
        The layer.
    product : callable
        ``(spec, x (n, i*, g, cg), weight) -> y (n, o*, g, co/g)``.
    """
    import jax.numpy as jnp

    def apply(x: Any, weight: Any, bias: Any) -> Any:
        wide = jnp.promote_types(x.dtype, jnp.float32)
        y = product(spec, split_channels(spec, x).astype(wide), weight.astype(wide))
        y = y.reshape(spec.y_shape(len(x)))
        return (y if bias is None else y + bias.astype(wide)).astype(x.dtype)

    return apply


def group_count(spec: Spec) -> int:
    """Return the number of groups after gathering: a connection table makes every output channel its own group."""
    return spec.groups if spec.channel_table is None else spec.out_channels


def split_channels(spec: Spec, x: Any) -> Any:
    """``(n, i*, ci) -> (n, i*, g, cg)``, gathered first where there is a connection table."""
    gathered = x if spec.channel_table is None else x[..., spec.channels.reshape(-1)]
    return gathered.reshape(*x.shape[:-1], group_count(spec), spec.group_channels)


def fuse_kernel(spec: Spec, weight: Any) -> Any:
    """``(o*, k*, cg, co) -> (g, o*, cg * k*, co/g)``: JAX and Flax order the fused axis channel first, then taps."""
    groups, rank = group_count(spec), spec.rank
    split = weight.reshape(*weight.shape[:-1], groups, spec.out_channels // groups)
    channel_first = np.moveaxis(split, (-2, -3), (0, rank + 1))  # (g, o*, cg, k*, co/g)
    return channel_first.reshape(groups, *spec.weight_size, spec.fan_in, spec.out_channels // groups)


def unfuse_kernel(spec: Spec, kernel: Any) -> Any:
    """``(g, o*, cg * k*, co/g) -> (o*, k*, cg, co)``: the inverse of `fuse_kernel`."""
    split = kernel.reshape(*kernel.shape[:-2], spec.group_channels, *spec.kernel_size, kernel.shape[-1])
    return np.moveaxis(split, (0, spec.rank + 1), (-2, -3)).reshape(spec.weight_shape)
