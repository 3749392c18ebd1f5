"""The `mlx.nn` modules to drop in (`lcl_ref.layers.mlx`), called as a model calls them."""

from __future__ import annotations

import threading
from typing import Any

from lcl_backends.support import Capabilities
from lcl_backends.support.mlx import DTYPES, MlxLayer, declared, stream
from lcl_ref.core.spec import Spec


class Adapter:
    """`LocallyConnected1d/2d/3d` and `BlockLinear` of `lcl_ref.layers.mlx` behind the adapter protocol."""

    declaration = declared(
        name="mlx.layer",
        modules=("mlx.core", "mlx.nn"),
        summary="The mlx.nn modules to drop in, on the engine of mlx.fast.",
        layout="canonical",
        capabilities=Capabilities(
            channel_table=True,
            dtypes=DTYPES,
            declines={"transform/vmap": "MLX maps no as_strided, by which windows are made"},
        ),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> MlxLayer:
        """Make the module of the spec's rank."""
        from lcl_ref.layers import mlx as layers

        kinds = (layers.BlockLinear, layers.LocallyConnected1d, layers.LocallyConnected2d, layers.LocallyConnected3d)
        with stream(dtype):
            module = kinds[spec.rank].from_canonical(spec, weight, bias)

        turn = threading.Lock()  # a module holds one set of weights at a time

        def apply(_spec: Spec, x: Any, *held: Any) -> Any:
            with turn:
                module.update(dict(zip(("weight", "bias"), held, strict=False)))
                return module(x)

        return MlxLayer(spec, apply, weight, bias)
