"""What can be said about a wrong layer that no known deviation explains: experiments with operands of our own.

Every experiment uses small integers, so that right answers are exact and a difference means something.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref import api
from lcl_ref.core import dense_oracle
from lcl_ref.core.axes import axis_names
from lcl_ref.core.spec import Spec
from lcl_ref.suite.adapter import Adapter
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.judge.ask import answers_of
from lcl_ref.suite.to_numpy import to_numpy

Array = NDArray[Any]
BATCH = 2
MAX_INPUTS = 2000
"""Input elements above which the connections of a layer are not probed one by one."""

TOGETHER = 8
"""How many of them are probed in one call, each in a sample of its own: samples are known not to interact."""


class Prober:
    """Asks one layer about one specification.

    Parameters
    ----------
    adapter : Adapter
        The layer.
    spec : Spec
        What it is asked to be.
    dtype : str
        Dtype of all operands.
    """

    def __init__(self, adapter: Adapter, spec: Spec, dtype: str) -> None:
        self.adapter, self.spec, self.dtype = adapter, spec, dtype
        self.x = self.integers(spec.x_shape(BATCH), 0)
        self.weight = self.integers(spec.weight_shape, 1)
        self.bias = None if spec.bias_shape is None else self.integers(spec.bias_shape, 2)

    def integers(self, shape: tuple[int, ...], seed: int) -> Array:
        """Return small integers of a shape and of both signs, the same for a seed."""
        stream = np.random.Generator(np.random.Philox(seed))
        drawn = stream.integers(1, 4, shape) * stream.choice((-1, 1), shape)
        return np.asarray(drawn).astype(FORMATS[self.dtype].dtype)

    def y(self, x: Array, weight: Array, bias: Array | None) -> Array:
        """Return what the layer answers, in float64; operands are handed over as copies."""
        layer = self.adapter.prepare(self.spec, weight.copy(), None if bias is None else bias.copy(), self.dtype)
        return to_numpy(layer.forward(x.copy())).astype(np.float64)

    def gradients(self, x: Array, dy: Array) -> dict[str, Array]:
        """Return dx, dw and db of the layer in float64, as far as there are any."""
        bias = None if self.bias is None else self.bias.copy()
        layer = self.adapter.prepare(self.spec, self.weight.copy(), bias, self.dtype)
        given = {"x": x.copy(), "dy": dy.copy(), "weight": self.weight}
        answers = answers_of(layer, "vjp", given if bias is None else given | {"bias": bias})
        return {name: answer.astype(np.float64) for name, answer in answers.items()}

    def zero(self, array: Array | None) -> Array | None:
        """Return zeros like `array`, or None for None."""
        return None if array is None else np.zeros_like(array)


def behaviours(prober: Prober) -> Iterator[str]:
    """Yield ids of deviations of kind ``behaviour`` that the layer shows."""
    x, weight, bias = prober.x.copy(), prober.weight, prober.bias
    prober.adapter.prepare(prober.spec, weight, bias, prober.dtype).forward(x)
    if x.tobytes() != prober.x.tobytes():
        yield "behaviour/input-mutated"
    answers = [prober.y(prober.x, weight, bias) for _ in range(4)]
    if any(not _equal(answers[0], answer) for answer in answers):
        yield "behaviour/nondeterministic"
        return
    other, other_bias = -2 * weight, None if bias is None else -2 * bias
    changed = prober.y(prober.x, other, other_bias)
    if _equal(answers[0], changed) and answers[0].any():
        yield "behaviour/stale-weights"


def findings(prober: Prober, op: str = "forward") -> Iterator[str]:
    """Yield sentences about bias, linearity, batch and connections, those that are as specified left out."""
    if op == "vjp":
        yield from _tried(_of_gradients, prober)
    if op != "forward":
        return
    unusual = False
    for experiment in (_bias, _linear_in_x, _linear_in_weight, _batch):
        for text in _tried(experiment, prober):
            unusual = unusual or experiment is not _bias
            yield text
    if not unusual:  # else what one input element does alone says little
        yield from _tried(_connections, prober)


def _equal(one: Array, other: Array) -> bool:
    """Compare by the operators of arrays: in its own process a layer can patch functions of NumPy."""
    if one.shape != other.shape:
        return False
    return bool(((one == other) | ((one != one) & (other != other))).all())  # noqa: PLR0124 -- NaN, where it differs


def _tried(experiment: Callable[[Prober], Iterator[str]], prober: Prober) -> Iterator[str]:
    try:
        yield from experiment(prober)
    except Exception as error:  # noqa: BLE001 -- the layer under test may raise anything
        name = experiment.__name__.strip("_").replace("_", " ")
        yield " ".join(f"the experiment on {name} ended in {type(error).__name__}: {error}".split())


def _bias(prober: Prober) -> Iterator[str]:
    spec, zero = prober.spec, np.zeros_like(prober.x)
    got = prober.y(zero, prober.weight, prober.bias)
    want = api.forward(spec, zero, prober.weight, prober.bias).astype(np.float64)
    if got.shape != want.shape:
        yield f"the output has shape {got.shape}, specified {want.shape}"
        return
    wrong = np.argwhere(got != want)
    if len(wrong):
        place = tuple(int(at) for at in wrong[0])
        what = "the bias" if prober.bias is not None else "zero"
        yield (
            f"with x = 0 the output should be {what}, and is not in {len(wrong)} of {want.size} elements, first at "
            f"{_place('y', spec, place)}: got {got[place]:g}, expected {want[place]:g}"
        )


def _linear_in_x(prober: Prober) -> Iterator[str]:
    other = prober.x[::-1] * 2
    at = [prober.y(x, prober.weight, prober.bias) for x in (prober.x + other, prober.x, other, np.zeros_like(other))]
    if not _equal(at[0] + at[3], at[1] + at[2]):
        yield "the output is not linear in x: y(a + b) + y(0) differs from y(a) + y(b)"


def _linear_in_weight(prober: Prober) -> Iterator[str]:
    first = prober.weight
    other = np.flip(first) * 2
    at = [prober.y(prober.x, weight, prober.bias) for weight in (first + other, first, other, np.zeros_like(first))]
    if not _equal(at[0] + at[3], at[1] + at[2]):
        yield "the output is not linear in the weight: y(v + w) + y(0) differs from y(v) + y(w)"


def _batch(prober: Prober) -> Iterator[str]:
    whole = prober.y(prober.x, prober.weight, prober.bias)
    for sample in range(BATCH):
        alone = prober.y(prober.x[sample : sample + 1], prober.weight, prober.bias)
        if not _equal(whole[sample : sample + 1], alone):
            yield f"sample {sample} of a batch of {BATCH} comes out differently when it is alone: samples interact"
            return


def _connections(prober: Prober) -> Iterator[str]:
    """Feed one input element at a time through weights that are all different: the output names the weight used."""
    spec = prober.spec
    if max(math.prod(spec.x_shape(1)), math.prod(spec.y_shape(1))) > MAX_INPUTS:
        return
    if prober.weight.size > FORMATS[prober.dtype].largest_exact_integer:
        return
    route = dense_oracle.connectivity(spec)
    want = np.where(route.joined, route.weight_index + 1, 0)
    numbers = np.arange(1, prober.weight.size + 1, dtype=prober.weight.dtype).reshape(spec.weight_shape)
    rest = prober.y(np.zeros(spec.x_shape(1), prober.x.dtype), numbers, prober.zero(prober.bias)).reshape(-1)
    got = np.concatenate([_responses(prober, first, numbers) for first in range(0, want.shape[0], TOGETHER)]) - rest
    if got.shape != want.shape:
        return
    for wrong, words in (
        ((got != 0) & (want == 0), "are joined although the window does not hold them"),
        ((got == 0) & (want != 0), "are not joined although the window holds them"),
        ((got != want) & (got != 0) & (want != 0), "are joined by another weight than specified"),
    ):
        if wrong.any():
            count = f"{int(wrong.sum())} of {wrong.size} pairs of input and output"
            yield f"{count} {words}; for example {_example(spec, wrong, got, want)}"


def _of_gradients(prober: Prober) -> Iterator[str]:
    """Ask for gradients of one sample at a time, of twice the cotangent, and at another x."""
    spec = prober.spec
    x, dy = prober.x, prober.integers(spec.y_shape(BATCH), 3)
    whole, double = prober.gradients(x, dy), prober.gradients(x, 2 * dy)
    alone = [prober.gradients(x[at : at + 1], dy[at : at + 1]) for at in range(BATCH)]
    elsewhere = prober.gradients(2 * x + 1, dy)
    for name, got in whole.items():
        parts = [one[name] for one in alone]
        summed = np.concatenate(parts) if name == "dx" else np.sum(parts, axis=0)
        if not _equal(double[name], 2 * got):
            yield f"{name} is not linear in dy: twice the cotangent does not give twice the gradient"
        elif not _equal(got, summed):
            kind = "is not that of its samples alone" if name == "dx" else "is not the sum of those of its samples"
            yield f"{name} of a batch of {BATCH} {kind}"
        elif name != "dw" and not _equal(elsewhere[name], got):
            yield f"{name} depends on x"
        elif not got.any() and dy.any():
            yield f"{name} is 0 everywhere"


def _responses(prober: Prober, first: int, numbers: Array) -> Array:
    """Return what the layer answers to some input elements, one in each sample: ``(elements, outputs)``."""
    spec = prober.spec
    size = math.prod(spec.x_shape(1))
    x = np.eye(min(TOGETHER, size - first), size, first, prober.x.dtype)
    return prober.y(x.reshape(spec.x_shape(len(x))), numbers, prober.zero(prober.bias)).reshape(len(x), -1)


def _example(spec: Spec, wrong: NDArray[np.bool_], got: Array, want: Array) -> str:
    """Return the first wrong pair with its coordinates, and the weight axes in which used and specified differ."""
    source, target = (int(at) for at in np.argwhere(wrong)[0])
    ends = [
        _place(tensor, spec, (0, *map(int, np.unravel_index(at, shape[1:]))))
        for tensor, at, shape in (("x", source, spec.x_shape(1)), ("y", target, spec.y_shape(1)))
    ]
    used, specified = (_weight(spec, float(value)) for value in (got[source, target], want[source, target]))
    both = wrong & (got == np.round(got)) & (got > 0) & (got <= np.prod(spec.weight_shape)) & (want > 0)
    return f"{' and '.join(ends)}: got {used}, specified {specified}{_differing(spec, got[both], want[both])}"


def _differing(spec: Spec, got: Array, want: Array) -> str:
    if not got.size:
        return ""
    pairs = zip(
        axis_names("weight", spec.rank),
        np.unravel_index(got.astype(np.intp) - 1, spec.weight_shape),
        np.unravel_index(want.astype(np.intp) - 1, spec.weight_shape),
        strict=True,
    )
    return "; they differ in " + ", ".join(name for name, used, right in pairs if (used != right).any())


def _weight(spec: Spec, value: float) -> str:
    """Return the place of the weight with this number."""
    if value == 0:
        return "none"
    if value != round(value) or not 0 < value <= np.prod(spec.weight_shape):
        return f"{value:g} times no single weight"
    return _place("weight", spec, tuple(map(int, np.unravel_index(int(value) - 1, spec.weight_shape))))


def _place(tensor: str, spec: Spec, index: tuple[int, ...]) -> str:
    names = axis_names(tensor, spec.rank)
    return f"{tensor}[" + ", ".join(f"{name}={at}" for name, at in zip(names, index, strict=True)) + "]"
