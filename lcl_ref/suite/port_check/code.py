"""What a user's own code of a layer computes with the arrays of a file: it proves how they are to be read."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lcl_ref.errors import FileError, Violation
from lcl_ref.files.contents import Array, LocalLayer, WeightFile
from lcl_ref.files.opening import open_weights
from lcl_ref.outside import documents, processes, scratch
from lcl_ref.outside.text import shown

SECONDS = 120.0
BATCH, SEED = 2, 5
READ_AS = "canonical"
"""Layout that a layer is opened in where only its arrays, as they are, matter."""


def answers(source: Path, spec: Path | None, layer: str, code: str) -> list[tuple[Array, Array]]:
    """Run ``FILE.py:NAME`` with the stored arrays of a layer, and return inputs and outputs.

    Parameters
    ----------
    source, spec, layer
        As `open_weights` takes them; the layer is the one called so, or the only one.
    code : str
        A class, a function of ``x``, ``weight`` and ``bias`` by these names, or one without arguments that returns a
        layer. A class is built with the arguments it asks for by name, and given the arrays as its framework does.

    Returns
    -------
    list of (array, array)
        Input and output for each order of axes (channels first, channels last) that the code takes.

    Raises
    ------
    FileError
        If the code fails; the error has its own words.
    """
    with open_weights(source, spec, layer, READ_AS) as file:
        found = file.called(layer) if layer else file.layers
        if len(found) != 1:
            expected = "one layer to check, named with --layer, and its specification with --spec"
            raise FileError(Violation("check/layers", source.name, f"{len(found)} layers", expected))
        return _run(file, found[0], code)


def _run(file: WeightFile, layer: LocalLayer, code: str) -> list[tuple[Array, Array]]:
    path, _, name = code.rpartition(":") if code.count(":") and not code.endswith(".py") else (code, "", "")
    if not Path(path).is_file():
        raise _refusal(code, f"no file {path}", "FILE.py:NAME, of a class or function", "")
    weight = file.tensors[layer.weight].read()
    x = np.random.default_rng(SEED).integers(-3, 4, layer.spec.x_shape(BATCH)).astype(weight.dtype)
    orders = [np.moveaxis(x, -1, 1), x] if layer.spec.rank else [x]
    with scratch.folder() as folder:
        arrays = {"weight": weight} | ({"bias": file.tensors[layer.bias].read()} if layer.bias else {})
        for number, (kind, array) in enumerate(arrays.items()):
            np.save(folder / f"{kind}.npy", array)
            (folder / f"{number}.name").write_text({"weight": layer.weight, "bias": layer.bias}[kind])
        for number, given in enumerate(orders):
            np.save(folder / f"x{number}.npy", given)
        (folder / "spec.json").write_text(layer.spec.to_json())
        arguments = [str(Path(path).absolute()), name, str(folder)]
        child(f"--check-code {code}", "lcl_ref.suite.port_check.code_child", arguments, folder, SECONDS)
        told = documents.read(folder / "told.json")
        found = [
            (given, _answer(folder / f"y{number}.npy")) for number, given in enumerate(orders) if told[number] == ""
        ]
    if not found:
        todo = "name a function without arguments that returns the layer: def make(): return Layer(...)"
        raise _refusal(code, shown(" / ".join(map(str, told)), 400), f"a layer that takes x {x.shape}", todo)
    return found


def _answer(path: Path) -> Array:
    array: Array = np.load(path, allow_pickle=False)
    return array


def child(blamed: str, module: str, arguments: Sequence[str], folder: Path, seconds: float) -> None:
    """Run a module of ours, which runs code of others, in a process that ends with everything it started.

    Raises
    ------
    FileError
        If it fails, or is not done in time; `blamed` is whose fault that is.
    """
    process = subprocess.Popen(  # noqa: S603  our own module
        processes.command(module, *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=processes.environment({"TMPDIR": str(folder)}),
        start_new_session=True,
    )
    processes.look_after(process.pid, folder)
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired as error:
        violation = Violation("check/code", blamed, f"no answer in {seconds:.0f} s", "an answer")
        raise FileError(violation) from error
    finally:
        processes.end(process.pid, folder)
        process.kill()
        process.wait()
    if process.returncode:
        last = shown(said.decode(errors="replace").strip().rpartition("\n")[2], 600)
        got = f"exit status {process.returncode}: {last}"
        raise FileError(Violation("check/code", blamed, got, "code that can be run"))


def _refusal(code: str, got: str, expected: str, todo: str) -> FileError:
    return FileError(Violation("check/code", f"--check-code {code}", got, expected, todo=todo))
