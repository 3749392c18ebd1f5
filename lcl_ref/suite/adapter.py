"""What a backend is: a declaration, readable without its framework, and `prepare`, which returns a layer to call.

Golden data, users' layers and other languages all meet the suite through this protocol; `backends/README.md` is the
tutorial.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from lcl_ref.core.padding import resolve
from lcl_ref.core.spec import Spec

Holds = Literal["tiles", "windows", "dense_matrix", "products"]
SharingKind = Literal["none", "some", "all"]
Result = Literal["y", "dx", "dw", "db"]


@dataclass(frozen=True)
class Operation:
    """What an operation takes and gives, by the names of the golden data.

    Parameters
    ----------
    operands, results : tuple of str
        Names as in `Spec.operand_shapes` and `Spec.result_shapes`; ``bias`` and ``db`` only where there is a bias.
    called : mapping of str to str
        Name -> what the operation itself calls it, where that differs.
    """

    operands: tuple[str, ...]
    results: tuple[Result, ...]
    called: Mapping[str, str] = field(default_factory=dict)


OPERATIONS: Mapping[str, Operation] = {
    "forward": Operation(("x", "weight", "bias"), ("y",)),
    "vjp": Operation(("x", "weight", "bias", "dy"), ("dx", "dw", "db")),
    "transpose": Operation(("dy", "weight"), ("dx",), {"dy": "y", "dx": "xt"}),
}
"""Every operation. Transpose takes dy to dx, so that it needs no golden data of its own."""

OPS = tuple(OPERATIONS)
OPERANDS = tuple(dict.fromkeys(name for operation in OPERATIONS.values() for name in operation.operands))
RESULTS = tuple(dict.fromkeys(name for operation in OPERATIONS.values() for name in operation.results))


def sharing_kind(spec: Spec) -> SharingKind:
    """Return how far weights are shared over positions; rank 0 has one position and counts as ``"none"``."""
    if not any(spec.shared):
        return "none"
    return "all" if all(spec.shared) else "some"


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What an adapter supports, as data; the matrix, the docs table and the refusals are all made from it.

    Parameters
    ----------
    ranks : sequence of int
        Spatial ranks.
    stride : {"any", "kernel", "whole_input"}
        ``"kernel"``: only windows that tile the input, ``stride == kernel_size`` and ``input == output * kernel``.
        ``"whole_input"``: only one window, which is the input.
    dilation, groups, channel_table : bool
        Whether more than the trivial setting is supported.
    padding : "any" or sequence of str
        Names of the padding rules supported; pairs are accepted where they equal what one of the names gives.
    sharing : sequence of {"none", "some", "all"}
        Along how many position axes weights may be shared.
    bias : sequence of str
        Bias kinds.
    dtypes : sequence of str
        NumPy or ml_dtypes names.
    ops : sequence of str
        Of `OPS`.
    empty_batch : bool
        Whether a batch of 0 works.
    nonfinite : bool
        Whether an inf or NaN reaches exactly the outputs whose window holds it (SPEC clause 7.3).
    flushes : sequence of str
        Dtypes in which subnormal numbers are taken, or given, as zero (SPEC clause 8.9).
    max_positions : int or None
        Most positions of a layer, where going through them one by one takes too long.
    max_matrix : int or None
        Most elements of the matrix from all inputs to all outputs, where the route fills one.
    accumulation : mapping of str to str
        Dtype, or dtype/operation (``"float16/vjp"``), -> the format its sums are kept in, where that is not the
        expected one (SPEC clause 8.3): float32 for half types, else the dtype itself.
    why : mapping of str to str
        For every limit above, by its name, the reason in one sentence.
    declines : mapping of str to str
        Glob over ids of checks that may be declined (SPEC clauses 8.5, 8.7 and 8.8), such as ``memory/negative-stride``
        or ``state/threads`` -> the reason in one sentence.
    """

    ranks: Sequence[int] = (0, 1, 2, 3)
    stride: Literal["any", "kernel", "whole_input"] = "any"
    dilation: bool = True
    padding: Literal["any"] | Sequence[str] = "any"
    groups: bool = True
    channel_table: bool = False
    sharing: Sequence[SharingKind] = ("none", "some", "all")
    bias: Sequence[str] = ("none", "channel", "position")
    dtypes: Sequence[str] = ("float32", "float64")
    ops: Sequence[str] = OPS
    empty_batch: bool = True
    nonfinite: bool = True
    flushes: Sequence[str] = ()
    max_positions: int | None = None
    max_matrix: int | None = None
    accumulation: Mapping[str, str] = field(default_factory=dict)
    why: Mapping[str, str] = field(default_factory=dict)
    declines: Mapping[str, str] = field(default_factory=dict)

    def refusal(self, spec: Spec, dtype: str, op: str, tags: Sequence[str] = ()) -> str | None:
        """Return why this is unsupported, or None where it is supported."""
        for name, refused, what in self._limits(spec, dtype, op, tags):
            if refused:
                return f"{what}: {self.why[name]}" if name in self.why else what
        return None

    def _limits(self, spec: Spec, dtype: str, op: str, tags: Sequence[str]) -> list[tuple[str, bool, str]]:
        """Return ``(capability, whether it rules this out, the words for it)``, most basic first."""
        kind = sharing_kind(spec)
        table = spec.channel_table is not None
        return [
            ("ranks", spec.rank not in self.ranks, f"no rank {spec.rank}"),
            ("ops", op not in self.ops, f"no {op}"),
            ("dtypes", dtype not in self.dtypes, f"no {dtype}"),
            ("sharing", kind not in self.sharing, f"no layer with {kind} of the position axes shared"),
            ("stride", self.stride == "kernel" and not _tiles(spec), "windows must tile the input"),
            ("stride", self.stride == "whole_input" and not _is_dense(spec), "the window must be the input"),
            ("dilation", not self.dilation and any(d != 1 for d in spec.dilation), "no dilation"),
            ("padding", not _padding_known(self.padding, spec), f"no padding {spec.padding}"),
            ("groups", not self.groups and spec.groups != 1, "no groups"),
            ("channel_table", not self.channel_table and table, "no connection table"),
            ("bias", spec.bias not in self.bias, f"no bias of kind {spec.bias!r}"),
            ("empty_batch", not self.empty_batch and "empty-batch" in tags, "no batch of 0"),
            ("nonfinite", not self.nonfinite and "nonfinite" in tags, "no isolation of inf and NaN"),
            ("flushes", dtype in self.flushes and "subnormal" in tags, f"no subnormal numbers in {dtype}"),
            ("max_positions", _above(_positions(spec), self.max_positions), f"{_positions(spec)} positions"),
            ("max_matrix", _above(_matrix(spec), self.max_matrix), f"a matrix of {_matrix(spec)} elements"),
        ]


