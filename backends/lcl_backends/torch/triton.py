"""The fused kernels of Triton, which `lcl_ref.layers` takes on graphics cards; without one, in Triton's interpreter."""

from __future__ import annotations

from typing import Any

from lcl_backends.support import Capabilities
from lcl_backends.support.torch import DTYPES, TorchLayer, declared
from lcl_ref.core.spec import Spec


class Adapter:
    """`lcl_ref.layers.engines.torch.local` by the plan `fused`."""

    declaration = declared(
        name="torch.triton",
        modules=("torch", "triton"),
        summary="Triton kernels that gather windows as they multiply them, run by Triton's interpreter.",
        layout="canonical",
        capabilities=Capabilities(
            channel_table=True, dtypes=DTYPES, why={"dtypes": "Triton multiplies no complex numbers"}
        ),
        environment={"TRITON_INTERPRET": "1"},
        by_name=True,
        holds="tiles",
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> TorchLayer:
        """Copy the canonical weights."""
        from lcl_ref.layers.engines.accelerators.plans import Plan, with_plan
        from lcl_ref.layers.engines.torch import local

        layer = with_plan(spec.to_json(), Plan.FUSED)
        return TorchLayer(spec, lambda _, *operands: local(layer, *operands), weight, bias)
