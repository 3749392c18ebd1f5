"""Arguments of layers that Keras 3 no longer takes, or takes for something else."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any

import keras
from keras import ops

from lcl_ref.files.keras.old_arrays import CUDNN

WITHOUT_MEANING: dict[str, tuple[Any, ...]] = {
    "time_major": (False, None),
    "groups": (1, None),
    "ragged": (False, None),
    "rng_type": ("stateful", "legacy_stateful", "stateless", None),
    "input_length": (),
    "build_config": (),
}
"""Argument of Keras 2 -> the values under which a layer that does not know it computes the same."""

HARD_SIGMOID = "hard_sigmoid_of_keras_2"


@keras.saving.register_keras_serializable("lcl_backends", HARD_SIGMOID)  # type: ignore[untyped-decorator]
def hard_sigmoid(x: Any) -> Any:
    """Return ``clip(x/5 + 1/2, 0, 1)``; Keras 3 means another function by the name, ``clip(x/6 + 1/2, 0, 1)``."""
    return ops.clip(x * 0.2 + 0.5, 0.0, 1.0)


def current(entry: Mapping[str, Any], *, old: bool) -> dict[str, Any]:
    """Return what changes in the entry of a layer.

    Raises
    ------
    ValueError
        If an argument means something that Keras 3 cannot do.
    """
    name, config = entry["class_name"], dict(entry["config"])
    if name in CUDNN:
        name = CUDNN[name][0]
        config |= {"activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True, "reset_after": True}
        config = {key: value for key, value in config.items() if name == "GRU" or key != "reset_after"}
    kind = getattr(keras.layers, name, None) if isinstance(name, str) else None
    if not isinstance(kind, type) or not issubclass(kind, keras.layers.Layer) or not old:
        return {}
    if name == "GRU":
        config.setdefault("reset_after", False)  # as every GRU did before Keras 2.1.3
    for key in ("activation", "recurrent_activation"):
        if config.get(key) == "hard_sigmoid":
            config[key] = keras.saving.serialize_keras_object(hard_sigmoid)
    if name.startswith("SeparableConv"):  # which has two kernels, and never used these
        config = {key: value for key, value in config.items() if not key.startswith("kernel_") or key == "kernel_size"}
    config = {key: value for key, value in config.items() if not _meaningless(name, kind, key, value)}
    return {"class_name": name, "config": config}


def _meaningless(name: str, kind: type, key: str, value: Any) -> bool:
    """Return whether the argument is one that the class does not take, and does not need."""
    if key not in WITHOUT_MEANING or key in _taken(kind):
        return False
    if value not in WITHOUT_MEANING[key]:
        raise ValueError(f"{name} with {key}={value!r} is a layer of Keras 2 that Keras 3 does not have.")
    return True


@cache
def _taken(kind: type) -> frozenset[str]:
    """Return the names of all arguments that a layer or a class it is made of takes."""
    return frozenset(name for part in kind.__mro__[:-1] for name in inspect.signature(part.__init__).parameters)  # type: ignore[misc]
