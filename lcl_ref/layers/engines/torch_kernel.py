"""The three products by the compiled kernel, of plain tensors on the CPU where it serves; None elsewhere."""

from __future__ import annotations

import ctypes
import math
from functools import cache, lru_cache

import torch
from torch import Tensor

from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines.accelerators.plans import Plan, plan_of
from lcl_ref.layers.engines.kernel import FORMATS, KERNELS_KEPT, Kernel, kernel_of
from lcl_ref.layers.engines.torch_memory import reused
from lcl_ref.layers.engines.torch_thresholds import THRESHOLDS

NUMBERED = {getattr(torch, name): number for name, number in FORMATS.items()}
"""Number formats, as the kernel numbers them."""

PLAIN = (Tensor, torch.nn.Parameter)
"""Other classes may mean other numbers by their memory."""


class Layer:
    """A layer as the kernel takes it, with the shapes of its tensors.

    Parameters
    ----------
    spec : Spec
        The layer.
    kernel : Kernel
        It.
    """

    def __init__(self, spec: Spec, kernel: Kernel) -> None:
        self.kernel, self.weight = kernel, spec.weight_shape
        self.x, self.y = spec.x_shape(0)[1:], spec.y_shape(0)[1:]
        self.biases = (self.y, self.y[-1:])
        self.room = max(THRESHOLDS.part_bytes, 4 * math.prod(spec.weight_shape) // THRESHOLDS.weights_per_part)

    def ready(self, *tensors: Tensor, weight_gradient: bool = False) -> list[Tensor] | None:
        """Return tensors whose memory the kernel can read, copies if need be; None if it does not serve them."""
        dtype, found = tensors[0].dtype, []
        if not self.kernel.serves(NUMBERED.get(dtype), weight_gradient=weight_gradient):
            return None
        for tensor in tensors:
            if tensor.dtype is not dtype or type(tensor) not in PLAIN or not tensor.is_cpu:
                return None
            if not tensor.is_contiguous() or tensor.is_neg():
                if tensor.nbytes > self.room:
                    return None
                tensor = tensor.resolve_neg().contiguous()  # noqa: PLW2901 -- the same numbers
            if not tensor.data_ptr() and tensor.numel():  # a tensor without memory
                return None
            found.append(tensor)
        return found


@cache
def pool() -> int | None:
    """Return the address of ``GOMP_parallel`` in torch's OpenMP; None in a build of torch without one.

    Threads of torch wait for work by spinning for a while, and would do so beside threads of the kernel's own.
    """
    torch_library = torch._C.__file__  # noqa: SLF001 -- which loads the OpenMP that torch was built with
    found = getattr(ctypes.CDLL(torch_library), "GOMP_parallel", None)
    return ctypes.cast(found, ctypes.c_void_p).value if found else None


@lru_cache(KERNELS_KEPT)
def layer_of(layer: str) -> Layer | None:
    """Return the layer of a text, `Spec.to_json`; None where no kernel is installed, or the layer has another plan."""
    if plan_of(layer) is not Plan.TILES:
        return None
    spec = Spec.from_json(layer)
    kernel = kernel_of(spec)
    return None if kernel is None else Layer(spec, kernel)


def output(layer: str, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor | None:
    """Return ``y (n, o*, co)``."""
    known = layer_of(layer)
    if known is None or x.shape[1:] != known.x or weight.shape != known.weight:
        return None
    if bias is not None and bias.shape not in known.biases:
        return None
    ready = known.ready(x, weight) if bias is None else known.ready(x, weight, bias)
    if ready is None:
        return None
    left, right, *added = ready
    batch = x.shape[0]
    y = reused((batch, *known.y), x)
    at, position = (added[0].data_ptr(), added[0].ndim > 1) if added else (None, False)
    threads = torch.get_num_threads()
    operands = left.data_ptr(), right.data_ptr(), at, y.data_ptr()
    known.kernel.output(NUMBERED[x.dtype], batch, *operands, threads, pool(), position=position)
    return y


def input_gradient(layer: str, dy: Tensor, weight: Tensor) -> Tensor | None:
    """Return ``dx (n, i*, ci)``."""
    known = layer_of(layer)
    if known is None or dy.shape[1:] != known.y or weight.shape != known.weight:
        return None
    ready = known.ready(dy, weight)
    if ready is None:
        return None
    batch, (left, right) = dy.shape[0], [tensor.data_ptr() for tensor in ready]
    dx = reused((batch, *known.x), dy)
    known.kernel.input_gradient(NUMBERED[dy.dtype], batch, left, right, dx.data_ptr(), torch.get_num_threads(), pool())
    return dx


def weight_gradient(layer: str, x: Tensor, dy: Tensor, db: Tensor | None = None) -> Tensor | None:
    """Return ``dw (o*, k*, cg, co)``, and write ``db (o*, co)`` if there is a place for it."""
    known = layer_of(layer)
    if known is None or x.shape[1:] != known.x or dy.shape != (x.shape[0], *known.y):
        return None
    ready = known.ready(x, dy, weight_gradient=True)
    if ready is None:
        return None
    batch, (left, right) = x.shape[0], [tensor.data_ptr() for tensor in ready]
    dw = reused(known.weight, dy)
    at, threads = None if db is None else db.data_ptr(), torch.get_num_threads()
    known.kernel.weight_gradient(NUMBERED[x.dtype], batch, left, right, dw.data_ptr(), threads, pool(), db=at)
    return dw
