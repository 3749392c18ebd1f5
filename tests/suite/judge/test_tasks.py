"""What a cell asks, read from the golden data."""

from click.testing import CliRunner

from lcl_ref.cli.listing import explain
from lcl_ref.suite.cases.catalogue import CASES
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge import rounding
from lcl_ref.suite.judge.tasks import cell_exists, load_task

STORE = Store(default_root())
OPS = ("forward", "vjp", "transpose")


def test_operands_that_another_operation_takes_may_overflow_without_a_notice():
    """In float16 such an operand is infinite, and no cell is given it."""
    asked = 0
    for case in (one for one in CASES if "/values/" in one.id):
        entry = STORE.entries[case.id]
        for dtype in FORMATS:
            if any(cell_exists(entry, op, dtype) for op in OPS):
                load_task(STORE, case.id, dtype)
                asked += 1
    assert asked > 20


def test_a_warning_is_explained_by_its_name():
    result = CliRunner().invoke(explain, [rounding.NAME])
    assert result.exit_code == 0
    assert result.output.startswith(f"{rounding.NAME} (a warning; SPEC clause 12.11)")
