"""`eir.models.layers.lcl_layers.LCL` (EIR, AGPL-3.0): genotypes; windows that tile a padded input, output flattened."""

from __future__ import annotations

from typing import Any

from _torch_module import DTYPES, SUMS, Narrow, TorchModule

from lcl_ref import Spec
from lcl_ref.suite.adapter import Declaration


def limit(spec: Spec) -> str:
    """Say what the module has no setting for."""
    ((lo, hi),), (size,), (kernel,) = spec.padding, spec.input_size, spec.kernel_size
    tiles = spec.stride == spec.kernel_size and (lo, hi) == (0, -size % kernel)
    if not tiles:
        return "windows must tile the input, filled up with zeros at its end"
    return "one input channel" if spec.in_channels != 1 else ""


class Adapter:
    """The module; its output ``(n, co*o)`` is unflattened."""

    declaration = Declaration(
        name="eir.LCL",
        framework="eir-dl",
        modules=("torch", "eir.models.layers.lcl_layers"),
        summary="The input cut into chunks, einsum over chunks.",
        layout="eir",
        capabilities=Narrow(
            ranks=(1,),
            dilation=False,
            groups=False,
            sharing=("none",),
            bias=("none", "position"),
            dtypes=DTYPES,
            accumulation=SUMS,
            limit=limit,
        ),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, _dtype: str) -> TorchModule:
        """Build the module and put the weights in."""
        from eir.models.layers.lcl_layers import LCL

        module = LCL(*spec.input_size, spec.out_channels, kernel_size=spec.kernel_size[0], bias=bias is not None)
        return TorchModule(
            spec,
            module,
            "eir",
            weight,
            bias,
            enter=lambda x: x.squeeze(-1),
            leave=lambda y: y.unflatten(1, (spec.out_channels, *spec.output_size)).transpose(1, 2),
        )
