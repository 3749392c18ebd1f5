"""Memory of results and of what products are made in.

The system hands out fresh memory page by page, at the first write to each. With pages of 4 kB that takes several times
as long as the write itself, and longer than the arithmetic of a locally connected layer, whose weight and its gradient
are its largest arrays by far (`docs/speed.md` has the figures). So large results are made where the last ones of their
size were (`kept_memory`), and the few MB that products are made in are kept, one set per thread.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from lcl_ref.layers.engines import kept_memory
from lcl_ref.layers.engines.torch_thresholds import THRESHOLDS


def empty(shape: Sequence[int], like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return an uninitialised tensor on the device of `like`, in its dtype unless another is given."""
    tensor = like.new_empty(shape, dtype=dtype or like.dtype)
    large = tensor.nbytes >= THRESHOLDS.huge_bytes
    advise = _advise() if large and type(tensor) is Tensor and tensor.is_cpu else None
    if advise:
        start = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
        whole = (tensor.data_ptr() + tensor.nbytes - start) // mmap.PAGESIZE * mmap.PAGESIZE
        advise(ctypes.c_void_p(start), ctypes.c_size_t(whole), mmap.MADV_HUGEPAGE)
    return tensor


def reused(shape: Sequence[int], like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return what `empty` does; if it is large, in memory that is kept for the next of its size when it is freed."""
    dtype = dtype or like.dtype
    plain = type(like) is Tensor and like.is_cpu
    memory = kept_memory.memory(math.prod(shape) * dtype.itemsize) if plain else None
    return empty(shape, like, dtype) if memory is None else torch.frombuffer(memory, dtype=dtype).view(shape)


class Scratch:
    """Named pieces of memory, each made at its first use and used again where it suffices.

    Parameters
    ----------
    like : torch.Tensor
        Tells the device.
    dtype : torch.dtype
        Of every piece.
    """

    def __init__(self, like: Tensor, dtype: torch.dtype) -> None:
        self._like, self.dtype = like.new_empty(0), dtype
        self._held: dict[str, Tensor] = {}

    def take(self, name: str, shape: Sequence[int]) -> Tensor:
        """Return a piece as a contiguous tensor, uninitialised; it is overwritten when taken again."""
        count = math.prod(shape)
        held = self._held.get(name)
        if held is None or held.numel() < count:
            with torch.inference_mode(mode=False):  # what is made in that mode could not be written to outside
                held = empty((count,), self._like, self.dtype)
            if held.nbytes <= THRESHOLDS.kept_bytes:
                self._held[name] = held
        return held[:count].view(shape)


_kept = threading.local()


def scratch_of(like: Tensor, dtype: torch.dtype) -> Scratch:
    """Return the scratch memory of this thread for a device and dtype; of other kinds of tensors, a new one."""
    if type(like) is not Tensor or like.device.type != "cpu":
        return Scratch(like, dtype)
    every = vars(_kept).setdefault("every", {})
    if dtype not in every:
        every[dtype] = Scratch(torch.empty(0), dtype)
    scratch: Scratch = every[dtype]
    return scratch


@cache
def _advise() -> Any:
    """Return the system's `madvise`, or None where it has no huge pages."""
    return getattr(ctypes.CDLL(None), "madvise", None) if hasattr(mmap, "MADV_HUGEPAGE") else None
