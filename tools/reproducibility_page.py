"""The table of docs/reproducibility.md from what ``lcl reproducibility --json FOUND.json`` measured.

``python -m tools.reproducibility_page FOUND.json``
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tools.tables import refreshed

PAGE = Path(__file__).parents[1] / "docs" / "reproducibility.md"


def table(found: dict[str, Any]) -> str:
    """Return what was measured in Markdown: a row for each backend, and one witness for each difference."""
    names = list(found["classes"])
    measured = [one for one in found["backends"] if one["answered"]]
    machine = found["machine"]
    lines = [
        f"{found['dtype']}, {machine['system']} on {machine['machine']}, {found['cores']} cores.",
        "",
        f"| backend | results | {' | '.join(names)} | same bits as |",
        "|---|---|" + "---|" * (len(names) + 1),
    ]
    for one in measured:
        words = " | ".join(_word(one["classes"].get(name)) for name in names)
        alike = ", ".join(f"`{other}`" for other in one["same_as"]) or "-"
        lines.append(f"| `{one['backend']}` | {one['answered']} | {words} | {alike} |")
    lines += [
        "",
        "Witnesses:",
        "",
        "| backend | changed | case | where | plain | changed |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_witness(one["backend"], entry["witness"]) for one in measured for entry in one["classes"].values()]
    return "\n".join(line for line in lines if line is not None)


def _word(entry: dict[str, Any] | None) -> str:
    if entry is None:
        return "-"
    return "same" if entry["same_bits"] else "differs"


def _witness(backend: str, witness: dict[str, Any] | None) -> Any:
    """Return a row, or None where there is no witness."""
    if witness is None:
        return None
    where = f"{witness['op']}, {witness['result']}[{', '.join(map(str, witness['position']))}]"
    numbers = f"{witness['plain']!r} | {witness['other']!r}"
    return f"| `{backend}` | {witness['circumstance']} | `{witness['case']}` | {where} | {numbers} |"


def main() -> None:
    """Write the table between the markers of the page."""
    found = json.loads(Path(sys.argv[1]).read_text())
    by = "tools.reproducibility_page FOUND.json"
    PAGE.write_text(refreshed(PAGE.read_text(), "measured", table(found), by))


if __name__ == "__main__":
    main()
