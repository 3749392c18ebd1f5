"""What the site shows of cases: pictures beside the clauses that they test, and the page to explore them all.

The pictures are drawn in the browser, by the scripts of a report's page.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lcl_ref.suite.cases.catalogue import select
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.report.pages.explorer import explorer_page
from lcl_ref.suite.report.pages.rendering import FILES

OURS = Path(__file__).parent / "site_files"

RANKS = (2, 1, 3, 0)
"""Ranks in the order in which their pictures are worth seeing; a clause shows a case of each, but of rank 0 in need."""

MOST_ALONG_AN_AXIS = 20
"""A larger layer is not drawn whole."""

LISTED = 10
"""Cases of a clause that are seen at once; the rest is to be unfolded, where there are more than twice as many."""

CLAUSE = re.compile(r"^\*\*(\d+\.\d+)\*\* ", re.MULTILINE)
NEXT_BLOCK = re.compile(r"^(?=\*\*\d+\.\d+\*\* |#)", re.MULTILINE)
CASE_WORD = re.compile(r"`([0-3]d/[\w/-]+)`")

Entry = Mapping[str, Any]


def chosen(clause: str, entries: Iterable[Entry]) -> list[Entry]:
    """Return the cases that show a clause: one per rank, those about it above all first."""
    found = []
    citing = [entry for entry in entries if clause in entry["clauses"] and _is_small(entry["spec"])]
    for rank in RANKS:
        mine = [entry for entry in citing if len(entry["spec"]["input_size"]) == rank]
        if mine and (rank or not found):
            found.append(min(mine, key=lambda entry: (entry["clauses"].index(clause), _is_of_many(entry["id"]))))
    return found


def _is_small(spec: Entry) -> bool:
    padded = [size + sum(pair) for size, pair in zip(spec["input_size"], spec["padding"], strict=True)]
    return max([*padded, spec["in_channels"], spec["out_channels"]]) <= MOST_ALONG_AN_AXIS


def _is_of_many(case_id: str) -> bool:
    """Return whether a case is of a topic whose cases combine settings rather than show one."""
    return case_id.split("/")[1] in {"combined", "families", "history", "sizes", "triples", "values"}


def pictured(text: str, entries: Sequence[Entry]) -> tuple[str, dict[str, Entry]]:
    """Return a page of clauses with a part to open after each that cases show, and those cases by id."""
    shown: dict[str, Entry] = {}
    blocks = NEXT_BLOCK.split(text)
    for at, block in enumerate(blocks):
        clause = CLAUSE.match(block)
        found = chosen(clause[1], entries) if clause else []
        shown |= {entry["id"]: {"spec": entry["spec"], "why": entry["why"]} for entry in found}
        if clause and found:
            blocks[at] = f"{block.rstrip()}\n\n{_closed(clause[1], found)}\n\n"
    return "".join(blocks), shown


def _closed(clause: str, found: Sequence[Entry]) -> str:
    ids = " ".join(entry["id"] for entry in found)
    many = "a case" if len(found) == 1 else f"{len(found)} cases"
    summary = f"<summary>{clause} in pictures: {many}</summary>"
    return f'<details class="lcl-cases" data-cases="{ids}">{summary}<div></div></details>'


def explorable(text: str, place: str, known: Iterable[str]) -> str:
    """Return a page whose ids of cases lead to the explorer at `place`, and whose long lists of them are folded."""
    names = set(known)
    text = CASE_WORD.sub(lambda word: f"[{word[0]}]({place}#{word[1]})" if word[1] in names else word[0], text)
    return "\n".join(_folded(line) for line in text.split("\n"))


def _folded(line: str) -> str:
    words = line.split(", ")
    if len(words) <= 2 * LISTED:
        return line
    head, rest = ", ".join(words[:LISTED]), ", ".join(words[LISTED:])
    more = f"<summary>{len(words) - LISTED} more</summary>"
    return f'{head}\n\n<details markdown="1">{more}\n\n{rest}\n\n</details>'


def write_assets(pages: Path, shown: Mapping[str, Entry]) -> None:
    """Write the script and the style of the pictures, and what the search needs to work from files."""
    scripts = [FILES / name for name in ("elements.js", "geometry.js", "picture.js", "planes.js")]
    code = "\n".join(path.read_text("utf-8") for path in (*scripts, OURS / "cases.js"))
    style = (FILES / "drawing.css").read_text("utf-8") + (OURS / "cases.css").read_text("utf-8")
    (pages / "assets").mkdir()
    shutil.copy(OURS / "iframe-worker.js", pages / "assets")
    (pages / "assets" / "cases.js").write_text(
        f"(() => {{\nconst cases = {json.dumps(shown)};\n{code}}})();\n", "utf-8"
    )
    (pages / "assets" / "cases.css").write_text(style, "utf-8")


def write_explorer(pages: Path) -> list[str]:
    """Write the page to explore all cases, and return their ids."""
    store = Store(default_root())
    cases = [(case, store.arrays(case.id)) for case in select(["*"])]
    (pages / "explorer.html").write_text(explorer_page(cases), "utf-8")
    return [case.id for case, _ in cases]
