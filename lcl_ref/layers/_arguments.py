"""Shared by the layers of torch, MLX and flax: arguments as a `Spec`, and checks of what they are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lcl_ref.core.spec import Bias, Padding, Size, Spec
from lcl_ref.errors import ShapeError, SpecError, Violation


def convolution(
    rank: int,
    in_channels: int,
    out_channels: int,
    input_size: Size,
    kernel_size: Size,
    stride: Size,
    padding: Padding,
    dilation: Size,
    groups: int,
    bias: bool | Bias,
    shared: bool | Sequence[bool],
) -> Spec:
    """Return the layer; `bias` True is one number per position and channel.

    Raises
    ------
    SpecError
        If the settings describe no layer; the error lists all that is wrong.
    """
    return Spec(
        input_size=(input_size,) * rank if isinstance(input_size, int) else input_size,
        in_channels=in_channels,
        out_channels=out_channels,
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        shared=shared,
        bias=bias if isinstance(bias, str) else "position" if bias else "none",
    )


def blocks(in_channels: int, out_channels: int, groups: int, bias: bool) -> Spec:
    """Return `groups` small linear maps side by side.

    Raises
    ------
    SpecError
        If `groups` does not divide both sizes.
    """
    kind: Bias = "channel" if bias else "none"
    return Spec(
        input_size=(), kernel_size=(), in_channels=in_channels, out_channels=out_channels, groups=groups, bias=kind
    )


def check_rank(name: str, rank: int, spec: Spec) -> None:
    """Refuse a layer of another rank than that of the class.

    Raises
    ------
    SpecError
        If they differ.
    """
    if spec.rank != rank:
        expected = f"{rank} sizes: {name} has {rank} spatial axes"
        raise SpecError([Violation("input_size/rank", "input_size", f"{spec.input_size}", expected)])


def check_shapes(spec: Spec, weight: Any, bias: Any) -> dict[str, Any]:
    """Return weight and bias by name, bias only where there is one; they may be tracers, which have shapes alone.

    Raises
    ------
    ShapeError
        If a shape is not the one `spec` asks for.
    """
    held = {"weight": weight} | ({} if bias is None else {"bias": bias})
    shapes = {"weight": spec.weight_shape} | ({} if spec.bias_shape is None else {"bias": spec.bias_shape})
    found = {name: tuple(array.shape) for name, array in held.items()}
    if found != shapes:
        raise ShapeError([Violation("canonical/shape", "parameters", f"shapes {found}", f"{shapes}")])
    return held


def check_input(x: Any, sample: Sequence[int], meaning: str) -> None:
    """Refuse an input that is not ``(n, *sample)``: unlike a convolution, the layer belongs to one input size.

    Raises
    ------
    ShapeError
        If it is not.
    """
    if tuple(x.shape[1:]) != tuple(sample):
        expected = f"(n, {', '.join(map(str, sample))}): {meaning}"
        raise ShapeError([Violation("x/shape", "x", f"shape {tuple(x.shape)}", expected)])
