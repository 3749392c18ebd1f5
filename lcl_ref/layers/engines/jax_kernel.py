"""The products of a layer in JAX by the compiled kernel, through XLA's foreign-function interface, where it serves.

It serves programs of one device, a CPU. Programs that are exported hold the plain route, which
other machines know; so do programs of several devices, which XLA may cut where it likes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import jax

from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines.accelerators.plans import Plan, jax_plan
from lcl_ref.layers.engines.index_tables import groups
from lcl_ref.layers.engines.kernel import FORMATS, Kernel, cores, kernel_of, library

PRODUCTS = ("output", "biased_output", "input_gradient", "weight_gradient")
"""Names of the doors, after ``lcl_jax_``; `kernel/src/jax.c`."""


@cache
def registered() -> bool:
    """Tell XLA of the kernel's doors, once; return whether there are any, and of a version that XLA knows."""
    loaded = library()
    if not all(hasattr(loaded, f"lcl_jax_{name}") for name in PRODUCTS):
        return False
    try:
        for name in PRODUCTS:
            jax.ffi.register_ffi_target(f"lcl_{name}", jax.ffi.pycapsule(getattr(loaded, f"lcl_jax_{name}")))
    except Exception:  # noqa: BLE001 -- XLA says so by an error of its own
        return False
    return True


def at_hand(spec: Spec, dtype: Any) -> bool:
    """Return whether the kernel can be expected to serve a program that is traced now; `_serves` has the last word."""
    one_processor = jax.default_backend() == "cpu" and jax.device_count() == 1
    return one_processor and registered() and _kernel(spec).serves(FORMATS.get(dtype.name))


def lowering(name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
    """Return how the product of a name is lowered on the CPU: to a call of the kernel, or as `plain` does."""

    def lowered(ctx: Any, *operands: Any, spec: Spec) -> Any:
        if not _serves(ctx, spec, name):
            return plain(ctx, *operands, spec=spec)
        kernel, batch = _kernel(spec), ctx.avals_in[0].shape[0]
        call = jax.ffi.ffi_lowering(f"lcl_{name}")
        return call(ctx, *operands, layer=kernel.numbers(batch, cores()), table=kernel.table)

    return lowered


def _serves(ctx: Any, spec: Spec, name: str) -> bool:
    """Return whether the kernel may stand in the program that is being lowered."""
    module = ctx.module_context
    if jax_plan("cpu", is_complex=False) is not Plan.TILES:
        return False
    if getattr(module.axis_context, "num_devices", None) != 1 or module.lowering_parameters.for_export:
        return False
    dtype, *others = {aval.dtype for aval in ctx.avals_in}
    one_format = None if others else FORMATS.get(dtype.name)
    return registered() and _kernel(spec).serves(one_format, weight_gradient=name == "weight_gradient")


def _kernel(spec: Spec) -> Kernel:
    """Return a layer as the doors take it, whose input has its channels gathered."""
    kernel = kernel_of(_gathered(spec))
    assert kernel is not None, "what is registered is loaded"
    return kernel


def _gathered(spec: Spec) -> Spec:
    """Return the layer whose input has its channels in the order of the connection table, if there is one."""
    if spec.channel_table is None:
        return spec
    return replace(spec, channel_table=None, groups=groups(spec), in_channels=spec.out_channels * spec.group_channels)
