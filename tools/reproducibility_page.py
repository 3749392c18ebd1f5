"""The tables of docs/reproducibility.md from what ``lcl reproducibility --json FOUND.json`` measured, a file a format.

``python -m tools.reproducibility_page FOUND.json ...``
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.tables import refreshed

PAGE = Path(__file__).parents[1] / "docs" / "reproducibility.md"

Found = Mapping[str, Mapping[str, Any]]
"""Format -> what was measured of one backend in it."""


def tables(documents: Sequence[Mapping[str, Any]]) -> str:
    """Return what was measured in Markdown: a row for each backend, and a witness for each class that it is not in."""
    first = documents[0]
    formats = ", ".join(dict.fromkeys(document["dtype"] for document in documents))
    machine, names = first["machine"], list(first["classes"])
    backends: dict[str, dict[str, Any]] = {}
    for document in documents:
        for one in document["backends"]:
            if one["answered"]:
                backends.setdefault(one["backend"], {})[document["dtype"]] = one
    lines = [
        f"{formats}; {machine['system']} on {machine['machine']}, {first['cores']} cores.",
        "",
        f"| backend | results | {' | '.join(names)} | same bits as |",
        "|---|---|" + "---|" * (len(names) + 1),
        *(_row(backend, found, names) for backend, found in backends.items()),
        "",
        "The first witness of each class:",
        "",
        "| backend | changed | case | where | plain | changed |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_witness(backend, found, name) for backend, found in backends.items() for name in names]
    return "\n".join(line for line in lines if line is not None)


def _row(backend: str, found: Found, names: Sequence[str]) -> str:
    answered = sum(one["answered"] for one in found.values())
    words = [_word(found, name) for name in names]
    return f"| `{backend}` | {answered} | {' | '.join(words)} | {_alike(found)} |"


def _word(found: Found, name: str) -> str:
    """Return in which formats a class is left."""
    compared = {dtype: one["classes"][name]["same_bits"] for dtype, one in found.items() if name in one["classes"]}
    differing = [dtype for dtype, same in compared.items() if not same]
    if not differing:
        return "same" if compared else "-"
    return "differs" if len(differing) == len(compared) else f"differs in {', '.join(differing)}"


def _alike(found: Found) -> str:
    """Return which backends agree in every bit of all formats that both have."""
    others = dict.fromkeys(other for one in found.values() for other in one["agreement"])
    same = [other for other in others if all(_same(one["agreement"].get(other)) for one in found.values())]
    return ", ".join(f"`{other}`" for other in same) or "-"


def _same(counts: Sequence[int] | None) -> bool:
    return counts is None or counts[0] == counts[1]


def _witness(backend: str, found: Found, name: str) -> str | None:
    """Return the row of the first witness against a class, or None where there is none."""
    witnesses = (one["classes"][name]["witness"] for one in found.values() if name in one["classes"])
    witness = next((one for one in witnesses if one is not None), None)
    if witness is None:
        return None
    where = f"{witness['op']} {witness['dtype']}, {witness['result']}[{', '.join(map(str, witness['position']))}]"
    numbers = f"{witness['plain']!r} | {witness['other']!r}"
    return f"| `{backend}` | {witness['circumstance']} | `{witness['case']}` | {where} | {numbers} |"


def main() -> None:
    """Write the tables between the markers of the page."""
    documents = [json.loads(Path(name).read_text()) for name in sys.argv[1:]]
    by = "tools.reproducibility_page FOUND.json ..."
    PAGE.write_text(refreshed(PAGE.read_text(), "measured", tables(documents), by))


if __name__ == "__main__":
    main()
