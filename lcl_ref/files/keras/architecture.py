"""A Keras model as text beside its weights: what ``model.to_json()`` and ``to_yaml()`` wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lcl_ref.files.untrusted import check_regular, check_text, parse_json, problem, reading
from lcl_ref.outside.documents import check_nested

YAML = (".yaml", ".yml")


_MOST = 1 << 16
"""Lists and mappings of a model."""


def is_model(values: Mapping[str, Any]) -> bool:
    """Return whether a document is the configuration of a model."""
    return "class_name" in values and isinstance(values.get("config"), dict | list)


def read(path: Path) -> dict[str, Any]:
    """Return the document in a file, JSON, or YAML by its suffix.

    Raises
    ------
    FileError
        If it is neither, or YAML and there is no PyYAML.
    """
    with reading(path, "a JSON specification, or the to_json of a Keras model"):
        check_regular(path)
        check_text(path, "a specification", path.stat().st_size)
        if path.suffix in YAML:
            return _yaml(path)
        return parse_json(path, path.read_bytes(), "a specification")


def _yaml(path: Path) -> dict[str, Any]:
    try:
        import yaml  # type: ignore[import-untyped]  # noqa: PLC0415  not needed for any other format
    except ImportError as error:
        todo = "python -m pip install pyyaml, or write the model's to_json instead"
        raise problem(path, "library", "no module yaml", "it, to read YAML", todo) from error

    class Plain(yaml.SafeLoader):  # type: ignore[misc]
        """Tuples, which Keras wrote, are lists; nothing else that is no plain data is read, and nothing is merged."""

        def flatten_mapping(self, node: Any) -> None:
            """Leave ``<<`` alone: a few lines of it make more than any memory holds."""

    tuples = "tag:yaml.org,2002:python/tuple"
    Plain.add_constructor(tuples, lambda loader, node: loader.construct_sequence(node, deep=True))
    try:
        values = yaml.load(path.read_text(), Plain)  # noqa: S506  a SafeLoader
    except yaml.YAMLError as error:
        said = str(error).splitlines()[0]
        raise problem(path, "damaged", said, "the to_yaml of a Keras model, of plain data") from error
    check_nested(values, _MOST)
    if not isinstance(values, Mapping):
        raise problem(path, "yaml", f"a document that is a {type(values).__name__}", "a mapping")
    return dict(values)
