"""A layer by a few operations of torch's own, which have derivatives and a place in exported graphs of their own."""

from __future__ import annotations

import torch
from torch import Tensor

from lcl_ref.layers.engines.torch_geometry import Geometry
from lcl_ref.layers.engines.torch_route import Route


def one_product(route: Route, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return ``y (n, o*, co)``, of a layer with one position that sees all of the input.

    Thin blocks are multiplied transposed, and from a copy of the samples: the product that makes the gradient of the
    weight takes twice as long from where they lie.
    """
    samples, matrices = _split(route, x.flatten(1)).movedim(1, 0), _split(route, weight.flatten(0, -2)).movedim(1, 0)
    added = None if bias is None else _split(route, bias.flatten())[:, None]
    if route.few_outputs or route.few_inputs:
        product = _affine(matrices.mT, samples.contiguous().mT, None if added is None else added.mT).mT
    else:
        product = _affine(samples, matrices, added)
    return product.movedim(0, 1).reshape(route.spec.y_shape(x.shape[0])).contiguous()


def _affine(left: Tensor, right: Tensor, added: Tensor | None) -> Tensor:
    """Return the products of matrices, plus a term if any."""
    return torch.bmm(left, right) if added is None else torch.baddbmm(added, left, right)


def _split(geometry: Geometry, tensor: Tensor) -> Tensor:
    """``(*, c) -> (*, g, c/g)``."""
    return torch.unflatten(tensor, -1, (geometry.groups, -1))


def at_once(geometry: Geometry, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return ``y (n, o*, co)``, by holding all windows at once."""
    spec, rank, count = geometry.spec, len(geometry.overlaps), geometry.groups
    windows = x if spec.channel_table is None else x[..., geometry.channels(x)]
    windows = torch.nn.functional.pad(windows, geometry.pads)
    for axis, (extent, stride, dilation) in enumerate(geometry.unfolds, 1):
        windows = windows.unfold(axis, extent, stride)[..., ::dilation]
    windows = torch.unflatten(windows, rank + 1, (count, -1))  # (n, o*, g, cg, k*)
    rows = windows.permute(geometry.windows_as_rows).flatten(rank + 2)  # (o*, g, n, k*cg)
    matrices = _split(geometry, weight.flatten(rank, -2)).movedim(-2, rank)  # (o*, g, k*cg, co/g)
    y = torch.matmul(rows, matrices).permute(geometry.samples_first).flatten(-2)
    return y if bias is None else y + bias
