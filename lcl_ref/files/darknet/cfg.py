"""The sections of a darknet ``.cfg`` file, and the arrays that each keeps in a ``.weights`` file, in its order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lcl_ref.core.spec import Spec
from lcl_ref.errors import FileError, Violation
from lcl_ref.files.untrusted import problem

Options = Mapping[str, str]
Arrays = list[tuple[str, tuple[int, ...]]]
"""Names and shapes."""


@dataclass(frozen=True)
class Section:
    """One layer of a network.

    Parameters
    ----------
    name : str
        Kind and darknet's own number, which counts from 0 after ``[net]``: ``local_24``.
    arrays : list
        Names and shapes of its arrays.
    spec : Spec or None
        For ``[local]``, the layer.
    activation : str
        Its activation.
    """

    name: str
    arrays: Arrays
    spec: Spec | None = None
    activation: str = ""


@dataclass
class _Image:
    """Size of the data between two layers."""

    height: int
    width: int
    channels: int

    @property
    def size(self) -> int:
        return self.height * self.width * self.channels


def parse(path: Path, text: str) -> list[Section]:
    """Return the layers of a network.

    Raises
    ------
    FileError
        If a section is not one of a feed-forward network, or its numbers do not fit.
    """
    blocks = _blocks(path, text)
    if not blocks or blocks[0][0] not in ("net", "network"):
        raise problem(path, "cfg", f"first section {blocks[0][0] if blocks else 'missing'!r}", "[net]")
    net = blocks[0][1]
    image = _Image(_int(net, "height"), _int(net, "width"), _int(net, "channels", 3))
    sections = []
    for number, (kind, options) in enumerate(blocks[1:]):
        if kind not in _KINDS:
            raise problem(path, "cfg", f"section [{kind}]", f"one of {', '.join(_KINDS)}")
        arrays, spec = _KINDS[kind](options, image)
        sections.append(Section(f"{kind}_{number}", arrays, spec, options.get("activation", "")))
    return sections


def _blocks(path: Path, text: str) -> list[tuple[str, dict[str, str]]]:
    blocks: list[tuple[str, dict[str, str]]] = []
    for line in text.splitlines():
        bare = line.split("#")[0].split(";")[0].strip()
        if bare.startswith("["):
            blocks.append((bare.strip("[]"), {}))
        elif "=" in bare and blocks:
            key, _, value = bare.partition("=")
            blocks[-1][1][key.strip()] = value.strip()
        elif bare:
            raise problem(path, "cfg", f"line {bare[:60]!r}", "[section] or key=value")
    return blocks


def _int(options: Options, name: str, default: int = 1) -> int:
    return int(options.get(name, default))


def _padding(options: Options, size: int) -> int:
    """``pad=1`` of a convolution means half the kernel; ``padding`` is in pixels."""
    return size // 2 if _int(options, "pad", 0) else _int(options, "padding", 0)


def _convolutional(options: Options, image: _Image) -> tuple[Arrays, None]:
    count, size, step = _int(options, "filters"), _int(options, "size"), _int(options, "stride")
    both = 2 * _padding(options, size)
    arrays: Arrays = [("biases", (count,))]
    if _int(options, "batch_normalize", 0):
        arrays += [("scales", (count,)), ("rolling_mean", (count,)), ("rolling_variance", (count,))]
    arrays.append(("weights", (count, image.channels // _int(options, "groups"), size, size)))
    image.height = (image.height + both - size) // step + 1
    image.width = (image.width + both - size) // step + 1
    image.channels = count
    return arrays, None


def _local(options: Options, image: _Image) -> tuple[Arrays, Spec]:
    size, pad = _int(options, "size"), _int(options, "pad", 0)
    if pad and 2 * pad != size - 1:
        todo = "darknet counts its outputs as if pad were (size - 1) / 2, and computes wrong results otherwise"
        got, expected = f"size={size}, pad={pad}", f"pad=0 or pad={(size - 1) / 2:g}"
        raise FileError(Violation("file/cfg", "[local]", got, expected, todo=todo))
    spec = Spec(
        input_size=(image.height, image.width),
        in_channels=image.channels,
        out_channels=_int(options, "filters"),
        kernel_size=size,
        stride=_int(options, "stride"),
        padding=pad,
    )
    image.height, image.width = spec.output_size
    image.channels = spec.out_channels
    values = spec.parameter_count - image.size
    return [("biases", (image.size,)), ("weights", (values,))], spec


def _connected(options: Options, image: _Image) -> tuple[Arrays, None]:
    count = _int(options, "output")
    arrays: Arrays = [("biases", (count,)), ("weights", (count, image.size))]
    if _int(options, "batch_normalize", 0):
        arrays += [("scales", (count,)), ("rolling_mean", (count,)), ("rolling_variance", (count,))]
    image.height, image.width, image.channels = 1, 1, count
    return arrays, None


def _maxpool(options: Options, image: _Image) -> tuple[Arrays, None]:
    step = _int(options, "stride")
    size = _int(options, "size", step)
    padding = _int(options, "padding", size - 1)
    image.height = (image.height + padding - size) // step + 1
    image.width = (image.width + padding - size) // step + 1
    return [], None


def _avgpool(_options: Options, image: _Image) -> tuple[Arrays, None]:
    image.height, image.width = 1, 1
    return [], None


def _nothing(_options: Options, _image: _Image) -> tuple[Arrays, None]:
    return [], None


_KINDS: dict[str, Callable[[Options, _Image], tuple[Arrays, Spec | None]]] = {
    "convolutional": _convolutional,
    "conv": _convolutional,
    "local": _local,
    "connected": _connected,
    "maxpool": _maxpool,
    "avgpool": _avgpool,
    **dict.fromkeys(("dropout", "activation", "softmax", "detection", "cost"), _nothing),
}
"""Section -> rule ``(options, image) -> (arrays, spec)``, which leaves the size of its output in `image`."""
