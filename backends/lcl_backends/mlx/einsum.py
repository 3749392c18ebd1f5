"""Windows that tile the input: reshape, and one einsum that names every axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from lcl_backends.support import groups
from lcl_backends.support.mlx import TILED, MlxLayer, declared, route, tile
from lcl_ref.core.spec import Spec


class Adapter:
    """Reshape and `mlx.core.einsum` behind the adapter protocol."""

    declaration = declared(
        name="mlx.einsum",
        summary='Non-overlapping windows by reshape, then einsum: "bhmwnc,ohwmnc->bhwo" in any rank, with groups.',
        layout="mlx/einsum",
        capabilities=TILED,
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> MlxLayer:
        """Put groups and output channels first, and drop shared axes."""
        split = weight.reshape(*spec.weight_shape[:-1], groups(spec), -1)
        shared = tuple(2 + axis for axis, is_shared in enumerate(spec.shared) if is_shared)
        kernel = np.moveaxis(split, (-2, -1), (0, 1)).squeeze(shared)
        return MlxLayer(spec, route(product), kernel, bias, restore)


def product(spec: Spec, x: Any, kernel: Any) -> Any:
    """``(n, i*, g, cg), (g, co/g, unshared o*, k*, cg) -> (n, o*, g, co/g)``."""
    import mlx.core as mx

    return mx.einsum(equation(spec), tile(spec, x), kernel)


def equation(spec: Spec) -> str:
    """Return the contraction, ``bhmwngc,gohwmnc->bhwgo`` at rank 2; the weight lacks the letters of shared axes."""
    positions, taps = "dhw"[3 - spec.rank :], "lmn"[3 - spec.rank :]
    windows = "".join(position + tap for position, tap in zip(positions, taps, strict=True))
    unshared = "".join(position for position, shared in zip(positions, spec.shared, strict=True) if not shared)
    return f"b{windows}gc,go{unshared}{taps}c->b{positions}go"


def restore(spec: Spec, kernel: Any) -> Any:
    """``(g, co/g, unshared o*, k*, cg) -> (o*, k*, cg, co)``."""
    return np.moveaxis(kernel, (0, 1), (-2, -1)).reshape(spec.weight_shape)
