"""The catalogue: every case and every refusal, as data, a file per rank and topic (`loader` reads them).

Ids are paths ``<rank>d/<topic>/<name>``, ``refused/<topic>/<name>`` or ``extension/<kind>/<name>``: table ``[name]`` of
the file before it. They are never renumbered and never reused.

==========  ============================================================================================================
``0d``      Linear maps, dense and block-diagonal: only batch and channels.
``1d``      Most plain cases live here, where a failing output can be worked out by hand.
``2d``      What one axis cannot show: swapped axes, settings per axis, sharing along one of them.
``3d``      A weight has eight axes here, too many to be all different and small at once: position axes differ from each
            other, tap axes from each other, the two channel axes from each other.
combined    Settings two at a time: pairs that no other case asks for (`lcl cases --coverage`, SPEC clause 11.6). A
            route that handles strides, and one that handles tables, need not handle a table under a stride.
rounded     Real operands, judged by the proved limit: arithmetic, in short sums, long sums and sums of every route.
            They are small because each is stored once per dtype.
complex     Whole numbers in both parts, so that every complex product and sum is exact (SPEC clause 14.9).
==========  ============================================================================================================
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase

from lcl_ref.errors import LclError, Violation
from lcl_ref.suite.cases import loader
from lcl_ref.suite.cases.case import Case, Refusal
from lcl_ref.suite.cases.extensions import ExtensionCase

CASES, REFUSALS, EXTENSION_CASES = loader.read()
"""Layers and operands that a right implementation gets right; arguments and arrays that must be refused; layers of SPEC
clause 14 that a port which has them must get right."""

BY_ID: dict[str, Case | Refusal] = {case.id: case for case in CASES} | {entry.id: entry for entry in REFUSALS}
"""Every entry of the catalogue of the plain layer by its id."""


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
