"""`radionets.architecture.layers.LocallyConnected2d` (MIT): images of radio telescopes; as in PyTorch issue 499."""

from __future__ import annotations

from typing import Any

from _bare_packages import bare
from _torch_module import DTYPES, SUMS, Narrow, TorchModule
from forum_layers import square

from lcl_ref import Spec
from lcl_ref.suite.adapter import Declaration

MODULE = bare("radionets.architecture.layers")


class Adapter:
    """The module; channels first."""

    declaration = Declaration(
        name="radionets.LocallyConnected2d",
        framework="radionets",
        modules=("torch", MODULE),
        summary="Two unfolds, an elementwise product with everything, a sum.",
        layout="torch/ptrblck",
        capabilities=Narrow(
            ranks=(2,),
            dilation=False,
            padding=("valid",),
            groups=False,
            sharing=("none",),
            bias=("none", "position"),
            dtypes=DTYPES,
            accumulation=SUMS,
            limit=square,
        ),
        holds="products",
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, _dtype: str) -> TorchModule:
        """Build the module and put the weights in."""
        from radionets.architecture.layers import LocallyConnected2d

        sizes = spec.in_channels, spec.out_channels, spec.output_size, spec.kernel_size[0], spec.stride[0]
        return TorchModule(
            spec,
            LocallyConnected2d(*sizes, bias=bias is not None),
            "torch/ptrblck",
            weight,
            bias,
            enter=lambda x: x.permute(0, 3, 1, 2),
            leave=lambda y: y.permute(0, 2, 3, 1),
        )
