"""The process of the old network: ``python -m lcl_ref.suite.port_check.old_network_child MODEL FOLDER``.

tf_keras loads the model, in float64, and runs it on drawn inputs. These, the activations of its layers, before and
after their own activation function, and its outputs go into FOLDER.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

SEED, BATCH, UNKNOWN = 21, 2, 7
"""Of the inputs; what stands for a size that the model leaves open."""


def main() -> None:
    """Run the model and write what it computes."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tf_keras  # noqa: PLC0415  the old framework

    path, folder = sys.argv[1], Path(sys.argv[2])
    single = tf_keras.models.load_model(path, compile=False)
    model = type(single).from_config(_doubled(single.get_config()))
    model.set_weights([array.astype(np.float64) for array in single.get_weights()])
    keep = _Keeper(folder)
    for name, layer in _layers(model, ""):
        keep.watch(name, layer)
    inputs = [_drawn(model, number, tensor) for number, tensor in enumerate(model.inputs)]
    for number, x in enumerate(inputs):
        np.save(folder / f"x{number}.npy", x)
    given = [tf_keras.backend.constant(x, dtype=x.dtype) for x in inputs]
    y = model(given if len(given) > 1 else given[0], training=False)
    outputs = [keep.saved(one) for one in (y if isinstance(y, list | tuple) else [y])]
    (folder / "old.json").write_text(json.dumps({"layers": keep.layers, "outputs": outputs}))


class _Keeper:
    """Keeps what layers compute, at their first call."""

    def __init__(self, folder: Path) -> None:
        self.layers: dict[str, list[str]] = {}
        self._folder, self._numbers = folder, itertools.count()

    def saved(self, tensor: Any) -> str:
        """Save an array and return its name."""
        name = f"old{next(self._numbers)}.npy"
        np.save(self._folder / name, np.asarray(tensor))
        return name

    def watch(self, name: str, layer: Any) -> None:
        """Keep the output of a layer, and what its own activation function is given."""
        found: list[str] = []
        call: Any = layer.call
        activation: Any = getattr(layer, "activation", None)

        def watched_call(*given: Any, **options: Any) -> Any:
            y = call(*given, **options)
            self.layers.setdefault(name, found).append(self.saved(y))
            return y

        def watched_activation(x: Any) -> Any:
            found.append(self.saved(x))
            return activation(x)

        layer.call = watched_call
        if callable(activation) and not hasattr(layer, "cell"):
            layer.activation = watched_activation


def _layers(model: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield the layers with the names around them; what TimeDistributed wraps is seen from outside."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _layers(layer, f"{prefix}{layer.name}/")
        elif type(layer).__name__ == "TimeDistributed":
            yield f"{prefix}{layer.name}/{layer.layer.name}", layer
        else:
            yield f"{prefix}{layer.name}", layer


def _doubled(value: Any) -> Any:
    """Return a configuration whose layers compute in float64."""
    if isinstance(value, dict):
        return {key: _double(one) if key == "dtype" else _doubled(one) for key, one in value.items()}
    return [_doubled(one) for one in value] if isinstance(value, list | tuple) else value


def _double(dtype: Any) -> Any:
    return dtype if isinstance(dtype, str) and dtype.startswith(("int", "uint", "bool", "string")) else "float64"


def _drawn(model: Any, number: int, tensor: Any) -> Any:
    """Return an input: numbers of words where an Embedding takes it, else reals of float32."""
    draw = np.random.default_rng([SEED, number])
    shape = (BATCH, *(UNKNOWN if size is None else size for size in tensor.shape[1:]))
    for layer in model.layers:
        if type(layer).__name__ == "Embedding" and layer.input is tensor:
            return draw.integers(0, layer.input_dim, shape).astype(np.int32)
    return draw.standard_normal(shape).astype(np.float32).astype(np.float64)


if __name__ == "__main__":
    main()
