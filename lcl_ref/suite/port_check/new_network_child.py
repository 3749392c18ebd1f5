"""The process of the new network: ``python -m lcl_ref.suite.port_check.new_network_child FILE.py NAME STORED FOLDER``.

The user's function makes the model, which is run in float64 on the inputs in FOLDER; its activations go there.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lcl_ref.files.opening import open_weights
from lcl_ref.porting import Filled, fill
from lcl_ref.porting.filling import framework_of, paired
from lcl_ref.porting.stored import layers_of
from lcl_ref.suite.port_check.code_child import named


def main() -> None:
    """Make the model, run it with each order of the inputs' axes, and write what it computes."""
    code, name, stored, folder = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
    make = named(code, name)
    _in_double()
    takes_path = any(one.default is one.empty for one in inspect.signature(make).parameters.values())
    made = make(str(stored)) if takes_path else fill(make(), stored)
    model = made.model if isinstance(made, Filled) else made
    framework = framework_of(model)
    slots = list(importlib.import_module(f"lcl_ref.porting.of_{framework}").slots(model))
    pairs = made.pairs if isinstance(made, Filled) else _by_names(stored, slots)
    xs = [np.load(path) for path in sorted(folder.glob("x*.npy"))]
    first = [np.moveaxis(x, -1, 1) if x.ndim > 2 else x for x in xs]
    orders = [first, xs] if framework == "torch" else [xs, first]
    modules = {slot.path: slot.module for slot in slots}
    call = RUN[framework](model)
    runs = [_run(call, order, modules, pairs, folder, number) for number, order in enumerate(orders)]
    (folder / "new.json").write_text(json.dumps(runs))


def _in_double() -> None:
    """Let frameworks that the user's code has imported make float64, where that is a setting."""
    if "jax" in sys.modules:
        sys.modules["jax"].config.update("jax_enable_x64", True)
    if "keras" in sys.modules:
        sys.modules["keras"].config.set_floatx("float64")


def _by_names(stored: Path, slots: Sequence[Any]) -> list[tuple[str, str]]:
    with open_weights(stored) as file:
        return [(layer.name, slot.path) for layer, slot in paired(layers_of(file), slots, "names", {})]


def _run(
    call: Callable[..., Any],
    xs: Sequence[Any],
    modules: Mapping[str, Any],
    pairs: Sequence[tuple[str, str]],
    folder: Path,
    number: int,
) -> dict[str, Any]:
    """Call the model, and save its outputs and the first output of every paired layer."""
    kept: dict[str, Any] = {}
    try:
        with _watched(modules, kept):
            y, inside = call(*xs)
    except Exception as error:  # noqa: BLE001 -- a user's code may raise anything
        return {"told": f"{type(error).__name__}: {error}"[:1000]}
    counted = itertools.count()

    def saved(array: Any) -> str:
        name = f"new{number}_{next(counted)}.npy"
        np.save(folder / name, array)
        return name

    kept |= inside
    layers = {name: saved(kept[path]) for name, path in pairs if path in kept}
    outputs = [saved(_plain(one)) for one in (y if isinstance(y, list | tuple) else [y])]
    return {"told": "", "layers": layers, "outputs": outputs}


@contextmanager
def _watched(modules: Mapping[str, Any], kept: dict[str, Any]) -> Iterator[None]:
    """Keep what modules return at their first call, through their classes: every framework calls them so."""
    paths = {id(module): path for path, module in modules.items() if module is not None}
    kinds = {type(module) for module in modules.values() if module is not None}
    own = {kind: vars(kind).get("__call__") for kind in kinds}
    for kind in kinds:
        kind.__call__ = _watching(kind.__call__, paths, kept)
    try:
        yield
    finally:
        for kind, call in own.items():
            if call is None:
                del kind.__call__
            else:
                kind.__call__ = call


def _watching(call: Callable[..., Any], paths: Mapping[int, str], kept: dict[str, Any]) -> Callable[..., Any]:
    def watched(self: Any, *given: Any, **options: Any) -> Any:
        y = call(self, *given, **options)
        path = paths.get(id(self))
        if path is not None and path not in kept:
            try:
                kept[path] = _plain(y, batch_first=getattr(self, "batch_first", True))
            except Exception:  # noqa: BLE001 -- inside a traced loop there are no numbers to keep
                kept.pop(path, None)
        return y

    return watched


def _plain(y: Any, *, batch_first: bool = True) -> Any:
    """Return an output as an array; of a recurrent layer, the sequence, its batch first."""
    while isinstance(y, list | tuple):
        y = y[0]
    array = np.array(y.detach() if hasattr(y, "detach") else y)
    return array if batch_first else np.moveaxis(array, 0, 1)


def _torch(model: Any) -> Callable[..., Any]:
    import torch  # noqa: PLC0415  the user's framework

    model.double().eval()

    def call(*xs: Any) -> Any:
        with torch.no_grad():
            return model(*map(torch.from_numpy, xs)), {}

    return call


def _keras(model: Any) -> Callable[..., Any]:
    return lambda *xs: (model(xs[0] if len(xs) == 1 else list(xs), training=False), {})


def _nnx(model: Any) -> Callable[..., Any]:
    from flax import nnx  # noqa: PLC0415  the user's framework

    nnx.update(model, _doubled_tree(nnx.state(model)))
    model.eval()
    return lambda *xs: (model(*xs), {})


def _linen(model: Any) -> Callable[..., Any]:
    from flax import traverse_util  # noqa: PLC0415  the user's framework

    module, variables = model.unbind()

    def call(*xs: Any) -> Any:
        settings = {"capture_intermediates": True, "mutable": ["intermediates"]}
        y, held = module.apply(_doubled_tree(variables), *xs, **settings)
        flatten: Any = traverse_util.flatten_dict
        leaves = flatten(held["intermediates"])
        inside = {"/".join(path[:-1]): value for path, value in leaves.items() if path[-1] == "__call__" and path[:-1]}
        return y, {path: _plain(value) for path, value in inside.items()}

    return call


def _mlx(model: Any) -> Callable[..., Any]:
    import mlx.core as mx  # noqa: PLC0415  the user's framework

    mx.set_default_device(mx.cpu)  # where it has float64
    floats = (mx.float32, mx.float16, mx.bfloat16)
    model.apply(lambda array: array.astype(mx.float64) if array.dtype in floats else array)
    model.eval()
    return lambda *xs: (model(*(mx.array(x, dtype=mx.float64 if x.dtype.kind == "f" else mx.int32) for x in xs)), {})


def _doubled_tree(tree: Any) -> Any:
    import jax  # noqa: PLC0415  the user's framework

    def double(leaf: Any) -> Any:
        return leaf.astype("float64") if np.issubdtype(leaf.dtype, np.floating) else leaf

    return jax.tree.map(double, tree)


RUN = {"torch": _torch, "keras": _keras, "nnx": _nnx, "linen": _linen, "mlx": _mlx}
"""Framework -> a function that makes a model ready, in float64, and returns how it is called."""


if __name__ == "__main__":
    main()
