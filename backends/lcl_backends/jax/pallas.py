"""The fused kernels of Pallas, which `lcl_ref.layers` takes on graphics cards; without one, interpreted."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

from lcl_backends.support import Capabilities
from lcl_backends.support.jax import JaxLayer, declared
from lcl_ref.core.spec import Spec


class Adapter:
    """`lcl_ref.layers.engines.accelerators.pallas_products.local`, interpreted."""

    declaration = declared(
        name="jax.pallas",
        summary="Pallas kernels that gather windows as they multiply them, interpreted.",
        layout="canonical",
        capabilities=Capabilities(
            channel_table=True,
            dtypes=("float16", "bfloat16", "float32", "float64"),
            why={"dtypes": "Pallas multiplies no complex numbers"},
            declines={
                "state/global-environment": "the first Pallas kernel of a process has JAX set MOSAIC_GPU_CUDA_ROOT"
            },
        ),
        by_name=True,
        holds="tiles",
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> JaxLayer:
        """Keep the canonical weights."""
        return JaxLayer(spec, _apply(), weight, bias)


@cache
def _apply() -> Any:
    from lcl_ref.layers.engines.accelerators.pallas_products import local

    return partial(local, interpret=True)
