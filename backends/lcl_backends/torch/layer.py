"""The `torch.nn` modules to drop in (`lcl_ref.layers.torch`), called as a model calls them."""

from __future__ import annotations

from typing import Any

from lcl_backends.support.torch import WITH_COMPLEX, Parameters, TorchLayer
from lcl_ref.core.spec import Spec
from lcl_ref.suite.adapter import Capabilities, Declaration


class Adapter:
    """`LocallyConnected1d/2d/3d` and `BlockLinear` of `lcl_ref.layers.torch` behind the adapter protocol."""

    declaration = Declaration(
        name="torch.layer",
        framework="torch",
        modules=("torch",),
        summary="The torch.nn modules to drop in, channels first, on the engine of torch.fast.",
        layout="canonical",
        capabilities=Capabilities(channel_table=True, dtypes=WITH_COMPLEX),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> TorchLayer:
        """Make the module of the spec's rank, and hand its parameters to autograd by name."""
        import torch

        from lcl_ref.layers import torch as layers

        kinds = (layers.BlockLinear, layers.LocallyConnected1d, layers.LocallyConnected2d, layers.LocallyConnected3d)
        kernels, offsets = (Parameters(array, lambda tensor: [tensor]) for array in (weight, bias))
        held = {"weight": kernels.tensor} | ({} if bias is None else {"bias": offsets.tensor})
        module = kinds[spec.rank].from_canonical(spec, *held.values())

        def apply(x: Any) -> Any:
            return torch.func.functional_call(module, held, x.movedim(-1, 1)).movedim(1, -1)

        return TorchLayer(spec, apply, kernels, offsets)
