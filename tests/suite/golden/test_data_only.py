"""The golden data used with nothing of ours: the reader printed in its README, and a layer written from SPEC.md."""

import ast
import importlib
import itertools
import math
import re
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from lcl_ref.suite.cases.extensions import KINDS
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from tests.support.marks import quick
from tests.support.programs import python, run

DATA = default_root()
PAGE = (DATA / "README.md").read_text()
READER, MAKER = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

FLOAT32 = {"u": 2.0**-24, "eta": 2.0**-149}


@pytest.fixture(scope="module")
def cases():
    """Return what the reader reads: {id: (entry, arrays)}."""
    functions, _, _ = READER.partition("\nfor entry, arrays in cases(")
    names = {}
    exec(compile(functions, "README.md", "exec"), names)  # noqa: S102 -- the code a reader of the page would copy
    sections = itertools.chain(names["cases"](DATA), names["cases"](DATA, "extensions"))
    return {entry["id"]: (entry, arrays) for entry, arrays in sections}


def test_the_reader_is_short_and_imports_only_the_standard_library():
    assert len([line for line in READER.splitlines() if line.strip()]) <= 30
    imported = {
        name.name for node in ast.walk(ast.parse(READER)) if isinstance(node, ast.Import) for name in node.names
    }
    assert imported <= set(sys.stdlib_module_names)
    assert not any(isinstance(node, ast.ImportFrom) for node in ast.walk(ast.parse(READER)))


def test_the_reader_runs_as_it_stands(tmp_path):
    program = tmp_path / "reader.py"
    program.write_text(READER)
    done = python("-I", "-S", program, DATA)
    assert done.returncode == 0, done.stderr
    stored = [entry["id"] for entry in Store(DATA).index["cases"]]
    assert [line.split()[0] for line in done.stdout.splitlines()] == stored


def test_it_reads_the_numbers_that_we_read(cases):
    store = Store(DATA)
    for case_id, (_, arrays) in cases.items():
        ours = store.arrays(case_id)
        assert arrays.keys() == ours.keys()
        for name, (shape, numbers) in arrays.items():
            assert tuple(shape) == ours[name].shape
            assert np.array_equal(np.array(numbers, np.float64), ours[name].astype(np.float64).ravel(), equal_nan=True)


def test_the_page_names_every_field_and_array():
    index = Store(DATA).index
    of_extensions = PAGE.partition("## An entry of `extensions`")[2].partition("\n## ")[0]
    named = {
        name for row in re.findall(r"^\| (`.*?) \|", of_extensions, re.MULTILINE) for name in re.findall(r"[\w-]+", row)
    }
    assert named == {field for entry in index["extensions"] for field in entry} | set(KINDS)
    for kind, facts in KINDS.items():
        (operands, results) = re.search(rf"^\| `{kind}` \| (.*) \| (.*) \|$", of_extensions, re.MULTILINE).groups()
        names = [re.findall(r"`([a-z]\w*)`", re.sub(r"\([^)]*\)+", "", cell)) for cell in (operands, results)]
        assert names == [list(facts.operands), list(facts.results)]
    fields = {field for entry in index["cases"] for field in entry}
    table = PAGE.partition("## An entry of `cases`")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == fields
    arrays = {name.rpartition("/")[2] for entry in index["cases"] for name in entry["arrays"]}
    table = PAGE.partition("## Arrays")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"\w+", row)} == arrays
    generated = {field for entry in index["generated"] for field in entry}
    of_generated = PAGE.partition("## An entry of `generated`")[2]
    assert set(re.findall(r"^\| `(\w+)` \|", of_generated, re.MULTILINE)) == generated - fields
    refused = {field for entry in index["refused"] for field in entry}
    assert refused == {"id", "rule", "why", "clauses", "arguments", "arrays"}
    for tag in {tag.partition(":")[0] for entry in index["cases"] for tag in entry["tags"]}:
        assert f"`{tag}" in PAGE


