"""Windows in the wrong place: stride, dilation, padding and output size (SPEC clauses 1, 2 and 7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lcl_ref.core.padding import resolve
from lcl_ref.suite.diagnosis.deviations.deviation import Deviation, Edit
from lcl_ref.suite.diagnosis.deviations.edits import along, each_axis, from_axes, named, per_axis, setting, with_field
from lcl_ref.suite.diagnosis.deviations.layer_plan import Axis, Outside

ANY_SIZE = "weights that serve any number of positions (shared axes, no bias per position)"


def _ignored(field: str, value: int, known: str = "") -> Callable[[str], Deviation]:
    return lambda only: Deviation(
        id=named(f"{field}/ignored", only),
        sentence=f"{field} is taken to be {value} {along(only)}",
        clause="1.1",
        fix=f"position o and tap k read input site o*stride + k*dilation - lo: use the {field}",
        needs=f"{field} other than {value}",
        known_in="" if only else known,
        edit=each_axis(lambda axis: with_field(axis, field, value), only),
    )


def _swapped(field: str) -> tuple[Deviation, ...]:
    needs = f"two axes with different {field}"
    return (
        Deviation(
            id=f"{field}/axes-swapped",
            sentence=f"the {field}s of the axes are taken in reverse order",
            clause="1.1",
            fix=f"{field} is listed like input_size, slowest axis first",
            needs=needs,
            edit=from_axes(field, lambda values: values[::-1]),
        ),
        Deviation(
            id=f"{field}/first-axis-only",
            sentence=f"{field}[0] is used for every axis",
            clause="1.1",
            fix=f"use {field}[a] for axis a",
            needs=needs,
            known_in="pylearn2 Local and cuda-convnet have one value for all axes" if field == "stride" else "",
            edit=from_axes(field, lambda values: values[:1] * len(values)),
        ),
    )


def _growing(field: str) -> Deviation:
    return Deviation(
        id=f"{field}/ignored-resized",
        sentence=f"{field} is taken to be 1, and the output has the size that follows from that",
        clause="1.2",
        fix=f"use the {field}, in the output size too",
        needs=f"{field} other than 1, and {ANY_SIZE}",
        edit=each_axis(lambda axis: axis if getattr(axis, field) == 1 else with_field(axis, field, 1).resized()),
    )


def _low(
    identity: str, sentence: str, fix: str, lo: Callable[[Axis], int], known: str = "", clause: str = "2.1"
) -> Callable[[str], Deviation]:
    """Return a family whose windows start at another offset; axes without padding stay as they are."""
    return lambda only: Deviation(
        id=named(identity, only),
        sentence=f"{sentence} {along(only)}",
        clause=clause,
        fix=fix,
        needs="padding that this changes",
        known_in="" if only else known,
        edit=each_axis(lambda axis: replace(axis, lo=lo(axis)) if axis.lo or axis.hi else axis, only),
    )


def _tf_low(axis: Axis) -> int:
    """Return what TensorFlow's SAME puts in front, where the output size is that of SAME."""
    if axis.positions != -(-axis.size // axis.stride):
        return axis.lo
    return resolve("same_upper", axis.size, axis.kernel, axis.stride, axis.dilation)[0]


def _half_low(axis: Axis) -> int:
    """Return half a window, where the output size is that of SAME."""
    return axis.window // 2 if axis.positions == -(-axis.size // axis.stride) else axis.lo


def _filled(name: Outside, sentence: str, needs: str, known: str = "") -> Deviation:
    return Deviation(
        id=f"padding/{name}" if name != "memory" else "windows/unchecked",
        sentence=sentence,
        clause="7.1",
        fix="a tap outside the input contributes nothing: pad with zeros, or skip it",
        needs=needs,
        known_in=known,
        edit=setting(outside=name),
    )


def _shifted(by: int, word: str) -> Deviation:
    return Deviation(
        id=f"windows/one-{word}",
        sentence=f"every window starts one site too {word}",
        clause="1.1",
        fix="position o and tap k read input site o*stride + k*dilation - lo",
        needs="at least one spatial axis",
        known_in="keras Conv2DTranspose, off by one pixel with the right shape (keras-team/keras PR 22876)"
        if by > 0
        else "",
        edit=each_axis(lambda axis: replace(axis, early=by)),
    )


SPREAD: Edit = each_axis(lambda axis: replace(axis, dilation=1, spread=axis.dilation))

DEVIATIONS: tuple[Deviation, ...] = (
    *per_axis(_ignored("stride", 1, "a DeepFace port whose locally connected layer drops it")),
    *_swapped("stride"),
    _growing("stride"),
    *per_axis(_ignored("dilation", 1, "DL4J LocallyConnected: it only enters the output size")),
    *_swapped("dilation"),
    _growing("dilation"),
    Deviation(
        id="dilation/of-the-input",
        sentence="dilation spreads the input instead of the kernel",
        clause="1.1",
        fix="dilation is the step between taps (rhs_dilation), not between input sites (lhs_dilation, input_dilation)",
        needs="dilation other than 1",
        known_in="an older ConvLocal of serket confused the two (the other way round)",
        edit=SPREAD,
    ),
    *per_axis(
        _low(
            "padding/ignored",
            "the padding in front is left out: windows start at the first input site",
            "the first window starts lo sites before the input",
            lambda _: 0,
            "DL4J LocallyConnected lists padding and does not apply it",
        )
    ),
    *per_axis(
        _low(
            "padding/sides-swapped",
            "the padding of the two sides is exchanged (the odd element on the other side)",
            "lo comes before the input, hi after it",
            lambda axis: axis.hi,
            "same_lower (ONNX SAME_LOWER) taken for same_upper (TensorFlow SAME)",
        )
    ),
    _low(
        "padding/half-window",
        "windows start half a window before the input whatever the stride",
        "pad by the (lo, hi) of the specification; 'same' of TensorFlow depends on the stride",
        _half_low,
        "PyTorch code with padding=k//2; tf_keras LocallyConnected with padding='same'",
        "2.4",
    )(""),
    _low(
        "padding/tensorflow-same",
        "windows start where TensorFlow's SAME puts them, which depends on the stride",
        "pad by the (lo, hi) of the specification; 'same' of tf_keras LocallyConnected is k//2 in front",
        _tf_low,
        "TensorFlow, flax and jax SAME",
        "2.6",
    )(""),
    _low(
        "padding/halved",
        "the total padding is split evenly, the odd element at the end",
        "pad lo before the input and hi after it",
        lambda axis: (axis.lo + axis.hi) // 2,
        "layers that take one number of zeros for both sides",
    )(""),
    _low(
        "padding/all-in-front",
        "all padding is put in front",
        "pad lo before the input and hi after it",
        lambda axis: axis.lo + axis.hi,
        "causal padding taken for 'same'",
    )(""),
    Deviation(
        id="padding/axes-swapped",
        sentence="the paddings of the axes are taken in reverse order",
        clause="2.1",
        fix="padding is listed like input_size, slowest axis first",
        needs="two axes with different padding in front",
        known_in="torch.nn.functional.pad lists the last axis first",
        edit=from_axes("lo", lambda values: values[::-1]),
    ),
    Deviation(
        id="padding/half-window-resized",
        sentence="half a window is padded on both sides, and the output has the size that follows from that",
        clause="2.1",
        fix="pad lo before the input and hi after it: an even window needs one zero less on one side",
        needs=f"padding other than half a window on both sides, and {ANY_SIZE}",
        known_in="PyTorch code with padding=k//2, which lets the map grow by one where the kernel is even",
        edit=each_axis(lambda axis: replace(axis, lo=axis.window // 2, hi=axis.window // 2).resized()),
    ),
    Deviation(
        id="padding/ignored-resized",
        sentence="padding is left out, and the output has the size that follows from that",
        clause="2.1",
        fix="pad lo before the input and hi after it",
        needs=f"padding, and {ANY_SIZE}",
        edit=each_axis(lambda axis: replace(axis, lo=0, hi=0).resized() if axis.lo or axis.hi else axis),
    ),
    _filled("edge", "taps outside the input read the nearest site: edge replication", "windows that leave the input"),
    _filled(
        "wrap",
        "taps outside the input read from the other end: circular padding",
        "windows that leave the input",
        "flax ConvLocal(padding='CIRCULAR')",
    ),
    _filled(
        "reflect",
        "taps outside the input read its mirror image",
        "windows that leave the input",
        "flax ConvLocal(padding='REFLECT')",
    ),
    _filled(
        "memory",
        "taps outside the input read whatever lies there in memory: the next row, the next sample",
        "windows that leave the input, and a second axis or sample",
        "flat indexing without a bounds check, in C or CUDA",
    ),
    _shifted(1, "early"),
    _shifted(-1, "late"),
    Deviation(
        id="output/ceil",
        sentence="the output size is rounded up: a last window that overhangs the input is computed too",
        clause="1.2",
        fix="output_size = floor((input + lo + hi - dilation*(kernel - 1) - 1) / stride) + 1",
        needs=f"a stride that leaves a rest, and {ANY_SIZE}",
        known_in="cuda-convnet, neural-fortran and Caffe pooling round up",
        edit=each_axis(lambda axis: axis.resized(ceil=True)),
    ),
)
