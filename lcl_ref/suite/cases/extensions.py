"""The cases of the extensions, as data: layers of SPEC clause 14 that a port which has them must get right.

Operands and golden results are in ``conformance_data/extensions.safetensors``; `KINDS` says which arrays a case has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lcl_ref.core.spec import Spec


@dataclass(frozen=True, kw_only=True)
class Kind:
    """An extension.

    Parameters
    ----------
    clause : str
        Clause of SPEC.md.
    what : str
        What it adds.
    limits : str
        Where it is the plain layer, or another known one, exactly.
    operands, results : tuple of str
        Arrays of a case, by name; ``bias`` and ``db`` only where there is a bias.
    """

    clause: str
    what: str
    limits: str
    operands: tuple[str, ...]
    results: tuple[str, ...]


KINDS: Mapping[str, Kind] = {
    "pruned": Kind(
        clause="14.1",
        what="connections that are cut off are neither stored nor multiplied",
        limits="all kept: the plain layer; none kept: its bias",
        operands=("x", "weight", "mask", "bias", "dy"),
        results=("y", "dx", "dw", "db"),
    ),
    "adaptive": Kind(
        clause="14.2",
        what="a radius per position, which can be learned, says how far it reads",
        limits="a radius of the largest distance: the plain layer; -1: its bias",
        operands=("x", "weight", "radius", "bias", "dy"),
        results=("y", "dx", "dw", "dradius", "db"),
    ),
    "low-rank": Kind(
        clause="14.3",
        what="every position mixes a few kernels that all positions share",
        limits="one kernel: a convolution; as many as positions: the plain layer",
        operands=("x", "mixing", "kernels", "bias", "dy"),
        results=("y", "dx", "dmixing", "dkernels", "db"),
    ),
    "unequal": Kind(
        clause="14.4",
        what="blocks of unequal sizes in one product",
        limits="equal sizes: `groups` at rank 0",
        operands=("x", "weight", "bias", "dy"),
        results=("y", "dx", "dw", "db"),
    ),
    "borders": Kind(
        clause="14.5",
        what="circular, reflected and replicated borders",
        limits="no padding: the plain layer",
        operands=("x", "weight", "bias", "dy"),
        results=("y", "dx", "dw", "db"),
    ),
    "transposed": Kind(
        clause="14.6",
        what="from positions back to sites, with a bias per site",
        limits="no bias: `transpose`; one weight: the transposed convolution",
        operands=("y", "weight", "bias", "dz"),
        results=("z", "dy", "dw", "db"),
    ),
    "quantised": Kind(
        clause="14.8",
        what="int8 weights and inputs, int32 sums, a scale per position and output",
        limits="whole numbers with scales of 1: the plain layer",
        operands=("x", "weight"),
        results=("scale", "quantised", "sums"),
    ),
}
"""Name -> what it is; the second part of a case id."""


@dataclass(frozen=True, kw_only=True)
class ExtensionCase:
    """A layer of an extension.

    Parameters
    ----------
    id : str
        ``extension/<kind>/<name>``; never renumbered, never reused.
    why : str
        The mistake this case catches, in one sentence.
    spec : Spec or None
        The plain layer that is extended; None for unequal blocks, which have sizes of their own.
    batch : int
        Samples.
    settings : mapping
        What the extension adds: ``rule`` of a border, ``rank`` of low-rank sharing, ``sizes`` of blocks, ``per`` of
        scales, ``bias`` of the transposed layer.
    values : {"exact", "nonfinite"}
        Whole numbers compared bit for bit, or whole numbers with inf and NaN planted into x, forward only.
    """

    id: str
    why: str
    spec: Spec | None
    batch: int = 2
    settings: Mapping[str, Any] = field(default_factory=dict)
    values: str = "exact"

    @property
    def kind(self) -> str:
        """The middle part of the id."""
        return self.id.split("/")[1]

    @property
    def clauses(self) -> tuple[str, ...]:
        """The clause of the extension."""
        return (KINDS[self.kind].clause,)

    @property
    def layer(self) -> Spec:
        """The plain layer of a case that has one."""
        assert self.spec is not None
        return self.spec


def _case(name: str, why: str, *, batch: int = 2, values: str = "exact", settings: Any = None, **layer: Any) -> Any:
    spec = Spec(**layer) if layer else None
    return ExtensionCase(
        id=f"extension/{name}", why=why, spec=spec, batch=batch, settings=settings or {}, values=values
    )


LINE: Mapping[str, Any] = {"input_size": 9, "in_channels": 3, "out_channels": 4}
IMAGE: Mapping[str, Any] = {
    "input_size": (5, 6),
    "in_channels": 4,
    "out_channels": 6,
    "kernel_size": (3, 2),
    "groups": 2,
}

EXTENSION_CASES: tuple[ExtensionCase, ...] = (
    _case(
        "pruned/blocks",
        "catches a mask laid over the dense matrix of blocks instead of over their weights",
        batch=3,
        input_size=(),
        in_channels=6,
        out_channels=4,
        kernel_size=(),
        groups=2,
    ),
    _case(
        "pruned/padding",
        "catches a gather that reads taps outside the input, and cotangents of what is cut off",
        **IMAGE,
        padding=((1, 0), (0, 2)),
        bias="channel",
    ),
    _case(
        "pruned/shared",
        "catches a mask per position where the weight, and so the mask, is shared along an axis",
        **IMAGE,
        stride=(2, 1),
        shared=(True, False),
    ),
    _case(
        "pruned/no-leak",
        "catches a weight of zero in the place of no connection: an infinity or NaN leaks through it",
        values="nonfinite",
        **LINE,
        kernel_size=4,
        stride=2,
    ),
    _case(
        "adaptive/odd-window",
        "catches gates that are all or nothing: a tap on the slope counts in proportion",
        **LINE,
        kernel_size=7,
        padding=2,
    ),
    _case(
        "adaptive/even-window",
        "catches a middle taken to be a tap: in an even window all distances are halves; the largest axis counts",
        **{**IMAGE, "kernel_size": (4, 3)},
        padding="same_upper",
        bias="channel",
    ),
    _case(
        "low-rank/one-kernel",
        "catches mixing that is applied to the input: one kernel, another factor at every position",
        settings={"rank": 1},
        **LINE,
        kernel_size=3,
        stride=2,
    ),
    _case(
        "low-rank/three-kernels",
        "catches mixing numbers and kernels paired in another order",
        settings={"rank": 3},
        **IMAGE,
        stride=(2, 1),
        padding=1,
        bias="channel",
    ),
    _case(
        "unequal/three-blocks",
        "catches blocks cut at multiples of the largest or the first size",
        batch=3,
        settings={"sizes": [[2, 3], [4, 1], [1, 5]]},
    ),
    _case(
        "borders/circular",
        "catches the wrong end of the input, per axis and side",
        settings={"rule": "circular"},
        **IMAGE,
        padding=((2, 1), (1, 3)),
    ),
    _case(
        "borders/reflect",
        "catches an edge that is repeated",
        settings={"rule": "reflect"},
        **IMAGE,
        padding=((2, 1), (1, 3)),
    ),
    _case(
        "borders/replicate",
        "catches a corner that is zero, and cotangents of the border that are lost",
        settings={"rule": "replicate"},
        **IMAGE,
        padding=((2, 1), (1, 3)),
        stride=(1, 2),
        bias="channel",
    ),
    _case(
        "borders/circular-whole-input",
        "catches a limit below the size of the input: it may be repeated once as a whole on either side",
        settings={"rule": "circular"},
        **LINE,
        kernel_size=3,
        dilation=4,
        padding=9,
        bias="none",
    ),
    _case(
        "transposed/gaps",
        "catches a bias that is missing at sites no window covers",
        settings={"bias": "site"},
        **LINE,
        kernel_size=2,
        stride=3,
    ),
    _case(
        "transposed/padding",
        "catches windows that overwrite each other, and weights not exchanged within their group",
        settings={"bias": "channel"},
        **IMAGE,
        padding=((1, 0), (2, 1)),
        bias="none",
    ),
    _case(
        "quantised/ties",
        "catches halves rounded away from zero: every scale is a power of two",
        settings={"per": "position and output"},
        **IMAGE,
        bias="none",
    ),
    _case(
        "quantised/one-scale",
        "catches a scale per position where there is one for the layer, and sums kept in 16 bits",
        settings={"per": "layer"},
        **LINE,
        kernel_size=5,
        padding=2,
        bias="none",
    ),
)
"""In the order of the clauses."""


def table() -> str:
    """Return the extensions as a Markdown table: what they add, their limits, modules and cases."""
    lines = ["| clause | extension | limits | module | cases |", "|---|---|---|---|---|"]
    for name, kind in KINDS.items():
        module = f"[{name}](../lcl_ref/extensions/{name.replace('-', '_')}.py)"
        cases = ", ".join(f"`{case.id.rpartition('/')[2]}`" for case in EXTENSION_CASES if case.kind == name)
        lines.append(f"| {kind.clause} | {kind.what} | {kind.limits} | {module} | {cases} |")
    return "\n".join(lines)
