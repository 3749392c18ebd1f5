"""The `torch.nn` modules to drop in (`lcl_ref.layers.torch`), called as a model calls them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from lcl_backends.support import Capabilities
from lcl_backends.support.torch import WITH_COMPLEX, TorchLayer, declared, to_tensor
from lcl_ref.core.spec import Spec

if TYPE_CHECKING:
    import torch


class Adapter:
    """`LocallyConnected1d/2d/3d` and `BlockLinear` of `lcl_ref.layers.torch` behind the adapter protocol."""

    declaration = declared(
        name="torch.layer",
        summary="The torch.nn modules to drop in, channels first, on the engine of torch.fast.",
        layout="canonical",
        capabilities=Capabilities(channel_table=True, dtypes=WITH_COMPLEX),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> TorchLayer:
        """Make the module of the spec's rank, and hand its parameters to autograd by name.

        While it does so, `functional_call` has them in the place of the module's own: one thread at a time.
        """
        import torch

        from lcl_ref.layers import torch as layers

        kinds = (layers.BlockLinear, layers.LocallyConnected1d, layers.LocallyConnected2d, layers.LocallyConnected3d)
        module = kinds[spec.rank].from_canonical(
            spec, *(to_tensor(array) for array in (weight, bias) if array is not None)
        )
        turn = threading.Lock()

        def apply(_spec: Spec, x: torch.Tensor, *held: torch.Tensor) -> torch.Tensor:
            named = dict(zip(("weight", "bias"), held, strict=False))
            with turn:
                y: torch.Tensor = torch.func.functional_call(module, named, x.movedim(-1, 1))
            return y.movedim(1, -1)

        return TorchLayer(spec, apply, weight, bias)