def _above(size: int, most: int | None) -> bool:
    return most is not None and size > most


def _positions(spec: Spec) -> int:
    return math.prod(spec.output_size)


def _matrix(spec: Spec) -> int:
    return math.prod(spec.x_shape(1)) * math.prod(spec.y_shape(1))


def _is_dense(spec: Spec) -> bool:
    return spec.kernel_size == spec.input_size and not any(map(any, spec.padding))


def _tiles(spec: Spec) -> bool:
    tiled = tuple(o * k for o, k in zip(spec.output_size, spec.kernel_size, strict=True))
    return spec.stride == spec.kernel_size and tiled == spec.input_size


def _padding_known(names: Literal["any"] | Sequence[str], spec: Spec) -> bool:
    return names == "any" or any(padding_is(spec, name) for name in names)


def padding_is(spec: Spec, name: str) -> bool:
    """Return whether the layer's pairs are what padding rule `name` gives for it."""
    geometry = zip(spec.input_size, spec.kernel_size, spec.stride, spec.dilation, strict=True)
    return spec.padding == tuple(resolve(name, *axis) for axis in geometry)


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """Who an adapter is and what it can do; everything after `capabilities` may be left out.

    Parameters
    ----------
    name : str
        ``<framework>.<route>``, the registered name.
    framework, layout : str
        Name of the distribution whose version the report shows; layout (`lcl layouts`) of the weight it gets.
    modules : sequence of str
        Modules that must import for the adapter to be available.
    summary : str
        One sentence: how the route computes the layer.
    capabilities : Capabilities
        What it supports.
    aliases : sequence of str
        Further names that ``-b`` accepts; a report calls the backend what it was asked by.
    environment : mapping of str to str
        Variables its process needs before the first of `modules` is imported.
    without : sequence of str
        Modules that `modules` import where they find them and that the layer does not need: they are not to be found
        while `modules` are imported, which takes half as long.
    own_process : bool
        Whether no other backend may run in its process, before or after it.
    by_name : bool
        Whether only its own name selects it, and no glob: it takes long.
    recommended : bool
        Whether it is the route to use with its framework: what ``lcl bench`` measures without being told names.
    published : bool
        Whether it calls a layer that people install as it is: what ``lcl bench`` compares routes with.
    family : str
        What it runs on, where that is not the first of `modules`: ``lcl bench`` compares backends of one family.
    holds : {"windows", "tiles", "dense_matrix", "products"}
        The largest thing a call holds besides operands and results: every window, some windows at a time, a matrix from
        all inputs to all outputs, or every product before it is summed. ``lcl bench`` estimates memory from it.
    vjp_computes_output : bool
        Whether `vjp` computes the output on its way; where it does not, a training step calls `forward` as well.
    live_layouts : sequence of str
        Layouts whose arrays its framework's own layer takes as a file stores them (`LiveAdapter`).
    """

    name: str
    framework: str
    modules: Sequence[str]
    summary: str
    layout: str
    capabilities: Capabilities
    aliases: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    without: Sequence[str] = ()
    own_process: bool = False
    by_name: bool = False
    recommended: bool = False
    published: bool = False
    family: str = ""
    holds: Holds = "windows"
    vjp_computes_output: bool = True
    live_layouts: Sequence[str] = ()


