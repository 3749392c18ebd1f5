"""Everything this package refuses, it refuses with one of these errors.

Each error carries its facts as fields, so that tools need not parse the text, and renders them in one order:
what, where, got, expected (with the arithmetic), what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Violation:
    """One broken rule.

    Parameters
    ----------
    rule : str
        Stable name of the rule, e.g. ``"stride/positive"``; refused cases are checked against it.
    what : str
        The argument or array at fault.
    got : str
        What was found.
    expected : str
        What the rule asks for, with the arithmetic where there is some.
    axis : str
        Name of the axis at fault, or empty.
    todo : str
        What the reader can do about it, or empty.

    Examples
    --------
    >>> print(Violation("stride/at-least-1", "stride", "0", "at least 1", axis="y"))
    stride, axis y: got 0, expected at least 1
    """

    rule: str
    what: str
    got: str
    expected: str
    axis: str = ""
    todo: str = ""

    def __str__(self) -> str:
        where = f"{self.what}, axis {self.axis}" if self.axis else self.what
        text = f"{where}: got {self.got}, expected {self.expected}"
        return f"{text}; {self.todo}" if self.todo else text


class LclError(ValueError):
    """Base of all errors of this package.

    Parameters
    ----------
    violations : Violation or sequence of Violation
        The facts; the first one is also offered as the fields ``what``, ``axis``, ``got``, ``expected``, ``todo``.
    context : str
        A few words put in front of the message, such as the name of the file or backend concerned.

    Examples
    --------
    >>> import lcl_ref as lcl
    >>> try:
    ...     lcl.Spec(input_size=4, in_channels=1, out_channels=1, kernel_size=2, stride=0)
    ... except lcl.LclError as error:
    ...     error.what, error.got, error.expected
    ('stride', '0', 'at least 1')
    """

    def __init__(self, violations: Violation | Sequence[Violation], context: str = "") -> None:
        self.violations = (violations,) if isinstance(violations, Violation) else tuple(violations)
        self.context = context
        first = self.violations[0]
        self.rule, self.what, self.axis = first.rule, first.what, first.axis
        self.got, self.expected, self.todo = first.got, first.expected, first.todo
        super().__init__(self._message())

    def __reduce__(self) -> tuple[type[LclError], tuple[tuple[Violation, ...], str]]:
        # Exceptions are rebuilt from their message by default, which would lose the facts between processes.
        return type(self), (self.violations, self.context)

    def _message(self) -> str:
        head = f"{self.context}: " if self.context else ""
        if len(self.violations) == 1:
            return head + str(self.violations[0])
        lines = "".join(f"\n  - {violation}" for violation in self.violations)
        return f"{head}{len(self.violations)} rules are broken:{lines}"


class SpecError(LclError):
    """A layer that cannot exist; lists every broken rule (SPEC clauses 1 and 10).

    Examples
    --------
    >>> import lcl_ref as lcl
    >>> try:
    ...     lcl.Spec(input_size=4, in_channels=1, out_channels=1, kernel_size=6)
    ... except lcl.SpecError as error:
    ...     print(error.got)
    output size -1 = floor((4 + 0 + 0 - 1*(6 - 1) - 1) / 1) + 1
    """


class ShapeError(LclError):
    """An array that does not fit the specification; names the axis (SPEC clause 10).

    Examples
    --------
    >>> import lcl_ref as lcl
    >>> spec = lcl.Spec(input_size=2, in_channels=1, out_channels=1, kernel_size=1, bias="none")
    >>> try:
    ...     lcl.forward(spec, [[[1], [2], [3]]], [[[[1]]], [[[1]]]])
    ... except lcl.ShapeError as error:
    ...     print(error)
    x, axis ix: got 3 elements (n=1, ix=3, ci=1), expected 2 (input_size)
    """


class LayoutError(LclError):
    """Weights that do not fit the named layout, or a layout that does not exist.

    Examples
    --------
    >>> import lcl_ref as lcl
    >>> try:
    ...     lcl.layouts.get("keras2/impl4")
    ... except lcl.LayoutError as error:
    ...     error.what, error.got
    ('layout', "'keras2/impl4'")
    """


class FixtureError(LclError):
    """Golden data that is missing, damaged, or not what the code regenerates.

    Examples
    --------
    >>> print(FixtureError(Violation("golden/file", "index.json", "nothing", "a file")))
    index.json: got nothing, expected a file
    """


class FileError(LclError):
    """A weight file that is missing, damaged, or not what it was said to be.

    Examples
    --------
    >>> print(FileError(Violation("file/missing", "file", "nothing", "a file"), context="weights.h5"))
    weights.h5: file: got nothing, expected a file
    """


class AdapterError(LclError):
    """A backend that cannot be found or loaded, or that answers outside its contract.

    Examples
    --------
    >>> print(AdapterError(Violation("supports/answer", "supports", "None", "True, or the reason as a string")))
    supports: got None, expected True, or the reason as a string
    """
