"""What the layers of every framework share, and need none for: arguments as a `Spec`, checks, and how they print."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from lcl_ref.core.spec import Bias, Padding, Size, Spec
from lcl_ref.errors import ShapeError, SpecError, Violation
from lcl_ref.extensions import regions
from lcl_ref.extensions.unequal import Blocks


class Convolution:
    """The constructor of layers with positions: arguments of a convolution, and `input_size`.

    A framework's base class has `_start`, which makes the parameters of a `Spec`; its keyword arguments are taken too.
    """

    rank: ClassVar[int]
    _start: Callable[..., None]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        input_size: Size,
        kernel_size: Size,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool | Bias = True,
        *,
        shared: bool | Sequence[bool] = False,
        **placement: Any,
    ) -> None:
        spec = Spec(
            input_size=(input_size,) * self.rank if isinstance(input_size, int) else input_size,
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
        self._start(spec, **placement)

    def __init_subclass__(cls, **options: Any) -> None:
        """Name the arguments of `_start` in the signature that `help` shows."""
        super().__init_subclass__(**options)
        arguments = list(inspect.signature(Convolution.__init__).parameters.values())[1:-1]
        placement = list(inspect.signature(cls._start).parameters.values())[2:]
        cls.__signature__ = inspect.Signature([*arguments, *placement])  # type: ignore[attr-defined]


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


def stored_shapes(spec: Spec, where: regions.Map | None) -> dict[str, tuple[int, ...]]:
    """Return the shapes of weight and bias as a layer keeps them: per position, or once per region of a map."""
    if where is not None:
        found = regions.shapes(spec, where)
        return {"weight": found.pop("kernels"), **found}
    return {"weight": spec.weight_shape} | ({} if spec.bias_shape is None else {"bias": spec.bias_shape})


def spread(spec: Spec, where: Any, weight: Any, bias: Any) -> tuple[Any, Any]:
    """Return canonical weight and bias of those that a layer keeps; `where` is its map as the framework indexes."""
    if where is None:
        return weight, bias
    return weight[where], bias[where] if spec.bias == "position" else bias


def collapsed(
    spec: Spec, where: regions.Map | None, given: Mapping[str, Any], collapse: Callable[..., Any]
) -> dict[str, Any]:
    """Return canonical arrays as a layer keeps them; `collapse` is that of `regions`, for arrays of a framework.

    Raises
    ------
    LayoutError
        If they differ inside a region.
    """
    if where is None:
        return dict(given)
    tied = {"weight"} | ({"bias"} if spec.bias == "position" else set())
    return {name: collapse(where, array, name) if name in tied else array for name, array in given.items()}


def check_shapes(spec: Spec, weight: Any, bias: Any) -> dict[str, Any]:
    """Return weight and bias by name, bias only where there is one; they may be tracers, which have shapes alone.

    Raises
    ------
    ShapeError
        If a shape is not the one `spec` asks for.
    """
    given = {"weight": weight} | ({} if bias is None else {"bias": bias})
    shapes = stored_shapes(spec, None)
    found = {name: tuple(array.shape) for name, array in given.items()}
    if found != shapes:
        raise ShapeError([Violation("canonical/shape", "parameters", f"shapes {found}", f"{shapes}")])
    return given


def check_bias(blocks: Blocks, bias: Any) -> None:
    """Refuse a bias that is not one number per output of all blocks; `ShapeError`."""
    if tuple(bias.shape) != (blocks.out_channels,):
        expected = f"({blocks.out_channels},), {'+'.join(str(outputs) for _, outputs in blocks.sizes)}"
        raise ShapeError(Violation("bias/shape", "bias", f"shape {tuple(bias.shape)}", expected))


def check_sample(x: Any, sample: Sequence[int], *, leading: Sequence[int], meaning: str) -> None:
    """Refuse an input whose last axes are not `sample`, or that has another number of axes before them.

    Unlike a convolution, a layer belongs to one input size. No `leading` numbers allow any.

    Raises
    ------
    ShapeError
        If the input does not fit.
    """
    count = len(sample)
    if tuple(x.shape[-count:]) != tuple(sample) or (leading and x.ndim - count not in leading):
        sizes = ", ".join(map(str, sample))
        expected = f"({'n' if leading else '*'}, {sizes}): {meaning}"
        raise ShapeError([Violation("x/shape", "x", f"shape {tuple(x.shape)}", expected)])


def described(spec: Spec, always: Sequence[str] = (), regions: int | None = None) -> str:
    """Return channels and settings as layers print them: those named, and those that differ from their defaults."""
    ones, zeros = (1,) * spec.rank, ((0, 0),) * spec.rank
    usual = {"input_size": (), "kernel_size": (), "stride": ones, "padding": zeros, "dilation": ones, "groups": 1}
    usual |= {"bias": "position", "shared": (False,) * spec.rank, "channel_table": None}
    settings = {name: getattr(spec, name) for name in usual}
    shown = [f"{name}={value!r}" for name, value in settings.items() if name in always or value != usual[name]]
    counted = [] if regions is None else [f"{regions} regions"]
    return ", ".join([str(spec.in_channels), str(spec.out_channels), *shown, *counted])
