"""The extensions of SPEC clause 14, and what a case of theirs is.

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
    "regions": Kind(
        clause="14.10",
        what="positions of a region share one weight, by a map from position to region",
        limits="one region: a convolution; as many as positions: the plain layer",
        operands=("x", "regions", "kernels", "bias", "dy"),
        results=("y", "dx", "dkernels", "db"),
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
        scales, ``bias`` of the transposed layer, ``regions``: counts per axis, or the map.
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
