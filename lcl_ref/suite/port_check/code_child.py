"""The process that runs a user's layer: ``python -m lcl_ref.suite.port_check.code_child FILE.py NAME FOLDER``.

FOLDER holds the arrays, their names, inputs and the specification; outputs go there, and what went wrong.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lcl_ref.core.spec import Spec

WORDS = {
    "in_channels": "in_channels in_features in_ch in_chan c_in cin input_channels in_planes n_in inputs in_dim",
    "out_channels": "out_channels out_features out_ch out_chan c_out cout output_channels out_planes n_out filters"
    " features num_filters nb_filter n_filters out_dim",
    "kernel_size": "kernel_size kernel kernel_shape ksize filter_size window k kernel_sizes",
    "stride": "stride strides step subsample",
    "padding": "padding pad",
    "dilation": "dilation dilations dilation_rate",
    "groups": "groups num_groups blocks num_blocks n_groups",
    "input_size": "input_size in_size input_shape in_shape size image_size input_length in_length seq_len seq_length"
    " length spatial_size",
    "output_size": "output_size out_size output_shape out_shape output_length out_length",
    "bias": "bias use_bias with_bias",
}
"""Field of a specification -> what constructors of layers call it."""


def main() -> None:
    """Build, fill and call the layer; every order of the input's axes that it takes has an answer."""
    path, name, folder = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    spec = Spec.from_json((folder / "spec.json").read_text())
    arrays = {kind: np.load(folder / f"{kind}.npy") for kind in ("weight", "bias") if (folder / f"{kind}.npy").exists()}
    names = [(folder / f"{number}.name").read_text() for number in range(len(arrays))]
    thing = named(path, name)
    told = []
    for number, given in enumerate(sorted(folder.glob("x*.npy"))):
        try:
            np.save(folder / f"y{number}.npy", _first_answer(thing, spec, arrays, names, np.load(given)))
            told.append("")
        except Exception as error:  # noqa: BLE001 -- a user's code may raise anything
            told.append(f"{type(error).__name__}: {error}"[:1000])
    (folder / "told.json").write_text(json.dumps(told))


def named(path: Path, name: str) -> Any:
    """Load the file, as a module of its own name, and return what is called so: without a name, the one class in it."""
    sys.path.append(str(path.parent))
    found = importlib.util.spec_from_file_location(path.stem, path)
    if found is None or found.loader is None:
        raise ImportError(f"{path.name} is no Python file")
    module = importlib.util.module_from_spec(found)
    sys.modules[path.stem] = module
    found.loader.exec_module(module)
    own = [one for one in vars(module).values() if inspect.isclass(one) and one.__module__ == path.stem]
    return getattr(module, name) if name else own[-1]


def _first_answer(thing: Any, spec: Spec, arrays: Mapping[str, Any], names: list[str], x: Any) -> Any:
    """Return the first answer of the layer, over the ways to write its arguments."""
    problem: Exception = TypeError("nothing to call")
    for layer in _built(thing, spec, arrays, x):
        try:
            return _asked(layer, spec, arrays, names, x)
        except Exception as error:  # noqa: BLE001 -- a user's code may raise anything
            problem = error
    raise problem


def _built(thing: Any, spec: Spec, arrays: Mapping[str, Any], x: Any) -> Iterator[Any]:
    """Yield layers: a class with its arguments as numbers where axes agree, and as tuples."""
    if not inspect.isclass(thing):
        needed = [one for one in inspect.signature(thing).parameters.values() if one.default is one.empty]
        known = {"spec": spec, "x": x, **arrays}
        yield thing if any(one.name in known for one in needed) else thing()
        return
    parameters = list(inspect.signature(thing).parameters.values())
    for single in (True, False):
        given = {one.name: value for one in parameters for value in _value(one.name, spec, single=single)}
        missing = [one.name for one in parameters if one.default is one.empty and one.name not in given]
        missing = [name for name in missing if name not in ("args", "kwargs", "kw")]
        if missing:
            raise TypeError(f"argument {missing[0]} of {thing.__name__}, whose value nothing here tells")
        yield thing(**given)


def _value(name: str, spec: Spec, *, single: bool) -> list[Any]:
    """Return the value of an argument in a list, empty where it is none of a layer's."""
    field = next((field for field, words in WORDS.items() if name in words.split()), "")
    if not field:
        return []
    if field == "bias":
        return [spec.bias != "none"]
    value = getattr(spec, field)
    if field == "padding":
        uneven = any(lo != hi for lo, hi in value)
        return [value if uneven else _short(tuple(lo for lo, _ in value), single=single)]
    if isinstance(value, tuple):
        return [_short(value, single=single or len(value) == 1, whole=field.endswith("put_size") and len(value) > 1)]
    return [value]


def _short(value: tuple[int, ...], *, single: bool, whole: bool = False) -> Any:
    """Return one number for equal ones, but for sizes of images."""
    return value[0] if single and not whole and len(set(value)) == 1 else value


def _asked(layer: Any, spec: Spec, arrays: Mapping[str, Any], names: list[str], x: Any) -> Any:
    """Give a layer its arrays, as its framework does, and call it."""
    if hasattr(layer, "load_state_dict"):
        return _of_torch(layer, arrays, names, x)
    if hasattr(layer, "set_weights") and hasattr(layer, "build"):
        if not layer.built:
            layer.build((None, *x.shape[1:]))
        layer.set_weights(list(arrays.values()))
        return np.asarray(layer(x))
    if hasattr(layer, "apply") and hasattr(layer, "init"):
        keys = [name.replace("/", ".").rpartition(".")[2] for name in names]
        return np.asarray(layer.apply({"params": dict(zip(keys, arrays.values(), strict=True))}, x))
    known = {"spec": spec, "x": x, "weight": arrays["weight"], "bias": arrays.get("bias")}
    parameters = inspect.signature(layer).parameters
    y = layer(**{name: known[name] for name in parameters if name in known})
    return y.detach().numpy() if hasattr(y, "detach") else np.asarray(y)


def _of_torch(layer: Any, arrays: Mapping[str, Any], names: list[str], x: Any) -> Any:
    """Fill a module by the names of its own parameters, or by their shapes where those differ."""
    import torch  # noqa: PLC0415  the user's framework

    tensors = [torch.from_numpy(np.array(array)) for array in arrays.values()]
    held = dict(layer.state_dict())
    last = [name.replace("/", ".").rpartition(".")[2].partition(":")[0] for name in names]
    if set(last) != set(held):
        last = list(held)
        tensors = [next(one for one in tensors if one.shape == held[name].shape) for name in last]
    layer.load_state_dict(dict(zip(last, tensors, strict=True)))
    layer = layer.to(tensors[0].dtype).eval()
    with torch.no_grad():
        y = layer(torch.from_numpy(np.ascontiguousarray(x)))
    return y.numpy()


if __name__ == "__main__":
    main()