def test_the_formulas_of_the_page_are_those_of_the_specification():
    spec = (DATA.parent / "SPEC.md").read_text()
    squeezed = re.sub(r"\s", "", spec)
    assert "E+u*(|golden|+E)+eta/2" in squeezed
    assert "E+u*(|golden|+E)+eta/2" in re.sub(r"\s", "", PAGE)
    assert "gamma(K+1)*S+K*eta_s" in squeezed


def terms(spec, batch):
    """Yield ``(y index, x index, weight index, bias index)`` of every product, and of every output before them."""
    sizes, kernel, rank = spec["input_size"], spec["kernel_size"], len(spec["input_size"])
    windows = [spec["dilation"][a] * (kernel[a] - 1) + 1 for a in range(rank)]
    output = [(sizes[a] + sum(spec["padding"][a]) - windows[a]) // spec["stride"][a] + 1 for a in range(rank)]
    width, block = spec["in_channels"] // spec["groups"], spec["out_channels"] // spec["groups"]
    grouped = [[f // block * width + c for c in range(width)] for f in range(spec["out_channels"])]
    table = spec.get("channel_table", grouped)
    stored = [1 if spec["shared"][a] else output[a] for a in range(rank)]
    for n, o, f in itertools.product(range(batch), indices(output), range(spec["out_channels"])):
        bias = flat([*o, f], [*output, spec["out_channels"]]) if spec["bias"] == "position" else f
        y = flat([n, *o, f], [batch, *output, spec["out_channels"]])
        yield y, None, None, bias
        own = [0 if spec["shared"][a] else o[a] for a in range(rank)]
        for k, c in itertools.product(indices(kernel), range(len(table[f]))):
            site = [o[a] * spec["stride"][a] + k[a] * spec["dilation"][a] - spec["padding"][a][0] for a in range(rank)]
            if all(0 <= site[a] < sizes[a] for a in range(rank)):
                x = flat([n, *site, table[f][c]], [batch, *sizes, spec["in_channels"]])
                weight = [*own, *k, c, f], [*stored, *kernel, len(table[f]), spec["out_channels"]]
                yield y, x, flat(*weight), None


def indices(sizes):
    return itertools.product(*map(range, sizes))


def flat(index, sizes):
    at = 0
    for one, size in zip(index, sizes, strict=True):
        at = at * size + one
    return at


def forward(entry, x, weight, bias, size):
    """Return y and, per element, its number of products K."""
    y, products = [0] * size, [0] * size
    for at, ix, iw, ib in terms(entry["spec"], entry["batch"]):
        if ix is None:
            y[at] = bias[ib] if bias else 0
        else:
            y[at] += x[ix] * weight[iw]
            products[at] += 1
    return y, products


def operands(arrays, prefix=""):
    given = [arrays[prefix + name][1] if prefix + name in arrays else None for name in ("x", "weight", "bias")]
    return given, list(arrays[prefix + "y"][1])


@pytest.mark.parametrize("every", quick([1, 4], 4))
def test_exact_and_nonfinite_results_follow_from_the_specification(cases, every):
    compared = 0
    for entry, arrays in list(cases.values())[::every]:
        if "kind" not in entry and entry["values"] in ("exact", "nonfinite") and len(entry["spec"]["input_size"]) < 3:
            given, golden = operands(arrays)
            y, _ = forward(entry, *given, len(golden))
            assert [one for one, other in zip(y, golden, strict=True) if one != other and one == one] == []  # noqa: PLR0124
            assert [math.isnan(one) for one in y] == [math.isnan(other) for other in golden]
            compared += 1
    assert compared > 100 // every


def plain_weight(entry, arrays):
    """Return the weight of the plain layer that an extension is reduced to."""
    spec, rank = entry["spec"], len(entry["spec"]["input_size"])
    if entry["kind"] == "quantised":
        return arrays["quantised"][1]
    if entry["kind"] == "low-rank":
        (sizes, mixing), (shape, kernels) = arrays["mixing"], arrays["kernels"]
        count, each = shape[0], math.prod(shape[1:])
        pairs = itertools.product(range(math.prod(sizes[:-1])), range(each))
        return [sum(mixing[o * count + r] * kernels[r * each + at] for r in range(count)) for o, at in pairs]
    if entry["kind"] == "regions":
        return of_regions(arrays, "kernels")
    shape, weight = arrays["weight"]
    opened = []
    for number, place in enumerate(indices(shape)):
        away = max(abs(k - (size - 1) / 2) for k, size in zip(place[rank:], spec["kernel_size"], strict=False))
        radius = arrays["radius"][1][flat(place[:rank], arrays["radius"][0])]
        opened.append(weight[number] * min(max(radius + 1 - away, 0), 1))
    return opened


def of_regions(arrays, name):
    """Return for every position, one after the other, what is stored for its region."""
    shape, numbers = arrays[name]
    each = math.prod(shape[1:])
    return [numbers[q * each + at] for q in arrays["regions"][1] for at in range(each)]


def test_extensions_that_are_another_weight_follow_from_the_specification(cases):
    compared = 0
    for entry, arrays in cases.values():
        if entry.get("kind") in ("adaptive", "low-rank", "quantised", "regions"):
            _, golden = arrays["sums" if entry["kind"] == "quantised" else "y"]
            bias = arrays["bias"][1] if "bias" in arrays else None
            if entry["kind"] == "regions" and entry["spec"]["bias"] == "position":
                bias = of_regions(arrays, "bias")
            y, _ = forward(entry, arrays["x"][1], plain_weight(entry, arrays), bias, len(golden))
            assert y == list(golden)
            compared += 1
    assert compared == 9


def test_sizes_are_made_and_checked_as_the_page_says():
    """Without NumPy and without our code: the operands, the layer as the clause has it, and the projections."""
    names = {name: importlib.import_module(name) for name in ("hashlib", "math", "struct")}
    exec(compile(MAKER, "README.md", "exec"), names)  # noqa: S102 -- the code a reader of the page would copy
    store = Store(DATA)
    for case_id in ("0d/sizes/batch-33", "1d/sizes/channels-16-to-65", "2d/sizes/groups-16"):
        entry, ours = store.entries[case_id], store.arrays(case_id)
        given = {name: names["operand"](entry, name) for name in ours if name not in entry["checks"]}
        assert all(given[name] == ours[name].ravel().tolist() for name in given)
        y, _ = forward(entry, given["x"], given["weight"], given.get("bias"), ours["y"].size)
        assert names["right"](entry, "y", y)
        assert y == ours["y"].ravel().tolist()
        y[-1] += 1
        assert not names["right"](entry, "y", y)


def test_rounded_results_agree_within_the_limit_of_the_page(cases):
    u, eta = FLOAT32["u"], FLOAT32["eta"]
    for case_id in ("0d/rounded/groups", "1d/rounded/few-terms", "2d/rounded/few-terms"):
        entry, arrays = cases[case_id]
        given, golden = operands(arrays, "float32/")
        y, products = forward(entry, *given, len(golden))
        sums, _ = forward(entry, *([abs(one) for one in operand or ()] for operand in given), len(golden))
        for answer, exact, count, size in zip(map(rounded, y), golden, products, sums, strict=True):
            bound = (count + 1) * u / (1 - (count + 1) * u) * size + count * eta
            limit = bound + u * (abs(exact) + bound) + eta / 2
            assert abs(answer - exact) <= limit < size


def rounded(number):
    """Return the float32 nearest to a number."""
    return struct.unpack("<f", struct.pack("<f", number))[0]


def test_checksums_hold_by_the_ordinary_tool():
    done = run("sha256sum", "-c", "--quiet", "SHA256SUMS", cwd=DATA)
    assert done.returncode == 0, done.stdout + done.stderr
    assert Path(DATA / "SHA256SUMS").read_text().count("README.md") == 1
