"""What every route of JAX does around its product: channels in groups, half types wide, bias, one rounding."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines.index_tables import gathered, groups


@cache
def layer(
    spec: Spec,
    product: Callable[[Spec, Any, Any], Any],
    biased: Callable[[Spec, Any, Any, Any], Any] | None = None,
    *,
    widens: bool = True,
) -> Callable[[Any, Any, Any], Any]:
    """Return the `apply` of a route: groups split, half types widened, bias added, rounded once.

    Parameters
    ----------
    spec : Spec
        The layer.
    product : callable
        ``(spec, x (n, i*, g, cg), weight) -> y (n, o*, g, co/g)``.
    biased : callable, optional
        The same with a bias, for a route that adds it as it writes y.
    widens : bool
        Whether half types are widened here; if not, `product` and `biased` sum in float32 and round once themselves.
    """
    import jax.numpy as jnp

    def apply(x: Any, weight: Any, bias: Any) -> Any:
        wide = jnp.promote_types(x.dtype, jnp.float32) if widens else x.dtype
        operands = split_channels(spec, x.astype(wide)), weight.astype(wide)
        if bias is None:
            y = product(spec, *operands)
        elif biased is None:
            y = add_bias(product(spec, *operands), bias.astype(wide))
        else:
            y = biased(spec, *operands, bias.astype(wide))
        return y.reshape(spec.y_shape(len(x))).astype(x.dtype)

    return apply


def add_bias(y: Any, bias: Any) -> Any:
    """Return y plus the bias of its last axes.

    By a product with ones, so that the gradient of the bias is one too: XLA's sum over the first axis of a large array
    takes up to fifty times as long on the CPU.
    """
    import jax
    import jax.numpy as jnp

    rows = y.reshape(-1, bias.size)
    ones = jnp.ones((len(rows), 1), y.dtype)
    return (rows + jnp.matmul(ones, bias.reshape(1, -1), precision=jax.lax.Precision.HIGHEST)).reshape(y.shape)


def split_channels(spec: Spec, x: Any) -> Any:
    """``(n, i*, ci) -> (n, i*, g, cg)``, gathered first where there is a connection table."""
    order = gathered(spec)
    ordered = x if order is None else x[..., order]
    return ordered.reshape(*x.shape[:-1], groups(spec), spec.group_channels)


def accelerated() -> bool:
    """Return whether JAX computes on anything but a processor."""
    import jax

    return bool(jax.default_backend() != "cpu")
