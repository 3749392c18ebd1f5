"""The recommended route of torch: the engine of the drop-in modules (`lcl_ref.layers`) on canonical weights.

It walks the output in tiles of positions whose windows fit a cache and reads the weights where they lie, so its
working memory does not grow with the number of windows. Derivatives of any order, `torch.compile` and autocast work.
"""

from __future__ import annotations

from typing import Any

from lcl_backends.support import Capabilities
from lcl_backends.support.torch import WITH_COMPLEX, TorchLayer, declared
from lcl_ref.core.spec import Spec


class Adapter:
    """`lcl_ref.layers.engines.torch.local`."""

    declaration = declared(
        name="torch.fast",
        summary="Windows of a tile of positions times their weights in place; derivatives likewise.",
        layout="canonical",
        capabilities=Capabilities(channel_table=True, dtypes=WITH_COMPLEX),
        recommended=True,
        holds="tiles",
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> TorchLayer:
        """Copy the canonical weights."""
        from lcl_ref.layers.engines.torch import local

        layer = spec.to_json()
        return TorchLayer(spec, lambda _, *operands: local(layer, *operands), weight, bias)
