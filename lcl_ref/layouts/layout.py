"""What a layout is: one row of the catalogue, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lcl_ref.core.axes import spatial_names
from lcl_ref.core.spec import Spec
from lcl_ref.layouts.pattern import Axes, single_axes

Form = Literal["taps", "dense", "live"]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How one implementation stores weight and bias. Patterns are written as `lcl_ref.layouts.pattern` describes.

    Parameters
    ----------
    name : str
        The name users write.
    of : str
        Whose layout it is, in a few words.
    source : str
        Where it is defined.
    version : str
        The version that was read or run.
    ranks : sequence of int
        Spatial ranks the source has.
    weight : str
        Pattern of the weight. An axis it leaves out must have length 1.
    bias : mapping of str to str
        Bias kind -> pattern. A layer with the other kind is broadcast, or collapsed where all positions agree.
    form : {"taps", "dense", "live"}
        ``"taps"``: every tap of every position is stored. ``"dense"``: a matrix from all input sites to all positions
        (``i*`` in the pattern). ``"live"``: one vector of the taps that fall inside the input, in the pattern's order.
    flipped : bool
        Whether taps are stored in reverse order (the source convolves instead of correlating).
    bias_reported : str
        Pattern of the shape the bias array carries, where that is not the order of its elements.
    bias_outside : bool
        Whether the operation takes no bias; the bias then stays canonical, for the caller to add to the output.
    memory : {"C", "F"}
        Memory order of the stored weight.
    groups, shared, table : bool
        Whether the layout holds more than one group, weights shared along some axes, a connection table.
    regions : sequence, optional
        Counts per axis, or the map, where weights are stored once per region: axis ``r`` of the patterns.
    why : mapping of str to str
        Reason for a limit, by its name (``ranks``, ``groups``, ``shared``, ``absent``).
    loses : str
        What does not survive, or empty.
    note : str
        What a reader must know beside the layout, or empty.
    checked : {"live", "loop"}
        Whether the tests run the framework itself, or loops written from its documented formula.

    Examples
    --------
    >>> import lcl_ref as lcl
    >>> layout = lcl.layouts.LAYOUTS["keras2/impl1/channels_last"]
    >>> layout.weight, layout.groups
    ('(o*) (k* cg) co', False)
    """

    name: str
    of: str
    source: str
    version: str
    ranks: Sequence[int]
    weight: str
    bias: Mapping[str, str]
    form: Form = "taps"
    flipped: bool = False
    bias_reported: str = ""
    bias_outside: bool = False
    memory: Literal["C", "F"] = "C"
    groups: bool = False
    shared: bool = False
    table: bool = False
    regions: Sequence[Any] | None = None
    why: Mapping[str, str] = field(default_factory=dict)
    loses: str = ""
    note: str = ""
    checked: Literal["live", "loop"] = "loop"

    def refusal(self, spec: Spec) -> str | None:
        """Return why this layout cannot hold the layer's weights, or None where it can.

        Examples
        --------
        >>> import lcl_ref as lcl
        >>> spec = lcl.Spec(input_size=(5, 4), in_channels=2, out_channels=4, kernel_size=2, groups=2)
        >>> lcl.layouts.get("keras2/impl1/channels_last").refusal(spec)
        'it holds one group of channels: the source has no groups'
        """
        for limit, broken, what in self._limits(spec):
            if broken:
                return f"{what}: {self.why[limit]}" if limit in self.why else what
        return self._absent(spec)

    def _limits(self, spec: Spec) -> list[tuple[str, bool, str]]:
        ranks = ", ".join(map(str, self.ranks))
        partly = spec.weight_size != spec.output_size
        return [
            ("ranks", spec.rank not in self.ranks, f"it has rank {ranks}, the layer has rank {spec.rank}"),
            ("table", spec.channel_table is not None and not self.table, "it holds no connection table"),
            ("groups", spec.groups > 1 and not self.groups, "it holds one group of channels"),
            ("shared", partly and not self.shared, "it holds one kernel per position, none shared"),
        ]

    def _absent(self, spec: Spec) -> str | None:
        """Return which axis longer than 1 the pattern has no place for."""
        if self.form != "taps":
            return None
        stored = single_axes(self.weight, spec.rank)
        if "r" in stored:
            stored += ["o" + name for name in spatial_names(spec.rank)]
        for name, size in Axes.of_weight(spec).lengths.items():
            if name not in stored and size > 1 and not name.startswith("i"):
                what = f"it has no axis {name}, along which the layer has {size} elements"
                return f"{what}: {self.why['absent']}" if "absent" in self.why else what
        return None
