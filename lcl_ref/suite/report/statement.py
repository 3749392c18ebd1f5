"""A report as an in-toto statement, which the tools that sign such statements take."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"


def in_toto(path: Path, report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the statement about the report in a file: its digest, and which cells passed.

    Parameters
    ----------
    path : Path
        The file.
    report : mapping
        Its content, as `lcl_ref.suite.report.merge.read` returns it.
    """
    tests: dict[bool, list[str]] = {True: [], False: []}
    for row in report["outcomes"]:
        if row["state"] in ("pass", "fail", "error"):
            name = " ".join(row[part] for part in ("run", "backend", "case", "op", "dtype"))
            tests[row["state"] == "pass"].append(name)
    return {
        "_type": STATEMENT,
        "subject": [{"name": path.name, "digest": {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}}],
        "predicateType": PREDICATE,
        "predicate": {
            "result": "PASSED" if tests[True] and not tests[False] else "FAILED",
            "configuration": [
                {"name": "conformance_data/SHA256SUMS", "digest": {"sha256": report["suite"]["fixtures_sha256"]}}
            ],
            "passedTests": tests[True],
            "failedTests": tests[False],
        },
    }
