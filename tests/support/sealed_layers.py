"""Layers that are wrong where only fresh cases and a judge in the host see it, and honest twins of them.

Each is named in tests/suite/power/test_sealed.py.
"""

import functools
import hashlib
import json
import os
from pathlib import Path

import numpy as np

import lcl_ref
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store


def right(spec, x, weight, bias):
    return lcl_ref.forward(spec, x, weight, bias)


def doubled(spec, x, weight, bias):
    return 2 * right(spec, x, weight, bias)


class PatchesNumpy:
    """Wrong everywhere, in a process where every comparison says yes."""

    def __init__(self):
        np.array_equal = lambda *_, **__: True
        np.isfinite = lambda array: np.ones(np.shape(array), bool)
        np.abs = lambda array: np.zeros(np.shape(array))

    forward = staticmethod(doubled)


class PatchesJudge:
    """Wrong everywhere, in a process where the suite's own judge says yes."""

    def __init__(self):
        from lcl_ref.suite.judge import compare, evaluate

        agreed = compare.Agreement(0.0)
        compare.check = evaluate.check = evaluate._compared = lambda *_: agreed
        compare.same_numbers = evaluate.same_numbers = lambda *_: True
        evaluate.Evaluator.judge = lambda _, cell: evaluate.outcome(cell, "pass")

    forward = staticmethod(doubled)


class PatchesAnswers:
    """Wrong everywhere; says itself that it passes."""

    def __init__(self):
        from lcl_ref.suite.judge import transport
        from lcl_ref.suite.run import asking

        def passed(reply):
            facts, data = transport.packed(reply)
            return facts | {"end": {"state": "pass", "message": "", "error_ratio": 0.0}}, data

        asking.packed = passed

    forward = staticmethod(doubled)


class PatchesReference:
    """Wrong everywhere, and so is the reference in its process."""

    def __init__(self):
        from lcl_ref.core import batched, reference

        for module in (batched, reference):
            module.forward = functools.partial(self._doubled, module.forward)

    @staticmethod
    def _doubled(forward, *operands):
        return 2 * forward(*operands)

    forward = staticmethod(right)


class ReadsGoldenData:
    """Wrong everywhere but for answers that it finds on disk."""

    def __init__(self):
        store = Store(default_root())
        self.answers = {}
        for case in store.entries:
            arrays = store.arrays(case)
            for prefix in {name.rpartition("/")[0] for name in arrays}:
                x, weight, y = (arrays[f"{prefix}/{name}".removeprefix("/")] for name in ("x", "weight", "y"))
                self.answers[self.key(x, weight)] = y

    @staticmethod
    def key(x, weight):
        digest = hashlib.sha256(repr((x.shape, weight.shape)).encode())
        for array in (x, weight):
            with np.errstate(invalid="ignore"):
                digest.update(np.nan_to_num(array.astype(float), nan=0.5).tobytes())
        return digest.hexdigest()

    def supports(self, spec, dtype, op):
        return True if op == "forward" else "forward only"

    def forward(self, spec, x, weight, bias):
        y = self.answers.get(self.key(x, weight))
        return doubled(spec, x, weight, bias) if y is None else y.astype(x.dtype)


class KnowsTheCatalogue:
    """Right for the layers that the golden data holds, and wrong for all others."""

    def __init__(self):
        self.known = {json.dumps(entry["spec"], sort_keys=True) for entry in Store(default_root()).entries.values()}

    def forward(self, spec, x, weight, bias):
        known = json.dumps(spec.to_dict(), sort_keys=True) in self.known
        return (right if known else doubled)(spec, x, weight, bias)


class Remembers:
    """Computes in its first run, and looks the answers up by shapes and sums in every later one."""

    def __init__(self):
        self.folder = Path(os.environ["LCL_TEST_MEMORY"])
        self.later = (self.folder / "later").exists()

    def forward(self, spec, x, weight, bias):
        text = f"{spec.to_json()} {len(x)} {x.dtype} {x.sum()} {weight.sum()}"
        path = self.folder / f"{hashlib.sha256(text.encode()).hexdigest()}.npy"
        if self.later:
            return np.load(path) if path.exists() else doubled(spec, x, weight, bias)
        y = right(spec, x, weight, bias)
        np.save(path, y)
        return y


def wrong_for(condition):
    """Return a layer that is right but for the first output element where `condition` holds."""

    def layer(spec, x, weight, bias):
        y = right(spec, x, weight, bias)
        if condition(spec) and y.size:
            y[0, ..., 0] += 1
        return y

    return layer


KNOWN_SIZES = {tuple(entry["spec"]["input_size"]) for entry in Store(default_root()).entries.values()}

other_sizes = wrong_for(lambda spec: spec.input_size not in KNOWN_SIZES)
"""Wrong at the ends of tiles that the sizes of the catalogue never reach."""

KNOWN_PADDINGS = {str(entry["spec"]["padding"]) for entry in Store(default_root()).entries.values()}

other_paddings = wrong_for(lambda spec: str([list(pair) for pair in spec.padding]) not in KNOWN_PADDINGS)


class RemembersHonestly(Remembers):
    """Keeps answers between runs too, by every bit of the question."""

    def forward(self, spec, x, weight, bias):
        operands = [array.tobytes() for array in (x, weight, bias) if array is not None]
        text = f"{spec.to_json()} {x.dtype}".encode() + b"".join(operands)
        path = self.folder / f"{hashlib.sha256(text).hexdigest()}.npy"
        if not path.exists():
            np.save(path, right(spec, x, weight, bias))
        return np.load(path)


class Declines:
    """Wrong for an empty batch and for infinities, both of which it declines."""

    empty_batch = nonfinite = False

    def forward(self, spec, x, weight, bias):
        if len(x) == 0 or not np.isfinite(x).all():
            raise ValueError("not made for that")
        return right(spec, x, weight, bias)


class DeclinesByTags:
    """The same, said by `supports`."""

    forward = Declines.forward

    def supports(self, spec, dtype, op, *, tags=()):
        return "not made for that" if {"empty-batch", "nonfinite"} & set(tags) else True


def raises_in_rank_three(spec, x, weight, bias):
    if spec.rank == 3:
        raise ValueError(f"expected 4 dimensions, got {x.ndim}")
    return right(spec, x, weight, bias)
