"""`einops.layers.torch.EinMix` (MIT): a layer by names of axes; here tiling windows, or blocks of channels."""

from __future__ import annotations

from typing import Any

from _torch_module import DTYPES, SUMS, Narrow, TorchModule

from lcl_ref import Spec
from lcl_ref.suite.adapter import Declaration


def limit(spec: Spec) -> str:
    """Say what the patterns of this adapter do not write."""
    return "groups and positions together are not written here" if spec.rank and spec.groups != 1 else ""


class Adapter:
    """The module; axes that share weights are absent from the weight."""

    declaration = Declaration(
        name="einops.EinMix",
        framework="einops",
        modules=("torch", "einops.layers.torch"),
        summary="The input cut into windows, einsum over positions.",
        layout="canonical",
        capabilities=Narrow(
            stride="kernel",
            dilation=False,
            padding=("valid",),
            dtypes=DTYPES,
            accumulation=SUMS,
            limit=limit,
        ),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, _dtype: str) -> TorchModule:
        """Build the module and put the weights in."""
        from einops.layers.torch import EinMix

        if not spec.rank:
            sizes = {"g": spec.groups, "c": spec.group_channels, "p": spec.out_channels // spec.groups}
            blocks = EinMix("n (g c) -> n (g p)", "g c p", None if bias is None else "g p", **sizes)
            return TorchModule(spec, blocks, "block/h_in_out", weight, bias)
        return TorchModule(spec, EinMix(*patterns(spec), **lengths(spec)), "canonical", weight, bias)


def patterns(spec: Spec) -> tuple[str, str, str | None]:
    """Return the patterns of the layer, its weight and its bias.

    On images, weights shared along x: ``n (o0 k0) (o1 k1) c -> n o0 o1 f``, ``o0 k0 k1 c f`` and ``o0 o1 f``.
    """
    axes = range(spec.rank)
    windows, taps = (" ".join(form.format(a) for a in axes) for form in ("(o{0} k{0})", "k{}"))
    everywhere = " ".join(f"o{a}" for a in axes)
    stored = " ".join(f"o{a}" for a in axes if not spec.shared[a])
    bias = {"none": None, "channel": "f", "position": f"{everywhere} f"}[spec.bias]
    return f"n {windows} c -> n {everywhere} f", f"{stored} {taps} c f", bias


def lengths(spec: Spec) -> dict[str, int]:
    """Return the length of each axis that the patterns of the weight and the bias name."""
    axes = range(spec.rank)
    taps = {f"k{a}": spec.kernel_size[a] for a in axes}
    positions = {f"o{a}": spec.output_size[a] for a in axes if spec.bias == "position" or not spec.shared[a]}
    return {"c": spec.in_channels, "f": spec.out_channels} | taps | positions
