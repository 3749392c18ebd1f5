"""The three things one does with golden data: verify its checksums, check that it regenerates, write it anew."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from lcl_ref.errors import FixtureError, Violation
from lcl_ref.outside.text import shown
from lcl_ref.outside.writing import check_folder, write_folder
from lcl_ref.suite.golden.regenerate import build
from lcl_ref.suite.golden.store import INDEX, README, SUMS, Store, parse_tensors, sha256, sums


def default_root() -> Path:
    """Return the checkout's ``conformance_data/`` where this package is run from one, else the copy in the wheel."""
    package = Path(__file__).resolve().parents[2]
    checkout = package.parent / "conformance_data"
    return checkout if (package.parent / "pyproject.toml").is_file() else package / "_conformance_data"


def verify(root: Path) -> Store:
    """Compare every file with ``SHA256SUMS`` and every array with the index.

    Returns
    -------
    Store
        The verified data.

    Raises
    ------
    FixtureError
        Naming each file, and the array inside it, that differs.
    """
    store = Store(root)
    expected = _listed(store)
    problems = [
        Violation("fixtures/unlisted", name, "a file", f"no file that {SUMS} does not list")
        for name in sorted({path.name for path in root.iterdir()} - expected.keys() - {SUMS})
    ]
    for name, digest in expected.items():
        if not (root / name).is_file():
            todo = f"restore the file, or {SUMS} if that changed"
            problems.append(Violation("fixtures/missing", name, "no such file", f"a file ({SUMS})", todo=todo))
            continue
        got = sha256(store.read(name))
        if got != digest:
            todo = "restore the file, or regenerate with `lcl fixtures write`"
            problems.append(
                Violation("fixtures/sha256", _place(store, name), f"SHA-256 {got}", f"{digest} ({SUMS})", todo=todo)
            )
    problems = problems or list(_malformed(store.index, expected))
    if problems:
        raise FixtureError(problems, context=str(root))
    return store


_FIELDS = {"id": str, "values": str, "batch": int, "clauses": list}
"""Field of an entry of the index -> what it is; cases have a layer, too, and those that are stored `_STORED`."""

_LAYER, _STORED = {"spec": dict}, {"file": str, "arrays": dict}


def _malformed(index: Mapping[str, Any], files: Collection[str]) -> Iterator[Violation]:
    """Yield the entries of an index that are none, whatever the checksums say."""
    sections = {"cases": _FIELDS | _LAYER | _STORED, "generated": _FIELDS | _LAYER, "extensions": _FIELDS | _STORED}
    for section, fields in sections.items():
        entries = index.get(section, [])
        for number, entry in enumerate(entries if isinstance(entries, list) else [None]):
            found = entry if isinstance(entry, dict) else {}
            wrong = [name for name, kind in fields.items() if not isinstance(found.get(name), kind)]
            if wrong or found.get("file", SUMS) not in {*files, SUMS}:
                name = wrong[0] if wrong else "file"
                got = f"{name} {shown(found.get(name), 80)!r}"
                yield Violation("fixtures/index", f"{INDEX}, {section}[{number}]", got, f"fields {', '.join(fields)}")
                return


def _listed(store: Store) -> dict[str, str]:
    lines = store.read(SUMS).decode(errors="replace").splitlines()
    pairs = [line.split("  ", 1) for line in lines]
    if not pairs or any(len(pair) != 2 for pair in pairs):
        bad = next((number for number, pair in enumerate(pairs, 1) if len(pair) != 2), 0)
        raise FixtureError(Violation("fixtures/sums", SUMS, f"line {bad}", "lines '<sha256>  <file>'"))
    return {name: digest for digest, name in pairs}


def _place(store: Store, name: str) -> str:
    """Return the file name with the arrays at fault, as far as the index can tell."""
    if not name.endswith(".safetensors"):
        return name
    try:
        stored = parse_tensors(store.read(name), name)
        listed = {
            f"{entry['id']}/{array}": facts["sha256"]
            for entry in (*store.entries.values(), *store.extensions.values())
            if entry.get("file") == name
            for array, facts in entry["arrays"].items()
        }
    except FixtureError as error:
        return f"{name} (header: {error.got})"
    wrong = [key for key, digest in listed.items() if key not in stored or sha256(stored[key].tobytes()) != digest]
    if wrong:
        return f"{name}, array {', '.join(wrong)}"
    return f"{name} (header; every array is intact, so the file's header or {SUMS} changed)"


def check(root: Path) -> int:
    """Regenerate everything in memory and compare byte for byte; return the number of files compared.

    Raises
    ------
    FixtureError
        Naming each file, and the array inside it, that regenerates differently.
    """
    store = Store(root)
    fresh = _with_readme(root, build())
    fresh[SUMS] = sums(fresh)
    problems = [
        Violation("fixtures/regenerate", _changed(store, name, data), "other bytes", "the bytes that regenerate")
        for name, data in fresh.items()
        if not (root / name).is_file() or store.read(name) != data
    ]
    if problems:
        raise FixtureError(problems, context=str(root))
    return len(fresh)


def _changed(store: Store, name: str, data: bytes) -> str:
    if not name.endswith(".safetensors") or not (store.root / name).is_file():
        return name
    old, new = parse_tensors(store.read(name), name), parse_tensors(data, name)
    changed = [
        key
        for key in sorted(old.keys() | new.keys())
        if key not in old or key not in new or old[key].tobytes() != new[key].tobytes()
    ]
    return f"{name}, array {', '.join(changed[:5])}{' ...' if len(changed) > 5 else ''}"


def check_place(root: Path) -> None:
    """Refuse a place for golden data, before the work, that holds anything else.

    Raises
    ------
    FileError
        If it does, or cannot be written.
    """
    check_folder(root, _is_golden, "golden data")


def _is_golden(root: Path) -> bool:
    """Return whether a folder is a golden set, whole or damaged, and nothing beside it."""
    store = Store(root)
    try:
        names = {*_listed(store), SUMS, README}
        return bool(store.index) and {path.name for path in root.iterdir()} <= names
    except FixtureError:
        return False


def write(root: Path) -> int:
    """Regenerate everything and put it in the place of `root`; return the number of bytes.

    Raises
    ------
    FileError
        As `check_place`.
    """
    check_place(root)
    files = _with_readme(root, build())
    files[SUMS] = sums(files)
    write_folder(root, files.items())
    return sum(map(len, files.values()))


def _with_readme(root: Path, files: dict[str, bytes]) -> dict[str, bytes]:
    """Add the hand-written README of the folder, which the checksums cover too."""
    readme = root / README
    return files | ({README: readme.read_bytes()} if readme.is_file() else {})
