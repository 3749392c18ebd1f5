"""From an entry of a Keras configuration to the layer: its `Spec`, its layout, and which arrays are its own."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lcl_ref.core.spec import Spec
from lcl_ref.files.contents import LocalLayer, Tensor
from lcl_ref.files.keras.config import Entry
from lcl_ref.files.keras.shapes import per_axis
from lcl_ref.files.untrusted import problem
from lcl_ref.layouts.regions import keras_regions

_PADDING = {"same": "same_keras_local"}
"""Keras's word for what `LocallyConnected` does -> this project's."""

_KEPT = (
    *("filters", "kernel_size", "strides", "padding", "data_format", "use_bias", "implementation", "activation"),
    "trainable",
)
"""Settings that are reported beside the spec."""


def local_layer(path: Path, entry: Entry, weight: Tensor, bias: Tensor | None, spec: Spec | None) -> LocalLayer:
    """Return the layer of one configuration entry.

    Parameters
    ----------
    weight, bias : Tensor
        Its arrays; their shapes help where the configuration does not tell the input size.
    spec : Spec or None
        What the user says it is; else it is read from the configuration.

    Raises
    ------
    FileError
        If the input size is in neither.
    SpecError
        If the settings describe no layer.
    """
    layout = layout_of(entry)
    found = spec or _spec(path, entry, layout, weight, bias)
    settings = {name: entry.config[name] for name in _KEPT if name in entry.config}
    return LocalLayer(entry.name, entry.class_name, found, layout, weight.name, bias.name if bias else "", settings)


def layout_of(entry: Entry) -> str:
    """Return the layout that the settings stand for."""
    data_format = data_format_of(entry)
    if entry.config.get("regions") is not None:  # of the drop-in layer alone
        return keras_regions(entry.config["regions"], _rank(entry))
    if entry.first_keras:
        return f"keras1/{data_format}"
    project = "neurite" if _rank(entry) == 3 else "keras2"
    return f"{project}/impl{entry.config.get('implementation', 1)}/{data_format}"


def data_format_of(entry: Entry) -> str:
    """Return ``channels_first`` or ``channels_last``."""
    return (entry.config.get("data_format") or "channels_last").lower()


def _rank(entry: Entry) -> int:
    return int(entry.class_name[-2])


def _spec(path: Path, entry: Entry, layout: str, weight: Tensor, bias: Tensor | None) -> Spec:
    config, rank = entry.config, _rank(entry)
    kernel = per_axis(config["kernel_size"], rank)
    stride = per_axis(config.get("strides", 1), rank)
    sizes, channels = _input(entry, layout, kernel, stride, weight, bias)
    if channels is None or any(size is None for size in sizes):
        todo = "give its specification with --spec, for one layer of several with --layer"
        got = f"layer {entry.name} with input {(*sizes, channels)}"
        raise problem(path, "input-size", got, "an input size, from the layers before it or its weights", todo)
    padding = config.get("padding", "valid").lower()
    return Spec(
        input_size=sizes,
        in_channels=channels,
        out_channels=config["filters"],
        kernel_size=kernel,
        stride=stride,
        padding=_PADDING.get(padding, padding),
        bias="position" if config.get("use_bias", True) else "none",
    )


def _input(
    entry: Entry, layout: str, kernel: Sequence[int], stride: Sequence[int], weight: Tensor, bias: Tensor | None
) -> tuple[Sequence[Any], Any]:
    """Return input sizes and channels: as the configuration says, else as far as the shapes of the arrays tell."""
    rank, first = len(kernel), data_format_of(entry) == "channels_first"
    shape = entry.input_shape
    if shape is not None and len(shape) == rank + 1 and None not in shape:
        return (shape[1:], shape[0]) if first else (shape[:-1], shape[-1])
    if "impl2" in layout:
        sites = weight.shape[: rank + 1]
        return (sites[1:], sites[0]) if first else (sites[:-1], sites[-1])
    taps = math.prod(kernel)
    if "impl3" in layout or len(weight.shape) != 3 or weight.shape[1] % taps:
        return (None,) * rank, None
    counts = bias.shape[:-1] if bias is not None else weight.shape[:1] if rank == 1 else (None,) * rank
    # Several input sizes give as many windows where the stride is larger than 1: then the size stays unknown.
    sizes = [n + k - 1 if n is not None and s == 1 else None for n, k, s in zip(counts, kernel, stride, strict=False)]
    return sizes, weight.shape[1] // taps


def legacy_arrays(
    entry: Entry, names: Mapping[str, Tensor], listed: Sequence[str]
) -> tuple[list[Tensor], list[Tensor]]:
    """Return what could be kernel and bias of an entry among the arrays of its group in a ``.h5`` file.

    Parameters
    ----------
    names : mapping
        The arrays of the file.
    listed : sequence of str
        ``weight_names`` of the group: what Keras itself goes by. TensorFlow 1 calls layer L4 ``L4_1`` there.
    """
    paths = [f"{entry.group}/{name}" for name in listed] or [name for name in names if _in_group(entry, name)]
    known = [path for path in paths if path in names]
    own = [path for path in known if _owner(entry.group, path) == entry.name.split("/")[-1]]
    if not own:
        again = re.compile(re.escape(entry.name.split("/")[-1]) + r"_\d+")
        own = [path for path in known if again.fullmatch(_owner(entry.group, path))]
    if not own and entry.alone and known and listed:
        return [names[known[0]]], [names[path] for path in known[1:2]]
    kernels, biases = ([names[path] for path in own if _leaf(path) == kind] for kind in ("kernel", "bias"))
    return kernels, biases


def owned_arrays(names: Mapping[str, Tensor], entry: Entry) -> tuple[list[Tensor], list[Tensor]]:
    """Return what could be kernel and bias of an entry in a file without groups: TensorFlow's own names of variables.

    Examples
    --------
    ``local/kernel``, ``inner/local/kernel``, ``local_1/kernel`` after a second model was built, and ``td/kernel`` of
    the layer that a TimeDistributed ``td`` wraps.
    """
    name = re.escape(entry.name.split("/")[-1])
    for owner in (name, rf"{name}_\d+", re.escape(entry.group) if entry.alone else None):
        own = [path for path in names if owner and re.fullmatch(owner, _owner("", path))]
        if own:
            return tuple([names[path] for path in own if _leaf(path) == kind] for kind in ("kernel", "bias"))  # type: ignore[return-value]
    return [], []


def _in_group(entry: Entry, name: str) -> bool:
    return name.startswith(f"{entry.group}/")


def _owner(group: str, path: str) -> str:
    """Return the layer that an array belongs to: ``inner/local/kernel:0``, and in Keras 1 ``local_W``."""
    folder, _, leaf = path.removeprefix(f"{group}/").rpartition("/")
    bare = leaf.partition(":")[0]
    return bare[:-2] if bare.endswith(("_W", "_b")) else folder.rpartition("/")[2]


def _leaf(path: str) -> str:
    bare = path.rpartition("/")[2].partition(":")[0]
    return {"_W": "kernel", "_b": "bias"}.get(bare[-2:], bare)