class Prepared(Protocol):
    """A layer holding its weights.

    Arrays go in as canonical NumPy and come out as anything `numpy.asarray` or DLPack takes. A layer whose data may be
    tensors of its framework too has a mapping ``views``, of words to functions that make a tensor of an array; each
    gives a tensor that is a view, and the check ``memory/native`` asks with it. A layer whose framework transforms
    functions may have the methods that the checks ``transform/*`` ask: ``jvp(x, x_dot, direction) -> (y, y_dot)``,
    with a layer of the same spec that holds the direction of weight and bias; ``second_derivative(x, dy, x_dot,
    direction) -> (that in dy, in x, in weight)``; ``mapped(layers=None)``, a layer of stacks, over the weights of
    `layers` where they are given; ``compiled()``, layers by the words for how they are run; ``exported(x)``, a layer.
    """

    def forward(self, x: Any) -> Any:
        """Return ``y (n, o*, co)`` of ``x (n, i*, ci)``."""

    def vjp(self, x: Any, dy: Any) -> tuple[Any, Any, Any]:
        """Return ``(dx, dw, db)`` in canonical shapes; db is None without bias."""

    def transpose(self, y: Any) -> Any:
        """Return ``xt (n, i*, ci)`` of ``y (n, o*, co)``."""


class Adapter(Protocol):
    """A backend: its declaration, and how to build a layer from canonical weights."""

    declaration: Declaration

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> Prepared:
        """Convert canonical weights once and return the layer holding them; `dtype` is that of weight, bias and x."""


class LiveAdapter(Adapter, Protocol):
    """A backend that can hold the arrays of a weight file as they are: the old side of ``lcl verify-port``."""

    def prepare_stored(self, spec: Spec, layout: str, weight: Any, bias: Any) -> Prepared:
        """Return the layer holding arrays in `layout`, one of the declared ``live_layouts``.

        A layer with a mapping ``settings`` tells what it was built with, by the names the file uses.
        """


class Unsupported(Exception):  # noqa: N818 -- a declaration of the layer, not an error
    """The layer does not offer this operation."""


def operation(layer: Any, op: str) -> Any:
    """Return the function of `layer` for `op`.

    Raises
    ------
    Unsupported
        If it has none.
    """
    function = getattr(layer, op, None)
    if function is None:
        raise Unsupported(f"the layer has no {op}")
    return function
