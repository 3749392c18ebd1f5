"""Layers as people write them, each for one family only and with a mistake that a square or equal size can hide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

import lcl_ref as lcl
from lcl_ref.suite.cases.catalogue import CASES
from lcl_ref.suite.cases.tiers import CORE
from lcl_ref.suite.validation.families import Family, family_of
from tests.support.marks import quick
from tests.support.power import Layer, before, failing, of_topic, outcomes


class OneFamily(Layer):
    """A right layer that supports the families it is given."""

    def __init__(self, **fixed: Any) -> None:
        super().__init__()
        self.fixed = fixed

    def supports(self, spec: lcl.Spec, dtype: str, op: str) -> bool | str:
        family = family_of(spec)
        fits = family is not None and all(getattr(family, name) == value for name, value in self.fixed.items())
        return True if fits else "a layer of its family only"


class TorchLayer(OneFamily):
    """``Local2d(kernel_size: int, padding: (py, px))`` by torch's unfold, a bias per position."""

    swapped = False

    def __init__(self) -> None:
        super().__init__(rank=2, padding="unequal", stride=1, bias="position")

    def run(self, spec: lcl.Spec, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        (py, _), (px, _) = spec.padding
        image = x.movedim(-1, 1)
        if self.swapped:
            image = torch.nn.functional.pad(image, (py, py, px, px))
        else:
            image = torch.nn.functional.pad(image, (px, px, py, py))
        k = spec.kernel_size[0]
        patches = image.unfold(2, k, 1).unfold(3, k, 1)  # (n, c, oy, ox, ky, kx)
        return torch.einsum("ncyxkl,yxklcf->nyxf", patches, weight) + bias

    def forward(self, spec: lcl.Spec, x: Any, weight: Any, bias: Any) -> Any:
        return self.run(spec, *map(torch.tensor, (x, weight, bias)))

    def vjp(self, spec: lcl.Spec, x: Any, weight: Any, bias: Any, dy: Any) -> Any:
        leaves = [torch.tensor(array, requires_grad=True) for array in (x, weight, bias)]
        return torch.autograd.grad(self.run(spec, *leaves), leaves, torch.tensor(dy))


class PaddingAxesSwapped(TorchLayer):
    """Pads x where it should pad y; with as many positions in all it would run."""

    swapped = True


class WeightTransposed(OneFamily):
    """Takes the weight transposed for dx, which has the right shape where ``cg == co``."""

    def vjp(self, spec: lcl.Spec, x: Any, weight: Any, bias: Any, dy: Any) -> Any:
        _, dw, db = super().vjp(spec, x, weight, bias, dy)
        turned = (
            np.ascontiguousarray(np.swapaxes(weight, -1, -2)) if spec.group_channels == spec.out_channels else weight
        )
        return super().vjp(spec, x, turned, bias, dy)[0], dw, db


class WiderThanHigh(OneFamily):
    """Takes the row length for the height where the image is wider than high."""

    def forward(self, spec: lcl.Spec, x: Any, weight: Any, bias: Any) -> Any:
        high, wide = spec.input_size
        if wide > high:
            x = np.ascontiguousarray(x.reshape(len(x), wide, high, -1).swapaxes(1, 2))
        return super().forward(spec, x, weight, bias)


class BiasOfTheOtherAxis(OneFamily):
    """Reads the bias per position along x first."""

    def forward(self, spec: lcl.Spec, x: Any, weight: Any, bias: Any) -> Any:
        if spec.in_channels == spec.out_channels:
            bias = np.ascontiguousarray(bias.reshape(*spec.output_size[::-1], -1).swapaxes(0, 1))
        return super().forward(spec, x, weight, bias)


class TapsOfTheOtherAxis(OneFamily):
    """Reads the two axes of the kernel in the other order, under padding and stride 2 only."""

    def forward(self, spec: lcl.Spec, x: Any, weight: Any, bias: Any) -> Any:
        return super().forward(spec, x, np.ascontiguousarray(weight.swapaxes(2, 3)), bias)


class ClampAndMask(OneFamily):
    """Clamps the index to the input and multiplies what lies outside by 0, which makes an inf NaN."""

    def forward(self, spec: lcl.Spec, x: Any, weight: Any, bias: Any) -> Any:
        y = np.zeros(spec.y_shape(len(x)), x.dtype)
        with np.errstate(invalid="ignore"):
            for o in np.ndindex(spec.output_size):
                for k in np.ndindex(spec.kernel_size):
                    site = [a * s + t - lo for a, s, t, (lo, _) in zip(o, spec.stride, k, spec.padding, strict=True)]
                    inside = all(0 <= i < size for i, size in zip(site, spec.input_size, strict=True))
                    near = tuple(min(max(i, 0), size - 1) for i, size in zip(site, spec.input_size, strict=True))
                    y[:, *o] += (x[:, *near] * x.dtype.type(inside)) @ weight[*o, *k]
        return y if bias is None else y + bias


PLAIN = {"rank": 2, "padding": "none", "stride": 1, "bias": "none"}

WRONG: dict[str, tuple[OneFamily, OneFamily, Sequence[str]]] = {
    "padding-axes-swapped": (PaddingAxesSwapped(), TorchLayer(), ("forward", "vjp")),
    "weight-transposed": (WeightTransposed(rank=1), OneFamily(rank=1), ("vjp",)),
    "weight-transposed-2d": (WeightTransposed(rank=2, bias="channel"), OneFamily(rank=2, bias="channel"), ("vjp",)),
    "wider-than-high": (WiderThanHigh(**PLAIN), OneFamily(**PLAIN), ("forward",)),
    "bias-of-the-other-axis": (
        BiasOfTheOtherAxis(rank=2, bias="position"),
        OneFamily(rank=2, bias="position"),
        ("forward",),
    ),
    "taps-of-the-other-axis": (
        TapsOfTheOtherAxis(rank=2, padding="equal", stride=2),
        OneFamily(rank=2, padding="equal", stride=2),
        ("forward",),
    ),
}


@pytest.mark.parametrize("name", quick(WRONG, every=2))
def test_only_cases_of_families_see_it(name: str) -> None:
    wrong, right, ops = WRONG[name]
    assert failing(outcomes(wrong, before(), ops)) == set()
    assert failing(outcomes(wrong, of_topic("families"), ops))
    found = outcomes(right, CASES, ops)
    assert failing(found) == set()
    assert found


def test_a_layer_of_one_family_is_asked_something_in_core() -> None:
    core = [case for case in CASES if case.id in CORE]
    assert failing(outcomes(PaddingAxesSwapped(), core))
    assert failing(outcomes(WiderThanHigh(**PLAIN), core, ("forward",)))
    assert outcomes(TorchLayer(), core)


@pytest.mark.parametrize("rank", quick([1, 2, 3], 1))
def test_clamping_and_masking_is_seen_in_core(rank: int) -> None:
    layer = ClampAndMask(rank=rank)
    cases = [case for case in CASES if case.spec.rank == rank]
    exact = [case for case in cases if case.values == "exact"]
    assert failing(outcomes(layer, exact[::4], ("forward",))) == set()
    edges = [case for case in cases if case.id in CORE and "/edges" in case.id]
    assert failing(outcomes(layer, edges, ("forward",))) == {case.id for case in edges} != set()
    assert failing(outcomes(OneFamily(rank=rank), edges, ("forward",))) == set()


def test_the_families_of_these_layers() -> None:
    spec = lcl.Spec(input_size=(5, 7), in_channels=3, out_channels=3, kernel_size=3, padding=(2, 1))
    assert family_of(spec) == Family(2, "unequal", 1, "position", True)
    assert TorchLayer().supports(spec, "float32", "vjp") is True
    assert "its family" in str(TorchLayer().supports(spec=lcl.Spec(**PLAIN_LAYER), dtype="float32", op="vjp"))


PLAIN_LAYER = {"input_size": (5, 7), "in_channels": 3, "out_channels": 3, "kernel_size": 3}
