"""The tables of docs/history.md: the public bugs of the catalogue, and what sees each of them."""

from __future__ import annotations

from collections.abc import Sequence

from lcl_ref.suite.validation.history.catalogue import KINDS
from lcl_ref.suite.validation.history.recall import Seen, stored


def tables() -> dict[str, str]:
    """Return name -> table: the counts, what nothing sees, and the bugs of each kind."""
    found = stored()
    kinds = {kind: _bugs([one for one in found if one.bug.kind == kind]) for kind in KINDS}
    return {"counts": _counts(found), "misses": _misses(found), **kinds}


def _counts(found: Sequence[Seen]) -> str:
    lines = ["| a bug depends on | bugs | seen by core | by all cases |", "|---|---|---|---|"]
    for kind, words in KINDS.items():
        lines.append(_count(words, [one for one in found if one.bug.kind == kind]))
    return "\n".join([*lines, _count("all", found)])


def _count(words: str, found: Sequence[Seen]) -> str:
    core, full = sum(bool(one.core) for one in found), sum(bool(one.full) for one in found)
    shares = "".join(f" | {count} ({count / len(found):.1%})" for count in (core, full))
    return f"| {words} | {len(found)}{shares} |"


def _misses(found: Sequence[Seen]) -> str:
    rows = [f"| {_link(one)} | {one.bug.wrong} | {one.bug.miss} |" for one in found if not one.full]
    return "\n".join(["| bug | what was wrong | why nothing sees it |", "|---|---|---|", *rows])


def _bugs(found: Sequence[Seen]) -> str:
    lines = ["| bug | what was wrong | in | shows where | seen by |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *map(_row, found)])


def _row(one: Seen) -> str:
    bug = one.bug
    wrong = f"{bug.wrong} ({bug.as_layer})" if bug.as_layer else bug.wrong
    where = "; ".join(f"`{condition}`" for condition in bug.when)
    laid = f"{' or '.join(bug.of)} {bug.laid}" if bug.laid else ""
    trigger = "; ".join(filter(None, (where, laid, bug.after and f"after {bug.after}"))) or "always"
    seen = f"`{one.core}`" if one.core else f"`{one.full}`, not in core" if one.full else "nothing"
    return f"| {_link(one)} | {wrong} | {', '.join(bug.results)} | {trigger} | {seen} |"


def _link(one: Seen) -> str:
    title = one.bug.title.replace("|", "\\|").replace("[", "\\[").replace("]", "\\]")
    return f"[{one.bug.id}]({one.bug.link}): {title}"
