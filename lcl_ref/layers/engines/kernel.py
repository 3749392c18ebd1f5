"""The compiled kernel (`kernel/` in the source tree), where it is installed: the three products of a layer on the CPU.

Without the package `lcl_ref_kernel`, or with ``LCL_KERNEL=0`` in the environment, `kernel_of` is None for every layer
and engines compute as they do without it. The kernel reads canonical arrays in C order by their addresses, changes no
operand, keeps nothing from call to call, and gives the same bits with any number of threads.
"""

from __future__ import annotations

import ctypes
import math
import os
import warnings
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lcl_ref.core.spec import Spec

SWITCH = "LCL_KERNEL"
"""The variable of the environment that, as "0", leaves the kernel unused."""

INTERFACE = 5
"""Of the functions of `kernel/src/layer.h`, as the installed package says in ``INTERFACE``."""

FORMATS = {"bfloat16": 1, "float16": 16, "float32": 32, "float64": 64}
"""The number formats of the kernel by name, as `kernel/src/layer.h` numbers them."""

HALVES = (FORMATS["bfloat16"], FORMATS["float16"])

SUMS = 6 << 20
"""Bytes of a gradient of the input that the kernel keeps in float32 before they are rounded to a half format."""

KERNELS_KEPT = 1024
"""So many layers are remembered as the kernel takes them."""

PRODUCTS_PER_THREAD = 1 << 20
"""Start a thread for so many multiply-adds: fewer take less time than the start."""

THIN = 4
"""Groups of fewer outputs are computed with outputs, not groups, side by side."""

NARROW = 256
"""The kernel multiplies blocks of up to so many outputs faster than the products of frameworks do, or as fast."""

_Axes = ctypes.c_int64 * 3


