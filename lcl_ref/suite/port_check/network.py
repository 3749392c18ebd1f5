"""`verify_network`: a whole network of today against the stored one it came from, activation by activation.

Both run in float64, on the weights of the file and on drawn inputs. An activation holds if no number differs by more
than the rounding unit of float32 times the largest: by less than its answer loses where it is stored in float32. Two
orders of summation in float64 differ by far less; another epsilon, gate, order of features or padding by far more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lcl_ref.errors import FileError, Violation
from lcl_ref.files.contents import Array
from lcl_ref.files.opening import open_weights
from lcl_ref.outside import documents, scratch
from lcl_ref.outside.text import shown
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.port_check.code import child
from lcl_ref.suite.port_check.verify import Finding

SECONDS = 600.0
_OLD, _NEW = "lcl_ref.suite.port_check.old_network_child", "lcl_ref.suite.port_check.new_network_child"
_READABLE = ("Keras HDF5 model", "Keras archive")


def verify_network(old_path: Path, new_path: Path, code: str, progress: Callable[[str], object] = str) -> list[Finding]:
    """Compare the activations of a stored Keras model with those of a model of today.

    Parameters
    ----------
    old_path : Path
        A whole model of Keras 2, ``.h5`` or ``.keras``.
    new_path : Path
        The file that the new model is filled from.
    code : str
        ``FILE.py:NAME`` of a function. One with a parameter is given `new_path`, and returns a filled model, or what
        `lcl_ref.porting.fill` returned; one without returns a model, which is filled by names.
    progress : callable
        Is told what is being done.

    Returns
    -------
    list of Finding
        One for each layer with weights, in the order of the network, and one for the outputs.

    Raises
    ------
    FileError
        If the file holds no model, or one side cannot be run.
    """
    names = _layers(old_path)
    path, _, name = code.rpartition(":") if not code.endswith(".py") else (code, "", "")
    if not name or not Path(path).is_file():
        raise FileError(Violation("check/model", f"--model {code}", "no such file or name", "FILE.py:NAME"))
    with scratch.folder() as folder:
        progress("the old network")
        child(old_path.name, _OLD, [str(old_path.absolute()), str(folder)], folder, SECONDS)
        progress("the new network")
        arguments = [str(Path(path).absolute()), name, str(new_path.absolute()), str(folder)]
        child(f"--model {code}", _NEW, arguments, folder, SECONDS)
        old, runs = documents.read(folder / "old.json"), documents.read(folder / "new.json")
        answered = [run for run in runs if not run["told"]]
        if not answered:
            told = " / ".join(dict.fromkeys(shown(run["told"], 300) for run in runs))
            todo = "inputs are given as the old model has them, and with their channels first"
            raise FileError(Violation("check/model", f"--model {code}", told, "a model that can be called", todo=todo))
        found = [list(_findings(folder, names, old, run, code)) for run in answered]
    return min(found, key=lambda one: sum(finding.state == "fail" for finding in one))


def _layers(path: Path) -> list[str]:
    """Return the names of the layers with weights; no code of a file is run, so it must hold none."""
    with open_weights(path) as file:
        if file.form not in _READABLE or file.config is None:
            todo = "lcl convert writes one: OUT.h5 --from stored --to keras2/impl1/channels_last"
            raise FileError(Violation("check/model", path.name, file.form, "a .h5 or .keras of Keras 2", todo=todo))
        foreign = _foreign(file.config)
        if foreign:
            expected = "layers of Keras alone, for tf_keras builds them: code that a file names is not run"
            raise FileError(
                Violation("check/model", path.name, foreign, expected, todo="verify its layers, without --model")
            )
        return [layer.name for layer in file.network]


_CODE = ("Lambda", "TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "__lambda__", "function")


def _foreign(value: Any) -> str:
    """Return what a configuration names that is no layer, activation or the like of Keras, or nothing."""
    if isinstance(value, Mapping):
        module, name = value.get("module"), str(value.get("class_name", ""))
        own = module is None or (isinstance(module, str) and module.partition(".")[0] == "keras")
        if name in _CODE or ">" in name or not own:
            return f"{name or 'an object'} of {module or 'the file'}"
    inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return next(filter(None, map(_foreign, inside)), "")


def _findings(
    folder: Path, names: Sequence[str], old: Mapping[str, Any], run: Mapping[str, Any], code: str
) -> Iterator[Finding]:
    """Yield the verdicts of one run; the first layer that differs says what stands before it."""
    side, before, broken = f"new: {Path(code).name}", "the input", ""
    for name in [*names, *(f"output {number}" for number in range(len(run["outputs"])))]:
        place = name.removeprefix("output ")
        stored = old["outputs"][int(place) : int(place) + 1] if name.startswith("output ") else old["layers"].get(name)
        new = run["outputs"][int(place)] if name.startswith("output ") else run["layers"].get(name)
        if not stored or new is None:
            yield Finding(name, side, "activation", "not_run", None, "no activation of its own, or no partner")
            continue
        ratio, told = _compared([_array(folder, one) for one in stored], _array(folder, new))
        if not told:
            before = name if not broken else before
            yield Finding(name, side, "activation", "pass", ratio)
            continue
        todo = f"the first that differs: its arrays, or what lies between {before} and it; " if not broken else ""
        broken = broken or name
        yield Finding(name, side, "activation", "fail", ratio, todo + told)


def _array(folder: Path, name: str) -> Array:
    array: Array = np.load(folder / name, allow_pickle=False)
    return array


def _compared(stored: Sequence[Array], new: Array) -> tuple[float | None, str]:
    """Return the largest error over its limit, and what is wrong: before or after the old layer's own activation."""
    ratios = []
    for old in stored:
        limit = FORMATS["float32"].unit_roundoff * float(np.abs(old).max(initial=0))
        for form in _forms(new):
            if form.shape == old.shape:
                error = float(np.abs(form - old).max(initial=0))
                ratios.append(0.0 if error == 0 else error / limit if limit and np.isfinite(error) else np.inf)
    if not ratios:
        return None, f"shape {new.shape}, in the old network {stored[0].shape}"
    ratio = min(ratios)
    return (ratio if np.isfinite(ratio) else None), "" if ratio <= 1 else f"{ratio:.3g} times the rounding of float32"


def _forms(new: Array) -> Iterator[Array]:
    """Yield an activation with its channels where they are, and last; of a sequence, its end too."""
    yield new
    if new.ndim > 2:
        yield np.moveaxis(new, 1, -1)
    if new.ndim == 3:
        half = new.shape[-1] // 2
        yield new[:, -1]
        yield np.concatenate([new[:, -1, :half], new[:, 0, half:]], -1)  # both directions
