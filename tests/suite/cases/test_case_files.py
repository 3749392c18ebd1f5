"""Files of the catalogue: what stands in them, and what is said of one that cannot be read."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

import lcl_ref as lcl
from lcl_ref.suite.cases import loader
from lcl_ref.suite.cases.case import ARRAYS, LAYER
from lcl_ref.suite.cases.catalogue import BY_ID, CASES
from lcl_ref.suite.cases.tables import ORDER, Table, tables

TABLES = {table.id: table for table in tables(loader.FOLDER)}
DEFAULTS = {name: each.default for name, each in inspect.signature(lcl.Spec).parameters.items()}

REASONS = 'why = "w"\nclauses = ["1.1"]\n'
SMALL = REASONS + "input_size = 5\nin_channels = 3\nout_channels = 4\nkernel_size = 2\n"


def read(folder: Path, files: Mapping[str, str], order: Sequence[str]) -> loader.Catalogue:
    for name, text in files.items():
        path = folder / f"{name}.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (folder / ORDER).write_text(f"order = {list(order)}")
    return loader.read(folder)


def test_file_and_table_are_the_id() -> None:
    table = TABLES["2d/padding/int-per-axis"]
    assert (table.file, table.name, table.family, table.topic) == ("2d/padding", "int-per-axis", "2d", "padding")
    assert "[int-per-axis]\n" in (loader.FOLDER / "2d" / "padding.toml").read_text()
    assert BY_ID[table.id].why == table.values["why"]


def test_nothing_is_written_that_is_so_anyway() -> None:
    for table in TABLES.values():
        written, known = dict(table.values), DEFAULTS | {"batch": loader.BATCH}
        if table.family == "refused":
            written = table.values.get("layer", {}) | table.values.get("arrays", {})
            known = {name: list(size) if isinstance(size, tuple) else size for name, size in (LAYER | ARRAYS).items()}
        assert [key for key, value in written.items() if repr(known.get(key)) == repr(value)] == [], table.where


def test_a_case_is_read_with_all_that_follows_from_it(tmp_path: Path) -> None:
    text = f'[new-one]\n{SMALL}batch = 0\nstride = 2\npadding = [[1, 0]]\ndegenerate = "why"\n'
    (case,) = read(tmp_path, {"1d/rounded": text}, ["1d/rounded"]).cases
    spec = lcl.Spec(input_size=5, in_channels=3, out_channels=4, kernel_size=2, stride=2, padding=((1, 0),))
    assert (case.id, case.spec, case.values, case.batch) == ("1d/rounded/new-one", spec, "rounded", 0)
    assert case.tags == ("empty-batch", "degenerate: why")


def test_none_has_a_form_of_its_own() -> None:
    layer, arrays = {"bias": loader.NONE}, {"x": loader.NONE, "dy": [2, 3]}
    table = Table("refused/a", "b", {"rule": "r", "why": "w", "clauses": ["1.1"], "layer": layer, "arrays": arrays})
    refusal = loader.refusal_of(table)
    assert refusal.arguments == LAYER | {"bias": None}
    assert refusal.arrays == ARRAYS | {"x": None, "dy": (2, 3)}


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("1d/plain", "[a]\nwhy = w", r"1d/plain.toml: got .*line 2.*, expected TOML"),
        ("1d/plain", f"[a]\n{SMALL}[a]\n{SMALL}", r"1d/plain.toml: got Cannot declare \('a',\) twice"),
        ("1d/plain", 'why = "w"', r"1d/plain.toml: why: got 'w', expected a table per case"),
        ("1d/plain", f"[a]\n{SMALL}strides = 2", r"1d/plain.toml, \[a\]: strides: got 2, expected one of the keys"),
        ("1d/plain", '[a]\nwhy = "w"', r"1d/plain.toml, \[a\]: clauses: got no such key, expected clauses of SPEC.md"),
        ("1d/plain", f"[a]\n{SMALL}batch = -1", r"1d/plain.toml, \[a\]: batch: got -1, expected a number of samples"),
        ("1d/plain", '[a]\nwhy = "w"\nclauses = "1.1"', r"\[a\]: clauses: got '1.1', expected clauses of SPEC.md, as"),
        ("1d/plain", f"[a]\n{REASONS}", r"1d/plain.toml, \[a\]: 4 rules are broken:.*no input_size"),
        ("1d/plain", f"[a]\n{SMALL}stride = 0", r"1d/plain.toml, \[a\]: stride.*: got 0, expected"),
        ("refused/a", f"[b]\n{REASONS}", r"refused/a.toml, \[b\]: rule: got no such key, expected the rule"),
        ("refused/a", f'[b]\n{REASONS}rule = "r"\narrays = 1', r"\[b\]: arrays: got 1, expected a table of the shapes"),
        ("extension/pruned", '[a]\nwhy = "w"\nvalues = "exact"', r"extension/pruned.toml, \[a\]: values: got 'exact'"),
    ],
)
def test_file_table_and_key_at_fault_are_named(tmp_path: Path, file: str, text: str, message: str) -> None:
    with pytest.raises(lcl.LclError) as caught:
        read(tmp_path, {file: text}, [file])
    assert re.search(message, str(caught.value), re.DOTALL)


def test_a_case_stands_where_its_id_or_else_its_file_is_listed(tmp_path: Path) -> None:
    files = {"1d/plain": f"[b]\n{SMALL}[a]\n{SMALL}[c]\n{SMALL}", "1d/kernel": f"[z]\n{SMALL}"}
    found = read(tmp_path, files, ["1d/plain/a", "1d/kernel", "1d/plain"])
    assert [case.id for case in found.cases] == ["1d/plain/a", "1d/kernel/z", "1d/plain/b", "1d/plain/c"]
    with pytest.raises(lcl.LclError, match=r"order.toml: 1d/kernel.toml: got no place, expected '1d/kernel' in its"):
        read(tmp_path, files, ["1d/plain"])
    with pytest.raises(lcl.LclError, match=r"order.toml: '1d/plain/d': got no such file and no such case"):
        read(tmp_path, files, ["1d/plain", "1d/kernel", "1d/plain/d"])


def test_every_table_is_in_the_catalogue() -> None:
    assert [case.id for case in CASES] == [name for name in TABLES if name[0].isdigit()]
    assert {table.family for table in TABLES.values()} == {"0d", "1d", "2d", "3d", "refused", "extension"}
