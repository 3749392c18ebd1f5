"""`mhcflurry.pytorch_layers.LocallyConnected1D` (Apache-2.0): peptides; overlapping windows, Keras order of a patch."""

from __future__ import annotations

from typing import Any

from _torch_module import DTYPES, SUMS, Narrow, TorchModule

from lcl_ref import Spec
from lcl_ref.suite.adapter import Declaration


def limit(spec: Spec) -> str:
    """Say what the module has no setting for."""
    return "no stride: windows are one element apart" if spec.stride != (1,) else ""


class Adapter:
    """The module without its activation."""

    declaration = Declaration(
        name="mhcflurry.LocallyConnected1D",
        framework="mhcflurry",
        modules=("torch", "mhcflurry"),
        summary="Tensor.unfold, patches as (k, c), einsum over positions.",
        layout="mhcflurry",
        capabilities=Narrow(
            ranks=(1,),
            dilation=False,
            padding=("valid",),
            groups=False,
            sharing=("none",),
            bias=("position",),
            dtypes=DTYPES,
            accumulation=SUMS,
            limit=limit,
        ),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, _dtype: str) -> TorchModule:
        """Build the module and put the weights in."""
        from mhcflurry.pytorch_layers import LocallyConnected1D

        sizes = spec.in_channels, spec.out_channels, *spec.input_size, *spec.kernel_size
        return TorchModule(spec, LocallyConnected1D(*sizes, activation="linear"), "mhcflurry", weight, bias)
