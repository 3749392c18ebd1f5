"""`fill`: the layers of a model and those of a stored network, paired, checked, and only then written."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lcl_ref.errors import LayoutError, Violation
from lcl_ref.files.opening import open_weights
from lcl_ref.porting.slots import Arrays, Choices, Slot
from lcl_ref.porting.stored import Layer, Misfit, layers_of

FRAMEWORKS = {
    "keras": ("keras", "Layer"),  # first: a layer of Keras is one of its backend, too
    "torch": ("torch.nn", "Module"),
    "nnx": ("flax.nnx", "Module"),
    "linen": ("flax.linen", "Module"),
    "mlx": ("mlx.nn", "Module"),
}
"""Module of this room -> the class that its models are of."""


@dataclass(frozen=True)
class Filled:
    """What `fill` did.

    Parameters
    ----------
    model : object
        The filled model; of flax.linen, a new one that is bound to the filled variables.
    pairs : tuple of (str, str)
        Stored layers, and where in the model they went.
    left, unfilled : tuple of str
        Stored layers that went nowhere, and layers of the model that got nothing (``strict=False``).

    Examples
    --------
    >>> print(Filled(None, (("conv", "features.0"),), left=("dense",)))
    conv -> features.0
    dense -> nowhere
    """

    model: Any
    pairs: tuple[tuple[str, str], ...]
    left: tuple[str, ...] = ()
    unfilled: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{name} -> {path}" for name, path in self.pairs]
        lines += [f"{name} -> nowhere" for name in self.left] + [f"nothing -> {path}" for path in self.unfilled]
        return "\n".join(lines)


def fill(
    model: Any,
    stored: Path | str,
    *,
    by: str = "names",
    names: Mapping[str, str] | None = None,
    flatten: str | Mapping[str, str] = "",
    layouts: Mapping[str, str] | None = None,
    strict: bool = True,
) -> Filled:
    """Fill a model with the weights of a stored Keras model.

    Parameters
    ----------
    model : object
        A `torch.nn.Module`, `flax.nnx.Module`, `mlx.nn.Module` or built model of Keras 3, filled in place; of
        flax.linen a bound module, ``Net().bind(variables)``, or its variables.
    stored : Path or str
        A file or folder that Keras wrote, or what `lcl convert` made of one, its ``.spec.json`` beside it.
    by : {"names", "order"}
        Pair layers of equal name (the whole path, or else its last part), or one after the other.
    names : mapping of str to str
        Stored layer -> path in the model, of layers that are called otherwise.
    flatten : {"", "channels_last", "channels_first"}, or mapping of str to such
        In which order the model flattens images, for all layers or by stored name. Models of PyTorch must say, where it
        matters; those of other frameworks keep the order of their own.
    layouts : mapping of str to str
        Stored layer -> layout (`lcl layouts`, or a pattern) of a locally connected layer of the model's own.
    strict : bool
        Whether layers that have no partner are refused.

    Returns
    -------
    Filled
        The filled model, and what went where.

    Raises
    ------
    LayoutError
        If layers have no partner, or do not fit theirs: all reasons, and nothing is written.
    FileError
        If the file cannot be read, or tells no layers.

    Examples
    --------
    >>> import torch
    >>> from lcl_ref.porting import fill
    >>> fill(torch.nn.Linear(2, 3), "missing.h5")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    lcl_ref.errors.FileError: missing.h5: got no such file, expected a weight file...
    """
    framework = importlib.import_module(f"lcl_ref.porting.of_{framework_of(model)}")
    with open_weights(Path(stored)) as file:
        layers, slots = layers_of(file), list(framework.slots(model))
        if not layers:
            todo = "describe its layers with a document beside it (lcl inspect prints one), or name the whole model"
            raise LayoutError(Violation("port/layers", file.path.name, "no layers", "a model of Keras", todo=todo))
        pairs = paired(layers, slots, by, names or {})
        taken = {id(one) for pair in pairs for one in pair}
        left = tuple(layer.name for layer in layers if id(layer) not in taken)
        unfilled = tuple(slot.path for slot in slots if id(slot) not in taken)
        wrong = _without_partner(left, unfilled) if strict else []
        planned = []
        for layer, slot in pairs:
            said = flatten if isinstance(flatten, str) else flatten.get(layer.name, "")
            choices = Choices(said or framework.flattens(layer), (layouts or {}).get(layer.name, ""))
            planned.append((slot, _planned(layer, slot, choices, wrong)))
    if wrong:
        raise LayoutError(wrong, context=Path(stored).name)
    for slot, arrays in planned:
        slot.put(arrays)
    named = tuple((layer.name, slot.path) for layer, slot in pairs)
    return Filled(framework.finished(model, planned), named, left, unfilled)


def framework_of(model: Any) -> str:
    """Return the module of this room that knows the model's framework; none is imported.

    Raises
    ------
    LayoutError
        If none does.
    """
    for name, (module, kind) in FRAMEWORKS.items():
        if module in sys.modules and isinstance(model, getattr(sys.modules[module], kind)):
            return name
    if isinstance(model, Mapping) and "params" in model:
        return "linen"
    expected = "a model of torch, flax, mlx or keras, or variables of flax.linen"
    raise LayoutError(Violation("port/model", "model", f"a {type(model).__name__}", expected))


def _planned(layer: Layer, slot: Slot, choices: Choices, wrong: list[Violation]) -> Arrays:
    """Return the arrays for a slot, or none and a reason more."""
    try:
        return slot.checked(layer, choices)
    except Misfit as misfit:
        where = f"layer {layer.name} into {slot.path}"
        wrong.append(Violation("port/layer", where, str(misfit), "a layer that computes the same"))
        return {}


def _without_partner(left: Sequence[str], unfilled: Sequence[str]) -> list[Violation]:
    """Return one reason for all stored layers that go nowhere, and one for all that get nothing."""
    todo = "name the pairs with names={stored: path}, or by='order', or allow it with strict=False"
    told = ((left, "stored layers without a layer in the model"), (unfilled, "layers of the model that get nothing"))
    return [Violation("port/partner", words, ", ".join(found), "none", todo=todo) for found, words in told if found]


def paired(
    layers: Sequence[Layer], slots: Sequence[Slot], by: str, names: Mapping[str, str]
) -> list[tuple[Layer, Slot]]:
    """Return who gets what, in the order of the file.

    Raises
    ------
    LayoutError
        If names are unknown, or there are not as many of one as of the other.
    """
    if by not in ("names", "order"):
        raise LayoutError(Violation("port/by", "by", repr(by), "'names' or 'order'"))
    called = {slot.path: slot for slot in slots}
    known = {layer.name for layer in layers}
    unknown = [f"{name} -> {path}" for name, path in names.items() if name not in known or path not in called]
    if unknown:
        expected = f"stored layers ({', '.join(sorted(known))}) -> layers of the model ({', '.join(called)})"
        raise LayoutError(Violation("port/names", "names", ", ".join(unknown), expected))
    fixed = {layer.name: called[names[layer.name]] for layer in layers if layer.name in names}
    free = [slot for slot in slots if slot.path not in names.values()]
    waiting = [layer for layer in layers if layer.name not in fixed]
    if by == "order":
        if len(free) != len(waiting):
            counted = f"{len(waiting)} stored layers ({', '.join(layer.name for layer in waiting)})"
            expected = f"as many as the model has: {len(free)} ({', '.join(slot.path for slot in free)})"
            raise LayoutError(Violation("port/order", "layers", counted, expected, todo="pair them with by='names'"))
        fixed |= {layer.name: slot for layer, slot in zip(waiting, free, strict=True)}
    else:
        fixed |= _by_names([layer.name for layer in waiting], free)
    return [(layer, fixed[layer.name]) for layer in layers if layer.name in fixed]


def _by_names(names: Sequence[str], slots: Sequence[Slot]) -> dict[str, Slot]:
    """Pair by whole paths first, then by last parts that are the only ones of their name."""
    whole: Callable[[str], str] = lambda path: path.replace(".", "/").removesuffix("/cell")  # noqa: E731
    found: dict[str, Slot] = {}
    for key in (whole, lambda path: whole(path).rpartition("/")[2]):
        taken = {slot.path for slot in found.values()}
        waiting = [name for name in names if name not in found]
        for name in waiting:
            same = [slot for slot in slots if slot.path not in taken and key(slot.path) == key(name)]
            if len(same) == 1 and [key(other) for other in waiting].count(key(name)) == 1:
                found[name] = same[0]
    return found
