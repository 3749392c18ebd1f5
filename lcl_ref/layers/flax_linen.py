"""`LocallyConnected` for flax.linen: channels last, params ``kernel`` and ``bias`` in canonical layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flax import linen

from lcl_ref.core.spec import Spec
from lcl_ref.layers._flax import apply, bias_start, kernel_start


class LocallyConnected(linen.Module):
    """A locally connected layer of any rank, groups and sharing included; rank 0 is a block-diagonal linear map.

    Parameters
    ----------
    spec : Spec
        The layer.
    dtype : dtype, optional
        To compute in; by default that of the input.
    param_dtype : dtype
        Of the parameters.
    kernel_init, bias_init : callable
        ``(key, shape, dtype) -> array``. By default LeCun normal with the fan of one position, the number of inputs
        that one output sums, and zeros. Initialisers of `jax.nn.initializers` would take positions for taps.

    Notes
    -----
    ``{"params": {"kernel": weight, "bias": bias}}`` of canonical arrays, ``(o*, k*, cg, co)`` and ``(o*, co)`` or
    ``(co,)``, is what `apply` takes.
    """

    spec: Spec
    dtype: Any = None
    param_dtype: Any = "float32"
    kernel_init: Callable[..., Any] | None = None
    bias_init: Callable[..., Any] = bias_start

    @linen.compact
    def __call__(self, x: Any) -> Any:
        """Return ``y (n, o*, co)`` of ``x (n, i*, ci)``."""
        start = kernel_start(self.spec) if self.kernel_init is None else self.kernel_init
        kernel = self.param("kernel", start, self.spec.weight_shape, self.param_dtype)
        bias = None
        if self.spec.bias_shape is not None:
            bias = self.param("bias", self.bias_init, self.spec.bias_shape, self.param_dtype)
        return apply(self.spec, x, kernel, bias, self.dtype)
