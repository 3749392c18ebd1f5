"""`Spec`: one frozen description of a layer, checked once, from which every size is derived (SPEC clauses 1 to 6)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal, Never

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core import _spec_arguments, _spec_rules
from lcl_ref.core._spec_arguments import Pairs, Problems, Sizes
from lcl_ref.core.padding import live_taps, output_size
from lcl_ref.errors import SpecError

Bias = Literal["none", "channel", "position"]
Size = int | Sequence[int]
Padding = str | int | Sequence[str | int | Sequence[int]]
ChannelTable = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, init=False)
class Spec:
    """A locally connected layer: unshared convolution, with convolution and block-diagonal linear as its ends.

    Parameters
    ----------
    input_size : int or sequence of int
        Spatial sizes of the input, in elements; its length (0 to 3) is the rank. ``()`` is the block-diagonal linear
        map.
    in_channels, out_channels : int
        Channel counts, at least 1.
    kernel_size, stride, dilation : int or sequence of int
        Taps per window, step between positions, step between taps; an int serves every axis.
    padding : str, int or sequence
        A name (`lcl_ref.core.padding.PADDING_RULES`), zeros on both sides, or per axis a name, an int or a pair
        ``(lo, hi)``. Stored as pairs.
    groups : int
        Divides both channel counts; output channel f sees input channels ``(f // (out_channels / groups)) * Cg + c``.
    shared : bool or sequence of bool
        Axes along which all positions share one weight (all: convolution; none: locally connected).
    bias : {"position", "channel", "none"}
        One number per position and channel, per channel, or no bias.
    channel_table : sequence of sequence of int, optional
        ``(out_channels, Cg)`` input channels of each output channel: the general rule that replaces `groups`.

    Raises
    ------
    SpecError
        If any rule is broken; the error lists all of them.

    Notes
    -----
    SPEC clauses 1 (geometry), 2 (padding), 3 (layout), 4 (groups and table), 5 (sharing), 6 (rank 0).

    Examples
    --------
    >>> import lcl_ref as lcl
    >>> spec = lcl.Spec(input_size=(9, 8), in_channels=5, out_channels=7, kernel_size=(3, 2), stride=2,
    ...                 padding="same_upper")
    >>> spec.output_size, spec.padding
    ((5, 4), ((1, 1), (0, 0)))
    >>> spec.weight_shape, spec.bias_shape
    ((5, 4, 3, 2, 5, 7), (5, 4, 7))
    >>> spec.fan_in, spec.parameter_count, spec.connection_count
    (30, 4340, 3640)
    """

    input_size: Sizes
    in_channels: int
    out_channels: int
    kernel_size: Sizes
    stride: Sizes
    padding: Pairs
    dilation: Sizes
    groups: int
    shared: tuple[bool, ...]
    bias: Bias
    channel_table: ChannelTable | None

    def __init__(
        self,
        *,
        input_size: Size,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Padding = "valid",
        dilation: Size = 1,
        groups: int = 1,
        shared: bool | Sequence[bool] = False,
        bias: Bias = "position",
        channel_table: Sequence[Sequence[int]] | None = None,
        **unknown: Never,
    ) -> None:
        problems: Problems = _spec_rules.unknown_names(unknown, [field.name for field in fields(self)])
        size = _spec_arguments.input_size(problems, input_size)
        rank = len(size)
        kernel = _spec_arguments.sizes(problems, "kernel_size", kernel_size, rank)
        steps = _spec_arguments.sizes(problems, "stride", stride, rank)
        spread = _spec_arguments.sizes(problems, "dilation", dilation, rank)
        pairs = _spec_arguments.padding_pairs(problems, padding, size, kernel, steps, spread)
        values: dict[str, Any] = {
            "input_size": size,
            "in_channels": _spec_arguments.as_int(problems, "in_channels", in_channels, 1),
            "out_channels": _spec_arguments.as_int(problems, "out_channels", out_channels, 1),
            "kernel_size": kernel,
            "stride": steps,
            "padding": pairs,
            "dilation": spread,
            "groups": _spec_arguments.as_int(problems, "groups", groups, 1),
            "shared": _spec_arguments.flags(problems, "shared", shared, rank),
            "bias": bias,
            "channel_table": channel_table,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        _spec_rules.check_bias(problems, bias)
        _spec_rules.check_windows(problems, values)
        _spec_rules.check_channels(problems, values)
        if problems:
            raise SpecError(problems)
        if channel_table is not None:
            object.__setattr__(self, "channel_table", tuple(tuple(map(int, row)) for row in channel_table))

    @property
    def rank(self) -> int:
        """Number of spatial axes, 0 to 3."""
        return len(self.input_size)

    @cached_property
    def output_size(self) -> Sizes:
        """``floor((input + lo + hi - dilation * (kernel - 1) - 1) / stride) + 1`` per axis (SPEC 1.2)."""
        return tuple(map(output_size, self.input_size, self.kernel_size, self.stride, self.padding, self.dilation))

    @property
    def group_channels(self) -> int:
        """Input channels that one output channel sees, Cg."""
        return self.in_channels // self.groups if self.channel_table is None else len(self.channel_table[0])

    @cached_property
    def channels(self) -> NDArray[np.intp]:
        """``(co, cg)`` input channel read by output channel f through weight channel c (SPEC 4.1)."""
        if self.channel_table is not None:
            return np.array(self.channel_table, dtype=np.intp)
        group = np.arange(self.out_channels) // (self.out_channels // self.groups)
        return group[:, None] * self.group_channels + np.arange(self.group_channels)

    @property
    def weight_size(self) -> Sizes:
        """Position axes of the weight: the output size, with 1 along shared axes (SPEC 5.1)."""
        return tuple(1 if shared else size for shared, size in zip(self.shared, self.output_size, strict=True))

    @property
    def weight_shape(self) -> Sizes:
        """``(o*, k*, cg, co)``: ``weight[oy, ox]`` is the HWIO kernel of that position (SPEC 3.2)."""
        return (*self.weight_size, *self.kernel_size, self.group_channels, self.out_channels)

    @property
    def bias_shape(self) -> Sizes | None:
        """``(o*, co)`` per position, ``(co,)`` per channel, None without bias (SPEC 3.3)."""
        if self.bias == "none":
            return None
        return (*self.output_size, self.out_channels) if self.bias == "position" else (self.out_channels,)

    def x_shape(self, batch: int) -> Sizes:
        """Return ``(n, i*, ci)`` for a batch of `batch` samples (SPEC 3.1).

        Examples
        --------
        >>> Spec(input_size=(4, 3), in_channels=2, out_channels=5, kernel_size=2).x_shape(6)
        (6, 4, 3, 2)
        """
        return (batch, *self.input_size, self.in_channels)

    def y_shape(self, batch: int) -> Sizes:
        """Return ``(n, o*, co)`` for a batch of `batch` samples (SPEC 3.1).

        Examples
        --------
        >>> Spec(input_size=(4, 3), in_channels=2, out_channels=5, kernel_size=2).y_shape(6)
        (6, 3, 2, 5)
        """
        return (batch, *self.output_size, self.out_channels)

    def operand_shapes(self, batch: int) -> dict[str, Sizes]:
        """Return the shapes of x, weight, bias (where there is one) and dy for a batch of `batch` samples.

        In the order in which `lcl_ref.vjp` takes them. The y that `lcl_ref.transpose` takes has the shape of dy.

        Examples
        --------
        >>> spec = Spec(input_size=4, in_channels=2, out_channels=3, kernel_size=2, bias="channel")
        >>> spec.operand_shapes(5)
        {'x': (5, 4, 2), 'weight': (3, 2, 2, 3), 'bias': (3,), 'dy': (5, 3, 3)}
        """
        shapes = {"x": self.x_shape(batch), "weight": self.weight_shape}
        if self.bias_shape is not None:
            shapes["bias"] = self.bias_shape
        return shapes | {"dy": self.y_shape(batch)}

    def result_shapes(self, batch: int) -> dict[str, Sizes]:
        """Return the shapes of y, dx, dw and db (where there is a bias) for a batch of `batch` samples.

        A gradient has the shape of its operand. The result of `lcl_ref.transpose` has the shape of dx.

        Examples
        --------
        >>> spec = Spec(input_size=4, in_channels=2, out_channels=3, kernel_size=2, bias="none")
        >>> spec.result_shapes(5)
        {'y': (5, 3, 3), 'dx': (5, 4, 2), 'dw': (3, 2, 2, 3)}
        """
        shapes = {"y": self.y_shape(batch), "dx": self.x_shape(batch), "dw": self.weight_shape}
        return shapes if self.bias_shape is None else shapes | {"db": self.bias_shape}

    @property
    def fan_in(self) -> int:
        """Products per output element: taps times Cg."""
        return math.prod(self.kernel_size) * self.group_channels

    @property
    def parameter_count(self) -> int:
        """Stored numbers: weight and bias."""
        return math.prod(self.weight_shape) + (0 if self.bias_shape is None else math.prod(self.bias_shape))

    @property
    def connection_count(self) -> int:
        """Pairs of one input element and one output element that a tap inside the input connects."""
        axes = map(live_taps, self.input_size, self.kernel_size, self.stride, self.padding, self.dilation)
        return math.prod(axes) * self.group_channels * self.out_channels

    def to_dict(self) -> dict[str, Any]:
        """Return the normalised fields as JSON-ready values; ``channel_table`` only where there is one.

        Examples
        --------
        >>> spec = Spec(input_size=4, in_channels=2, out_channels=3, kernel_size=2)
        >>> spec.to_dict()["padding"]
        [[0, 0]]
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.channel_table is None:
            del values["channel_table"]
        plain: dict[str, Any] = json.loads(json.dumps(values))
        return plain

    def to_json(self) -> str:
        """Return the normalised fields as one line of JSON; the inverse of `from_json`.

        Examples
        --------
        >>> spec = Spec(input_size=4, in_channels=2, out_channels=3, kernel_size=2)
        >>> Spec.from_json(spec.to_json()) == spec
        True
        """
        return json.dumps(self.to_dict())

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Spec:
        """Build a layer from `to_dict`'s form (any constructor argument may stand there).

        Raises
        ------
        SpecError
            If a field is unknown, missing, or breaks a rule.

        Examples
        --------
        >>> spec = Spec(input_size=4, in_channels=2, out_channels=3, kernel_size=2)
        >>> Spec.from_dict(spec.to_dict() | {"stride": 2}).output_size
        (2,)
        """
        _spec_rules.check_names(values, [field.name for field in fields(cls)])
        return cls(**values)

    @classmethod
    def from_json(cls, text: str) -> Spec:
        """Build a layer from the text `to_json` wrote.

        Raises
        ------
        SpecError
            If the text is not a JSON object, or breaks a rule.

        Examples
        --------
        >>> text = '{"input_size": 4, "in_channels": 2, "out_channels": 3, "kernel_size": 2}'
        >>> Spec.from_json(text).weight_shape
        (3, 2, 2, 3)
        """
        return cls.from_dict(_spec_arguments.json_object(text))
