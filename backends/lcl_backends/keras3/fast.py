"""The recommended route of Keras 3: the engine of the framework it runs on, as in the layers to drop in.

Keras fixes its backend at its first import, so those of one backend need a process without the others.
"""

from __future__ import annotations

from typing import Any

from lcl_backends.support import Capabilities, Declaration, keras3
from lcl_backends.support.jax import DTYPES
from lcl_ref.core.spec import Spec


def _declaration(backend: str) -> Declaration:
    return keras3.declared(
        "fast",
        backend,
        summary=f"Keras on {backend}, by the engine of {backend}.fast: windows of a tile of positions at a time.",
        layout="canonical",
        capabilities=Capabilities(channel_table=True, dtypes=DTYPES),
        recommended=True,
        holds="tiles",
    )


class _Fast(keras3.KerasAdapter):
    compiled = True

    def parts(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> tuple[Any, ...]:
        """Keep the canonical weights."""
        from lcl_ref.layers.engines.keras import local

        return local, weight, bias


class OnJax(_Fast):
    """Compiled by JAX."""

    declaration = _declaration("jax")


class OnTensorflow(_Fast):
    """Compiled by XLA."""

    declaration = _declaration("tensorflow")


class OnTorch(_Fast):
    """Run by torch."""

    declaration = _declaration("torch")
