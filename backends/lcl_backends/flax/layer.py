"""The modules of flax.linen and flax.nnx to drop in (`lcl_ref.layers`), called as a model calls them."""

from __future__ import annotations

from typing import Any

from lcl_backends.support import Capabilities, Declaration
from lcl_backends.support.jax import DTYPES, JaxLayer, declared_flax
from lcl_ref.core.spec import Spec


def _declaration(kind: str) -> Declaration:
    return declared_flax(
        name=f"flax.{kind}_layer",
        summary=f"The flax.{kind} module to drop in, on the product of jax.fast.",
        layout="canonical",
        capabilities=Capabilities(channel_table=True, dtypes=DTYPES),
    )


def _linen(spec: Spec, x: Any, kernel: Any, bias: Any = None) -> Any:
    from lcl_ref.layers.flax_linen import LocallyConnected

    params = {"kernel": kernel} | ({} if bias is None else {"bias": bias})
    return LocallyConnected(spec).apply({"params": params}, x)


def _nnx(spec: Spec, x: Any, kernel: Any, bias: Any = None) -> Any:
    """Make the module under the trace, as `flax.nnx.merge` does it."""
    from lcl_ref.layers.flax_nnx import LocallyConnected

    return LocallyConnected.from_canonical(spec, kernel, bias)(x)


class Linen:
    """`lcl_ref.layers.flax_linen` behind the adapter protocol."""

    declaration = _declaration("linen")

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> JaxLayer:
        """Keep the canonical weights as params."""
        return JaxLayer(spec, _linen, weight, bias)


class Nnx:
    """`lcl_ref.layers.flax_nnx` behind the adapter protocol."""

    declaration = _declaration("nnx")

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> JaxLayer:
        """Keep the canonical weights."""
        return JaxLayer(spec, _nnx, weight, bias)
