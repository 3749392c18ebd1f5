"""Models of Keras 3, filled in place: its layers keep their arrays as Keras 2 did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from lcl_ref.files.contents import Array
from lcl_ref.layers.keras import _LocallyConnected
from lcl_ref.porting.slots import Arrays, Choices, Slot, local, only
from lcl_ref.porting.stored import Layer, Misfit


def flattens(layer: Layer) -> str:
    """Return the order of the old model: Keras 3 flattens as Keras 2 did."""
    return f"channels_{layer.found.channels}"


def finished(model: Any, _planned: Sequence[tuple[Slot, Arrays]]) -> Any:
    """Return the model, filled in place."""
    return model


def slots(model: Any, prefix: str = "") -> Iterator[Slot]:
    """Yield the layers with weights, those of models inside too, in the order of the model."""
    for layer in getattr(model, "layers", [model]):
        path = f"{prefix}{layer.name}"
        if hasattr(layer, "layers"):
            yield from slots(layer, f"{path}/")
            continue
        one = layer.layer if type(layer).__name__ == "TimeDistributed" else layer
        if isinstance(one, _LocallyConnected):
            shapes = {"kernel": one.spec.weight_shape}
            shapes |= {} if one.spec.bias_shape is None else {"bias": one.spec.bias_shape}
            yield Slot(path, shapes, _local, partial(_put_local, one), None, layer)
        elif one.weights:
            shapes = {str(number): tuple(variable.shape) for number, variable in enumerate(one.weights)}
            epsilon = getattr(one, "epsilon", None)
            yield Slot(path, shapes, partial(_same, type(one).__name__, one), partial(_put, one), epsilon, layer)


def _put(layer: Any, arrays: Mapping[str, Array]) -> None:
    layer.set_weights(list(arrays.values()))


def _put_local(layer: Any, arrays: Mapping[str, Array]) -> None:
    layer.set_canonical(arrays["kernel"], arrays.get("bias"))


def _local(layer: Layer, _choices: Choices) -> Arrays:
    weight, bias = local(layer, "canonical")
    return {"kernel": weight} | ({} if bias is None else {"bias": bias})


def _same(kind: str, new: Any, layer: Layer, choices: Choices) -> Arrays:
    """Return the arrays as they are, but for features that the new model flattens in another order."""
    only(layer, kind)
    for key in ("recurrent_activation", "reset_after"):
        stated, built = layer.settings.get(key), getattr(new, key, None)
        word = getattr(built, "__name__", built)
        if isinstance(stated, str | bool) and stated != word:
            raise Misfit(f"{key} {stated}, in the model {word}")
    found, rows = layer.in_order(), layer.rows(choices.flatten)
    if rows is not None:
        moved = range(len(found)) if kind.endswith("Normalization") else (0,)
        found = [array[rows] if number in moved else array for number, array in enumerate(found)]
    return {str(number): array for number, array in enumerate(found)}
