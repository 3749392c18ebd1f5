"""The catalogue: every case and every refusal, as data (one module per rank, one for what is refused).

Ids are paths ``<rank>d/<topic>/<name>`` or ``refused/<topic>/<name>``; they are never renumbered and never reused.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase

from lcl_ref.errors import LclError, Violation
from lcl_ref.suite.cases import combined, complex_numbers, rank0, rank1, rank2, rank3, refused, rounded
from lcl_ref.suite.cases.case import Case, Refusal
from lcl_ref.suite.cases.extensions import EXTENSION_CASES, ExtensionCase

CASES: tuple[Case, ...] = (
    rank0.CASES + rank1.CASES + rank2.CASES + rank3.CASES + combined.CASES + rounded.CASES + complex_numbers.CASES
)
"""Layers and operands that a right implementation gets right, in the order of the catalogue."""

REFUSALS: tuple[Refusal, ...] = refused.REFUSALS
"""Arguments and arrays that must be refused."""

BY_ID: dict[str, Case | Refusal] = {case.id: case for case in CASES} | {entry.id: entry for entry in REFUSALS}
"""Every entry of the catalogue by its id."""


def select(globs: Sequence[str]) -> list[Case]:
    """Return the cases whose id matches any of `globs`, in the order of the catalogue; all of them without globs.

    Parameters
    ----------
    globs : sequence of str
        Ids or shell patterns; ``*`` also matches ``/``.

    Raises
    ------
    LclError
        If a glob matches no case; the message offers the nearest ids.
    """
    unknown = [glob for glob in globs if not any(fnmatchcase(case.id, glob) for case in CASES)]
    if unknown:
        raise LclError([Violation("case/unknown", "case", repr(glob), _nearest(glob)) for glob in unknown])
    return [case for case in CASES if not globs or any(fnmatchcase(case.id, glob) for glob in globs)]


def select_listed(globs: Sequence[str]) -> tuple[list[Case], list[ExtensionCase]]:
    """Return the cases and the cases of extensions whose id matches any of `globs`; all of both without globs.

    Raises
    ------
    LclError
        If a glob matches neither.
    """
    extended = [case for case in EXTENSION_CASES if not globs or any(fnmatchcase(case.id, glob) for glob in globs)]
    only_extended = {
        glob
        for glob in globs
        if any(fnmatchcase(case.id, glob) for case in extended)
        and not any(fnmatchcase(case.id, glob) for case in CASES)
    }
    rest = [glob for glob in globs if glob not in only_extended]
    return (select(rest) if rest or not globs else []), extended


def _nearest(glob: str) -> str:
    if any(fnmatchcase(case.id, glob) for case in EXTENSION_CASES):
        return "a case of the plain layer; those of extensions (SPEC 14) are data for ports, `lcl export` writes them"
    near = difflib.get_close_matches(glob, [case.id for case in CASES], n=3, cutoff=0.4)
    return "an id or glob that `lcl cases` lists" + (f", such as {', '.join(near)}" if near else "")
