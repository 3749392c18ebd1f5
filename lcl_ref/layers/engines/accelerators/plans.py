"""Which plan computes a layer on which device: the one place where that is chosen (docs/accelerators.md).

A processor's caches are small and its calls cheap, so there a layer is walked tile by tile. An accelerator is the
other way round: few large products, or one kernel of this package, which reads windows where they lie.
"""

from __future__ import annotations

import os
from enum import StrEnum
from importlib.util import find_spec


class Plan(StrEnum):
    """How the products of a layer are made."""

    TILES = "tiles"
    """A tile of positions at a time, whose windows fit a cache."""

    LARGE = "large"
    """As few products as a budget of memory allows."""

    FUSED = "fused"
    """One kernel per product, which gathers as it multiplies, and holds nothing."""


BUDGET_BYTES = 256 << 20
"""What few large products hold at most of windows, and of the input laid out, at a time."""

KEPT_BYTES = BUDGET_BYTES // 4
"""What they hold at most of windows that stay for the backward pass, of every layer of a network."""

FORCED = os.environ.get("LCL_PLAN")
"""Plan of every layer that it can compute, whatever its device; for comparisons, and to do without one that fails."""

TRITON_DEVICES = ("cuda", "xpu")
"""Devices of torch that Triton compiles for; ROCm calls itself ``cuda`` there."""

INDEXED = 2**31 - 1
"""Numbers of an array that the kernels of Pallas can count: JAX has wider integers only if it is told to."""

TRITON = find_spec("triton") is not None
"""Whether Triton is installed, as it is with torch's builds for CUDA and ROCm."""


def torch_plan(device: str, *, is_complex: bool, triton: bool = TRITON) -> Plan:
    """Return the plan for tensors on a kind of device.

    Examples
    --------
    >>> torch_plan("cpu", is_complex=False), torch_plan("mps", is_complex=False)
    (<Plan.TILES: 'tiles'>, <Plan.LARGE: 'large'>)
    >>> torch_plan("cuda", is_complex=False, triton=True), torch_plan("cuda", is_complex=True, triton=True)
    (<Plan.FUSED: 'fused'>, <Plan.LARGE: 'large'>)
    """
    accelerator = Plan.FUSED if triton and device in TRITON_DEVICES else Plan.LARGE
    return _possible(Plan.TILES if device == "cpu" else accelerator, fusible=not is_complex)


def jax_plan(platform: str, *, is_complex: bool, numbers: int = 0) -> Plan:
    """Return the plan for arrays of JAX on a platform, the largest of which holds so many numbers.

    Examples
    --------
    >>> [str(jax_plan(platform, is_complex=False)) for platform in ("cpu", "gpu", "tpu")]
    ['tiles', 'fused', 'large']
    """
    accelerator = Plan.FUSED if platform in ("gpu", "cuda", "rocm") else Plan.LARGE
    fusible = not is_complex and numbers <= INDEXED
    return _possible(Plan.TILES if platform == "cpu" else accelerator, fusible=fusible)


def _possible(plan: Plan, *, fusible: bool) -> Plan:
    """Return a plan, or the one that is forced; few large products, if it is that of kernels which cannot do it."""
    plan = Plan(FORCED) if FORCED else plan
    return Plan.LARGE if plan is Plan.FUSED and not fusible else plan


def room(on_processor: int, on_accelerator: int, *, accelerated: bool) -> int:
    """Return how many bytes windows may take.

    Examples
    --------
    >>> room(1000, KEPT_BYTES, accelerated=False)
    1000
    """
    return on_accelerator if accelerated or FORCED == Plan.LARGE else on_processor


def with_plan(layer: str, plan: Plan) -> str:
    """Return a layer, given as `Spec.to_json`, with its plan: operators of torch take text, and keep it in a graph.

    Examples
    --------
    >>> with_plan("{}", Plan.LARGE), plan_of(with_plan("{}", Plan.LARGE)), plan_of("{}")
    ('large:{}', <Plan.LARGE: 'large'>, <Plan.TILES: 'tiles'>)
    """
    return layer if plan is Plan.TILES else f"{plan}:{layer}"


def plan_of(layer: str) -> Plan:
    """Return the plan that a layer is given with."""
    return Plan.TILES if layer.startswith("{") else Plan(layer.partition(":")[0])


def without_plan(layer: str) -> str:
    """Return the layer as `Spec.to_json`."""
    return layer if layer.startswith("{") else layer.partition(":")[2]
