"""The modules of flax.linen and flax.nnx to drop in (`lcl_ref.layers`), called as a model calls them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from lcl_backends.support.jax import DTYPES, JaxLayer, prepared
from lcl_ref.core.spec import Spec
from lcl_ref.suite.adapter import Capabilities, Declaration


def _declaration(kind: str) -> Declaration:
    return Declaration(
        name=f"flax.{kind}_layer",
        framework="flax",
        modules=("flax", "jax"),
        summary=f"The flax.{kind} module to drop in, on the product of jax.fast.",
        layout="canonical",
        capabilities=Capabilities(channel_table=True, dtypes=DTYPES),
    )


def _called(spec: Spec, bias: Any) -> Spec:
    """Return the layer, without its bias where the call has none: JAX transposes linear functions, not affine ones."""
    return spec if bias is not None else Spec.from_dict(spec.to_dict() | {"bias": "none"})


@cache
def _linen(spec: Spec) -> Any:
    from lcl_ref.layers.flax_linen import LocallyConnected

    def apply(x: Any, kernel: Any, bias: Any) -> Any:
        params = {"kernel": kernel} | ({} if bias is None else {"bias": bias})
        return LocallyConnected(_called(spec, bias)).apply({"params": params}, x)

    return apply


@cache
def _nnx(spec: Spec) -> Any:
    from lcl_ref.layers.flax_nnx import LocallyConnected

    def apply(x: Any, kernel: Any, bias: Any) -> Any:
        return LocallyConnected.from_canonical(_called(spec, bias), kernel, bias)(x)

    return apply


class Linen:
    """`lcl_ref.layers.flax_linen` behind the adapter protocol."""

    declaration = _declaration("linen")

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> JaxLayer:
        """Keep the canonical weights as params."""
        return prepared(spec, dtype, _linen(spec), weight, bias, np.asarray)


class Nnx:
    """`lcl_ref.layers.flax_nnx` behind the adapter protocol."""

    declaration = _declaration("nnx")

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> JaxLayer:
        """Keep the canonical weights; under the trace, as `flax.nnx.merge` does it, a module is made of them."""
        return prepared(spec, dtype, _nnx(spec), weight, bias, np.asarray)
