"""Models of Keras that stand in other files than its own, as a whole ``.h5`` or ``.keras`` file that Keras can load."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lcl_ref.errors import FileError, Violation
from lcl_ref.files import open_weights
from lcl_ref.files.keras import whole
from lcl_ref.files.recognising import kind_of, refused

_OWN = ("hdf5", "keras", "keras_folder")
_ARRAYS = {"safetensors": ".safetensors", "npz": ".npz", "torch": "PyTorch", "darknet": "darknet"}
"""Kinds of files that hold arrays without a model."""


@contextmanager
def as_keras_file(path: Path, architecture: Path | None) -> Iterator[tuple[Path, Path | None]]:
    """Give a file of Keras's own with the same model, and the architecture where it is still needed.

    Raises
    ------
    FileError
        If the file is of another kind, or holds arrays without a model.
    """
    kind = kind_of(path) if path.exists() or path.with_name(f"{path.name}.index").exists() else "hdf5"
    if kind in _ARRAYS or (kind == "checkpoint" and architecture is None):
        what = f"arrays without a model, of a {_ARRAYS.get(kind, 'TensorFlow')} file"
        todo = (
            "name its to_json as architecture" if kind == "checkpoint" else "build the model, and fill it: lcl convert"
        )
        raise FileError(Violation("file/model", path.name, what, "a model of Keras", todo=todo))
    if kind not in (*_OWN, "tfjs", "saved_model", "checkpoint"):
        raise refused(path, kind)
    with tempfile.TemporaryDirectory(prefix="lcl-") as folder:
        copy = Path(folder) / "model.h5"
        if kind == "keras_folder":
            copy = copy.with_suffix(".keras")
            _pack(path, copy)
        elif kind not in _OWN or (architecture is not None and _is_by_place(path, kind)):
            with open_weights(path, architecture) as old:
                if old.config is None:
                    got = f"a {old.form} without a configuration of Keras"
                    raise FileError(
                        Violation("file/model", path.name, got, "one", todo="name its to_json as architecture")
                    )
                whole.write(copy, path, old, {}, lambda name: old.tensors[name].read())
        yield (copy, None) if copy.exists() else (path, architecture)


def _is_by_place(path: Path, kind: str) -> bool:
    """Return whether weights alone stand where ``.keras`` files have them."""
    if kind != "hdf5":
        return False
    with open_weights(path) as file:
        return any(name.startswith(("layers/", "_layer_checkpoint_dependencies/")) for name in file.tensors)


def _pack(folder: Path, copy: Path) -> None:
    with zipfile.ZipFile(copy, "w") as archive:
        for name in ("metadata.json", "config.json", "model.weights.h5"):
            if (folder / name).is_file():
                archive.write(folder / name, name)
