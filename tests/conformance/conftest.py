"""Which cells are slow tests, and which ports in other languages cannot be run.

A test run asks the first recommended route of each framework the core tier and every other backend the smoke tier;
the rest is for ``make test-all``, and for ``make run``.
"""

import os
import shutil

import pytest

from lcl_ref.suite.cases.catalogue import select
from lcl_ref.suite.cases.tiers import SMOKE, deciding_dtypes
from lcl_ref.suite.run.registry import declarations
from tests.support.marks import quick
from tests.support.paths import EXAMPLES
from tests.support.programs import run

TOOLS = {"js": "node", "c": "gcc"}
"""Port -> the program it needs. In CI it must be there; elsewhere what is missing is not run, and named at the end."""

OF_BOTH = ("test_port_keeps_to_the_protocol", "test_port_conforms")
"""What `make test` asks both ports; the rest it asks one of them."""

MISSING = {port: tool for port, tool in TOOLS.items() if shutil.which(tool) is None}

LIGHT = ("torch.fast", "mlx.fast")
"""Routes that transform a layer quickly; others compile a program for each transform."""

FIRST = {(case.id, dtype) for case in select(SMOKE) for dtype in deciding_dtypes(case.values)}
"""Case and dtype of the cells that every backend is asked."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark as slow what lies beyond the smoke tier but for one recommended route per framework, and what compiles."""
    recommended = [declaration for declaration in declarations() if declaration.recommended]
    whole = {one.framework: one.name for one in reversed(recommended)}.values()
    for item in items:
        cell = getattr(item, "callspec", None) and item.callspec.params.get("lcl_cell")
        if cell and not _is_quick(cell, whole):
            item.add_marker("slow")


def _is_quick(cell, whole):
    """Return whether `make test` asks a cell, where it asks some backends the `whole` core tier."""
    if cell.case.startswith("transform/") and cell.backend not in LIGHT:
        return False
    return cell.backend in whole or (cell.case, cell.dtype) in FIRST


def pytest_generate_tests(metafunc):
    """Run the tests that ask for a ``port`` with every port whose language is there, or that must be."""
    if "port" in metafunc.fixturenames:
        ports = [name for name in TOOLS if name not in MISSING or "CI" in os.environ]
        metafunc.parametrize("port", ports if metafunc.function.__name__ in OF_BOTH else quick(ports, "c"))


def pytest_terminal_summary(terminalreporter):
    """Name the ports that were not run."""
    for port, tool in MISSING.items():
        terminalreporter.write_line(f"not run: examples/{port} ({tool} is not installed)", yellow=True)


@pytest.fixture(scope="session")
def build(tmp_path_factory):
    """Give a function from a port, and optionally an edited copy of its sources, to the word for ``-b``."""

    def built(port, sources=None):
        assert port not in MISSING, f"{MISSING[port]} is not installed"
        sources = sources or EXAMPLES / port
        if port == "js":
            return f"exec:node '{sources / 'port.js'}'"
        program = tmp_path_factory.mktemp("c") / "port"
        _compile(sources, program)
        return f"exec:'{program}'"

    return built


def _compile(sources, program):
    strict = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    done = run("gcc", *strict, "-o", program, *sorted(sources.glob("*.c")))
    assert done.returncode == 0, done.stderr
