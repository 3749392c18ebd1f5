"""Reports that pages are tried on."""

from lcl_ref.suite.cases.tiers import in_tier
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.outcome import STATES, outcome
from lcl_ref.suite.report.document import document
from lcl_ref.suite.run.cells import make_plan
from lcl_ref.suite.run.loading import resolve
from lcl_ref.suite.run.settings import BackendReport

WRONG_LAYER = """
import lcl_ref
def forward(spec, x, weight, bias):
    y = lcl_ref.forward(spec, x, weight, bias)
    if spec.rank == 2:
        y = y[:, ::-1]
    return y if spec.rank != 1 else y + y.dtype.type(2**-22)
def vjp(spec, x, weight, bias, dy):
    dx, dw, db = lcl_ref.vjp(spec, x, weight, bias, dy)
    return dx[..., ::-1], dw, db
def supports(spec, dtype, op):
    return op != "transpose" or "it has <b>no</b> transpose"
"""
"""A layer whose rank 2 is upside down, whose rank 1 is off by a little, and whose dx has its channels reversed."""

HOSTILE = [
    "</script><script>window.broken = 1</script>",
    "<img src=x onerror='window.broken = 1'>",
    '"><svg onload=window.broken=1>',
    "javascript:window.broken=1",
    "' onmouseover='window.broken=1",
    "{{ 7 * 7 }}{% raw %}<!--",
    "__proto__",
    "a/b#c?d&e%2F\u2028\u202e",
]
"""Texts that would steer a page that took them for markup, for script, or for an address."""


def hostile(state="fail"):
    """Return a report of golden data that is not ours, in which every text is another's."""
    rows = []
    for number, text in enumerate(HOSTILE):
        row = {"backend": text, "case": text, "op": "forward", "dtype": text, "state": state, "error_ratio": None}
        rows.append(row | {"seconds": 0.1, "message": text, "diagnosis": text if state == "fail" else None})
        rows[-1] |= {"spec": {"input_size": [text]}, "batch": number}
    names = ("name", "framework", "version", "message")
    backends = [dict.fromkeys(names, text) | {"availability": "present"} for text in HOSTILE]
    machine = dict.fromkeys(("system", "release", "machine", "processor", "driver", "python", "numpy"), HOSTILE[0])
    count = len(rows)
    return {
        "format": "lcl-report/1",
        "suite": {"version": HOSTILE[1], "fixtures_sha256": HOSTILE[2]},
        "date": "2026-01-02T03:04:05+00:00",
        "machine": machine,
        "backends": backends,
        "outcomes": rows,
        "summary": dict.fromkeys(STATES, 0) | {state: count},
    }


def whole_core():
    """Return a report with the cells of every registered backend in the core tier, by turns right and unsupported."""
    store, refs = Store(default_root()), resolve([])
    cells = [cell for mine in make_plan(refs, store, in_tier("core"), tier="core").values() for cell in mine]
    outcomes = [
        outcome(cell, "unsupported", message=f"no {cell.op} in {cell.dtype}, for a reason that {cell.backend} has")
        if number % 3 == 0
        else outcome(cell, "pass", error_ratio=(number % 997) / 1000, seconds=0.01)
        for number, cell in enumerate(cells)
    ]
    return document(
        [BackendReport(ref.name, "present", ref.name.split(".")[0], "1.0") for ref in refs], outcomes, store
    )