class _Layer(ctypes.Structure):
    """`lcl_layer` of `kernel/src/layer.h`."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("channels", "group_channels", "outputs", "groups")),
        *((name, _Axes) for name in ("input", "output", "kernel", "stride", "dilation", "lo", "shared")),
        ("table", ctypes.c_void_p),
    )


class _Threads(ctypes.Structure):
    """`lcl_threads` of the same."""

    _fields_ = (("most", ctypes.c_int64), ("pool", ctypes.c_void_p))


_threads = lru_cache(_Threads)
"""One of each is enough: the kernel reads it."""


@cache
def library() -> Any:
    """Return the loaded library; None if it is not installed, switched off, or not of this version's interface."""
    if os.environ.get(SWITCH) == "0":
        return None
    try:
        import lcl_ref_kernel
    except ModuleNotFoundError:
        return None
    found = getattr(lcl_ref_kernel, "INTERFACE", 1)
    if found != INTERFACE:
        warnings.warn(
            f"the compiled kernel in {Path(lcl_ref_kernel.__file__).parent} has interface {found}, and this version of "
            f"lcl-ref expects {INTERFACE}: it is left unused. Install it anew, by `pip install ./kernel` in a clone",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    loaded = ctypes.CDLL(str(lcl_ref_kernel.LIBRARY))
    pointer, many, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
    loaded.lcl_output.argtypes = [pointer, number, many, pointer, pointer, pointer, number, pointer, _Threads]
    loaded.lcl_input_gradient.argtypes = [pointer, number, many, pointer, pointer, pointer, _Threads]
    loaded.lcl_weight_gradient.argtypes = [pointer, number, many, pointer, pointer, pointer, pointer, _Threads]
    return loaded


@cache
def cores() -> int:
    """Return how many threads a call may use: what ``OMP_NUM_THREADS`` says, else one per core of this process."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    if said.isdecimal() and int(said):
        return int(said)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Kernel:
    """One layer as the kernel takes it; arrays are addresses of canonical ones in C order, of one of `FORMATS`.

    Parameters
    ----------
    spec : Spec
        The layer.
    loaded : ctypes.CDLL
        `library`.
    """

    def __init__(self, spec: Spec, loaded: Any) -> None:
        before = 3 - spec.rank
        thin = spec.channel_table is not None or (spec.groups > 1 and spec.out_channels // spec.groups < THIN)
        self._table = np.ascontiguousarray(spec.channels.T, np.int32) if thin else None
        axes = (spec.input_size, spec.output_size, spec.kernel_size, spec.stride, spec.dilation)
        ones, padding = [[1] * before + list(sizes) for sizes in axes], [lo for lo, _ in spec.padding]
        self._layer = _Layer(
            spec.in_channels,
            spec.group_channels,
            spec.out_channels,
            1 if thin else spec.groups,
            *(_Axes(*sizes) for sizes in ones),
            _Axes(*[0] * before, *padding),
            _Axes(*[1] * before, *spec.shared),
            None if self._table is None else self._table.ctypes.data,
        )
        self._address = ctypes.addressof(self._layer)
        self._loaded = loaded
        self.table = np.zeros(1, np.int32) if self._table is None else self._table.reshape(-1)
        self._products = math.prod(spec.output_size) * spec.fan_in * spec.out_channels
        self._halves = not thin and 4 * math.prod(spec.input_size) * spec.in_channels <= SUMS
        self._shared = any(spec.shared)

    def numbers(self, batch: int, threads: int) -> Any:
        """Return what the doors for JAX are given: the numbers of the layer, and how many threads to use."""
        size = _Layer.table.offset
        held = np.frombuffer(ctypes.string_at(self._address, size), np.int64)
        return np.append(held, self.threads(batch, threads))

    def serves(self, number_format: int | None, *, weight_gradient: bool = False) -> bool:
        """Return whether the kernel computes a format: half formats not for every layer (`docs/speed.md`)."""
        if number_format not in HALVES:
            return number_format is not None
        return self._halves and not (weight_gradient and self._shared)

    def output(
        self,
        number_format: int,
        batch: int,
        x: int,
        weight: int,
        bias: int | None,
        y: int,
        threads: int,
        pool: int | None = None,
        *,
        position: bool,
    ) -> None:
        """Write ``y (n, o*, co)``; `position` says that there is a bias per position.

        `pool` is the address of ``GOMP_parallel`` in the OpenMP whose threads the caller computes with; without it the
        call starts threads of its own.
        """
        some = _threads(self.threads(batch, threads), pool)
        self._done(self._loaded.lcl_output(self._address, number_format, batch, x, weight, bias, position, y, some))

    def input_gradient(
        self, number_format: int, batch: int, dy: int, weight: int, dx: int, threads: int, pool: int | None = None
    ) -> None:
        """Write ``dx (n, i*, ci)``."""
        some = _threads(self.threads(batch, threads), pool)
        self._done(self._loaded.lcl_input_gradient(self._address, number_format, batch, dy, weight, dx, some))

    def weight_gradient(
        self,
        number_format: int,
        batch: int,
        x: int,
        dy: int,
        dw: int,
        threads: int,
        pool: int | None = None,
        *,
        db: int | None = None,
    ) -> None:
        """Write ``dw (o*, k*, cg, co)``, and ``db (o*, co)`` if there is a place for it."""
        some = _threads(self.threads(batch, threads), pool)
        self._done(self._loaded.lcl_weight_gradient(self._address, number_format, batch, x, dy, dw, db, some))

    def threads(self, batch: int, most: int) -> int:
        """Return how many threads a call is worth, of `most`."""
        return min(most, 1 + batch * self._products // PRODUCTS_PER_THREAD)

    def _done(self, failed: int) -> None:
        if failed:
            raise MemoryError("the kernel found no memory for its threads; use fewer, or a smaller batch")


@lru_cache(KERNELS_KEPT)
def kernel_of(spec: Spec) -> Kernel | None:
    """Return a layer as the kernel takes it, or None where there is no kernel."""
    loaded = library()
    return None if loaded is None else Kernel(spec, loaded)
