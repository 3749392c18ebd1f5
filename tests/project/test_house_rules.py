"""House rules that a linter does not know, counted over the files of the project."""

import ast
import os
import re
from pathlib import Path

import pytest

from tests.support.paths import ROOT

MODULE_LINES = 300
FUNCTION_LINES = 40

ONE_AFTER_THE_OTHER = "one test after the other, not a module to read through"

CATALOGUES = {
    "lcl_ref/layouts/catalogue.py": "one entry per layout",
    "tests/core/": ONE_AFTER_THE_OTHER,
    "tests/layouts/": ONE_AFTER_THE_OTHER,
    "tests/files/": ONE_AFTER_THE_OTHER,
    "tests/porting/": ONE_AFTER_THE_OTHER,
    "tests/layers/": ONE_AFTER_THE_OTHER,
    "tests/adapters/": ONE_AFTER_THE_OTHER,
    "tests/bench/": ONE_AFTER_THE_OTHER,
    "tests/suite/": ONE_AFTER_THE_OTHER,
    "tests/project/": ONE_AFTER_THE_OTHER,
    "tests/support/": ONE_AFTER_THE_OTHER,
}
"""Where modules may be longer than `MODULE_LINES`, with the reason; their functions may not."""


def tracked():
    """Yield the project's files: everything but what .gitignore names."""
    ignored = {line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split() if "*" not in line} | {".git"}
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in ignored and not name.endswith(".egg-info")]
        yield from (Path(folder) / name for name in files if not name.endswith(".pyc") and name not in ignored)


def texts():
    """Return {path below the root: text} of every text file."""
    found = {}
    for path in tracked():
        data = path.read_bytes()
        if b"\0" not in data:
            found[path.relative_to(ROOT).as_posix()] = data.decode()
    assert {"Makefile", "lcl_ref/core/spec.py", "backends/lcl_backends/__init__.py", ".ci/run"} <= found.keys()
    return found


TEXTS = texts()
SOURCES = {name: text for name, text in TEXTS.items() if name.endswith(".py")}


def lines_with(pattern, names):
    """Return ``file:line: text`` of every match of `pattern`."""
    regex = re.compile(pattern)
    return [
        f"{name}:{number}: {line.strip()}"
        for name in names
        for number, line in enumerate(TEXTS[name].splitlines(), 1)
        if regex.search(line)
    ]


@pytest.mark.parametrize(
    ("pattern", "example"),
    [
        (r"\b[ra]tol\s*=", "rtol" + "=1e-5"),
        (r"\b(all|is)close\b|\bapprox\b|_allclose\b|almost_equal", "np.all" + "close(a, b)"),
    ],
)
def test_no_tolerance_is_typed_or_taken_from_a_default(pattern, example):
    assert re.search(pattern, example)
    here = Path(__file__).relative_to(ROOT).as_posix()
    assert lines_with(pattern, SOURCES.keys() - {here}) == []


SKIPS = r"pytest\.(skip|xfail|importorskip)|mark\.(skip|skipif|xfail)|\bunittest\b"


def test_no_test_is_skipped():
    assert re.search(SKIPS, "@pytest.mark.skip" + "if(True)")
    here = Path(__file__).relative_to(ROOT).as_posix()
    # The kernel is an optional part, for machines with a C compiler; where CI tests commits nothing may be missing.
    optional = "tests/support/optional.py"
    assert len(lines_with(SKIPS, {optional})) == 1
    assert lines_with(SKIPS, {name for name in SOURCES if name.startswith("tests/")} - {here, optional}) == []


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_modules_are_short(name):
    if not any(name.startswith(place) for place in CATALOGUES):
        assert len(SOURCES[name].splitlines()) <= MODULE_LINES


def test_catalogues_exist():
    assert all((ROOT / place).exists() for place in CATALOGUES)


def body_lines(function):
    """Count the lines of a function's body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_functions_are_short(name):
    functions = [
        node for node in ast.walk(ast.parse(SOURCES[name])) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert [f"{node.name}: {body_lines(node)}" for node in functions if body_lines(node) > FUNCTION_LINES] == []


@pytest.mark.parametrize(
    ("pattern", "example"),
    [
        (r"(?<![\w.\]:/-])/(work|tmp|root|home|Users|opt)/\w", "open('/ho" + "me/me/x.npy')"),
        (
            r"\bpypi\.org|pythonhosted\.org|download\.pytorch\.org|npmjs\.(org|com)|--(extra-)?index-url",
            "pypi" + ".org",
        ),
    ],
)
def test_no_file_names_a_machine_or_a_package_registry(pattern, example):
    assert re.search(pattern, example)
    assert lines_with(pattern, TEXTS) == []


UNFINISHED = r"\b(TODO|FIXME|XXX|HACK)\b"


def test_nothing_is_left_unfinished():
    assert re.search(UNFINISHED, "# TO" + "DO: later")
    here = Path(__file__).relative_to(ROOT).as_posix()
    assert lines_with(UNFINISHED, SOURCES.keys() - {here}) == []


def test_every_ignored_lint_rule_has_its_reason():
    noqa = lines_with(r"#\s*noqa|#\s*type:\s*ignore", SOURCES)
    bare = [line for line in noqa if re.search(r"#\s*noqa(?!: [A-Z]+\d+)|type:\s*ignore(?!\[)", line)]
    assert [line for line in bare if not line.startswith("tests/project/test_house_rules.py")] == []


OWN_WORDS = ("lcl_ref/layers/keras.py", "lcl_ref/layers/engines/torch_")
"""The Keras layers take the arguments of those they replace; the torch engine reads the strides of arrays in memory."""


def test_names_are_those_of_the_frameworks():
    """One word per thing: kernel_size, stride, dilation, in_channels; no synonyms in signatures."""
    synonyms = {"kernel_shape", "strides", "filters", "padding_mode", "nb_filter", "dilations", "dilation_rate"}
    found = [
        f"{name}: {argument.arg}"
        for name, text in SOURCES.items()
        if name.startswith("lcl_ref/") and not name.startswith(OWN_WORDS)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
        for argument in (*node.args.args, *node.args.kwonlyargs)
        if argument.arg in synonyms
    ]
    assert found == []
