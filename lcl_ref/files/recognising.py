"""What a path holds, told by content first and by its name where content has no sign; nothing is trusted for it."""

from __future__ import annotations

import tomllib
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from lcl_ref.errors import FileError
from lcl_ref.files.untrusted import problem, reading, zip_archive
from lcl_ref.outside.nearest import nearest_file
from lcl_ref.outside.text import shown

START = 1 << 12
"""Bytes that are looked at."""

HDF5_SIGN = b"\x89HDF\r\n\x1a\n"
TORCH_STREAM = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How a file of torch before 1.6 begins, behind the protocol of its pickle."""

BY_NAME = {
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".keras": "keras",
    ".safetensors": "safetensors",
    ".npz": "npz",
    ".weights": "darknet",
    ".pt": "torch",
    ".pth": "torch",
}
"""Suffix -> kind, where the content has no sign: of darknet's, or of a file that is damaged."""


def kind_of(path: Path) -> str:
    """Return the kind of a file or folder: a reader's, or an entry of ``unread.toml``; empty where nothing fits."""
    if path.is_dir():
        return _folder(path)
    if not path.exists() and path.with_name(f"{path.name}.index").is_file():
        return "checkpoint"
    if not path.is_file():
        got, todo = ("no regular file", "") if path.exists() else ("no such file", nearest_file(path))
        raise problem(path, "missing", got, "a weight file", todo)
    with reading(path, "a weight file"), path.open("rb") as file:
        start = file.read(START)
    told = _readable(path, start) or _unread(path, start)
    if told in ("", "json"):
        return BY_NAME.get(path.suffix, told)
    return told


def refused(path: Path, kind: str) -> FileError:
    """Return the error for a file that is told and not read."""
    facts = unread().get(kind)
    if facts is None:
        expected = f"one of {', '.join(BY_NAME)}, or a folder of TensorFlow"
        return problem(path, "format", f"suffix {shown(path.suffix, 40)!r}", expected)
    todo = facts["todo"].replace("{file}", shown(path.name, 200))
    return problem(path, f"kind-{kind.replace('_', '-')}", facts["what"], "a weight file", todo)


def _readable(path: Path, start: bytes) -> str:
    """Return the kind of a file that is read, by its content."""
    if start.startswith(HDF5_SIGN) or any(start[place:].startswith(HDF5_SIGN) for place in (512, 1024, 2048)):
        return "" if start.startswith(b"MATLAB") else "hdf5"
    if start.startswith(b"PK\x03\x04"):
        return _archive(path)
    if start[2:].startswith(TORCH_STREAM):
        return "torch"
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= path.stat().st_size - 8:
        return "safetensors"
    if start.lstrip()[:1] == b"{" and path.suffix == ".json":
        return "tfjs" if _is_tfjs(path) else ""
    return "checkpoint" if _is_checkpoint(path, start) else ""


def _is_checkpoint(path: Path, start: bytes) -> bool:
    """Return whether a file is one of those of a checkpoint of TensorFlow."""
    if path.name == "checkpoint":
        return start.startswith(b"model_checkpoint_path")
    part = path.name.endswith(".index") or ".data-0" in path.name
    return part and path.with_name(_prefix(path.name) + ".index").is_file()


def _prefix(name: str) -> str:
    """Return the name of a checkpoint, of one of its files."""
    return name.removesuffix(".index").partition(".data-0")[0]


def _is_tfjs(path: Path) -> bool:
    """Return whether a JSON file lists shards of weights; of a long one, whether it says so near its ends."""
    size = path.stat().st_size
    with path.open("rb") as file:
        ends = file.read(1 << 16)
        file.seek(max(0, size - (1 << 20)))
        return b'"weightsManifest"' in ends + file.read(1 << 20)


def _archive(path: Path) -> str:
    with reading(path, "an archive"):
        try:
            with zip_archive(path) as archive:
                names = archive.namelist()
        except zipfile.BadZipFile:
            return ""
    if "config.json" in names and "model.weights.h5" in names:
        return "keras"
    told = next((kind for kind, facts in unread().items() if _has_member(facts, names)), "")
    if any(name.endswith("/data.pkl") for name in names) and told != "torchscript":
        return "torch"
    only_arrays = bool(names) and all(name.endswith(".npy") for name in names)
    return "npz" if only_arrays else "" if path.suffix in (".keras", ".npz") else told


def _has_member(facts: Mapping[str, Any], names: list[str]) -> bool:
    return any(name.endswith(end) for end in facts.get("members", ()) for name in names)


def _unread(path: Path, start: bytes) -> str:
    """Return the entry of ``unread.toml`` that fits: first by content, then by name."""
    if not start:
        return "empty"
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    told = next((kind for kind, facts in unread().items() if _begins(facts, start, text)), "")
    return _by_name(path) or told if told in ("", "json") else told


def _begins(facts: Mapping[str, Any], start: bytes, text: bytes) -> bool:
    own = start[facts.get("at", 0) :]
    return any(own.startswith(sign) or (sign[:1] in b"<{" and text.startswith(sign)) for sign in facts["starts"])


def _by_name(path: Path) -> str:
    name = path.name.lower()
    return next((kind for kind, facts in unread().items() if name.endswith(tuple(facts.get("suffixes", ())))), "")


@cache
def unread() -> dict[str, dict[str, Any]]:
    """Return the entries of ``unread.toml``, their signs as bytes."""
    found: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_name("unread.toml").read_text())
    for facts in found.values():
        facts["starts"] = [sign.encode("latin-1") for sign in facts.get("starts", ())]
    return found


def _folder(path: Path) -> str:
    names = {entry.name for entry in path.iterdir()}
    suffixes = [Path(name).suffix for name in names]
    tests: list[tuple[str, Callable[[], bool]]] = [
        ("saved_model", lambda: "saved_model.pb" in names),
        ("keras_folder", lambda: {"config.json", "model.weights.h5"} <= names),
        ("tfjs", lambda: "model.json" in names and _is_tfjs(path / "model.json")),
        ("checkpoint", lambda: "checkpoint" in names or suffixes.count(".index") == 1),
        ("orbax", lambda: bool({"_METADATA", "_CHECKPOINT_METADATA", "_sharding"} & names)),
        ("folder_of_shards", lambda: any(name.endswith(".index.json") or "-of-0" in name for name in names)),
    ]
    return next((kind for kind, fits in tests if fits()), "") or _by_name(path) or "folder"
