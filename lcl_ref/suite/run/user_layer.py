"""Bring your own layer: a module, object, class or function becomes an adapter (design: ``examples/my_layer.py``).

The layer gives ``forward(spec, x, weight, bias)`` and may give ``vjp(spec, x, weight, bias, dy)``,
``transpose(spec, y, weight)``, ``supports(spec, dtype, op)`` and ``prepare(spec, weight, bias, dtype)``.
``empty_batch`` or ``nonfinite`` set to False declines batches of 0, or inf and NaN in x, and ``flushes`` names dtypes
without subnormal numbers; a `supports` that takes ``tags`` too is given ``("empty-batch",)``, ``("nonfinite",)`` or
``("subnormal",)`` where a case is so.
Where `prepare` returns an object with a ``forward``, that object is called instead, as ``forward(x)``,
``vjp(x, dy)`` and ``transpose(y)``. A layer that needs its operands in one piece says why in ``contiguous_only``; what
else it declines of SPEC clauses 8.5 to 8.8 stands in ``declines``, check -> reason, as in `Capabilities`. A layer that
takes tensors of its framework too says in ``views`` how to make some: words -> function of an array.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, cast

from lcl_ref.core.spec import Spec
from lcl_ref.errors import AdapterError, Violation
from lcl_ref.suite.adapter import Adapter, Capabilities, Declaration, operation

DEFAULT_DTYPES = ("float32", "float64")
"""What a layer without ``supports`` is asked in, unless the user names dtypes."""


SIGNATURES = {
    "forward": "spec, x, weight, bias",
    "vjp": "spec, x, weight, bias, dy",
    "transpose": "spec, y, weight",
    "prepare": "spec, weight, bias, dtype",
    "supports": "spec, dtype, op",
}
"""Function of a user's layer -> the arguments it is called with."""

DECLINABLE = {
    "empty_batch": ("empty-batch", "no batch of 0"),
    "nonfinite": ("nonfinite", "no isolation of inf and NaN"),
}
"""Attribute of a layer -> the tag of the cases that it declines where it is False, and the reason given."""


def _takes_tags(supports: Any) -> bool:
    """Return whether a user's `supports` has a parameter for the tags of a case."""
    try:
        parameters = inspect.signature(supports).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(one.name == "tags" or one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters)


@dataclass(frozen=True, kw_only=True)
class UserCapabilities(Capabilities):
    """Capabilities that ask the user's ``supports`` function."""

    layer: Any = None

    def refusal(self, spec: Spec, dtype: str, op: str, tags: Sequence[str] = ()) -> str | None:
        """Return the reason `supports` gives, or None where it says True or there is no such function.

        Raises
        ------
        AdapterError
            If it returns anything but True or a string.
        """
        for attribute, (tag, reason) in DECLINABLE.items():
            if tag in tags and getattr(self.layer, attribute, True) is False:
                return reason
        if dtype in self.flushes and "subnormal" in tags:
            return f"no subnormal numbers in {dtype}"
        if not hasattr(self.layer, "supports"):
            return None
        supports = self.layer.supports
        given = {"tags": tuple(tags)} if _takes_tags(supports) else {}
        answer = supports(spec, dtype, op, **given)
        if answer is True:
            return None
        if isinstance(answer, str):
            return answer or "supports() gave an empty reason"
        raise AdapterError(Violation("supports/answer", "supports", repr(answer), "True, or the reason as a string"))


@dataclass(frozen=True)
class FunctionLayer:
    """A single forward function."""

    forward: Any


@dataclass(frozen=True)
class BoundLayer:
    """A user's layer with its specification and canonical weights filled in."""

    layer: Any
    spec: Spec
    weight: Any
    bias: Any

    def forward(self, x: Any) -> Any:
        """Return ``y (n, o*, co)``."""
        return self.layer.forward(self.spec, x, self.weight, self.bias)

    @property
    def views(self) -> Any:
        """Ways to make tensors that are views, where the layer takes such."""
        return getattr(self.layer, "views", {})

    def vjp(self, x: Any, dy: Any) -> Any:
        """Return ``(dx, dw, db)``."""
        return operation(self.layer, "vjp")(self.spec, x, self.weight, self.bias, dy)

    def transpose(self, y: Any) -> Any:
        """Return ``xt (n, i*, ci)``."""
        return operation(self.layer, "transpose")(self.spec, y, self.weight)


NOT_CONTIGUOUS = ("fortran", "transposed", "strided", "negative-stride", "broadcast")
"""Memory orders that ``contiguous_only`` declines."""


def declined(layer: Any) -> dict[str, str]:
    """Return the checks a user's layer declines, with its reasons.

    Raises
    ------
    AdapterError
        If a reason is no text.
    """
    declines = dict(getattr(layer, "declines", {}))
    if hasattr(layer, "contiguous_only"):
        declines |= {f"memory/{order}": layer.contiguous_only for order in NOT_CONTIGUOUS}
    for check, reason in declines.items():
        if not isinstance(reason, str) or not reason:
            raise AdapterError(Violation("declines/reason", check, repr(reason), "the reason as a string"))
    return declines


class UserAdapter:
    """A user's layer behind the adapter protocol."""

    def __init__(self, name: str, layer: Any) -> None:
        self.layer = layer
        self.declaration = Declaration(
            name=name,
            framework="",
            modules=(),
            summary="A layer of the user's.",
            layout="canonical",
            capabilities=UserCapabilities(
                layer=layer, declines=declined(layer), flushes=tuple(getattr(layer, "flushes", ()))
            ),
        )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> Any:
        """Let the layer prepare, where it wants to, and return what is to be called."""
        prepared = self.layer.prepare(spec, weight, bias, dtype) if hasattr(self.layer, "prepare") else None
        return prepared if hasattr(prepared, "forward") else BoundLayer(self.layer, spec, weight, bias)


def as_adapter(name: str, thing: Any) -> Adapter:
    """Return an adapter for a module, object, class or function.

    Raises
    ------
    AdapterError
        If it offers no ``forward``.
    """
    if hasattr(thing, "declaration") and hasattr(thing, "prepare"):
        adapter: Adapter = cast("Adapter", thing() if inspect.isclass(thing) else thing)
        return adapter
    if inspect.isclass(thing):
        thing = _instance(name, thing)
    if not callable(getattr(thing, "forward", None)) and not hasattr(thing, "prepare"):
        if isinstance(thing, ModuleType) or not callable(thing):
            raise AdapterError(
                Violation(
                    "backend/no-forward",
                    name,
                    "no function `forward` in it",
                    "forward(spec, x, weight, bias)",
                    todo="define it, or name a layer as FILE.py:NAME",
                )
            )
        thing = FunctionLayer(thing)
    _check_signatures(name, thing)
    return UserAdapter(name, thing)


def _check_signatures(name: str, layer: Any) -> None:
    """Refuse functions that cannot be called as they are going to be, and say where they stand.

    A layer that prepares is called in the way of what it prepares.
    """
    for op, arguments in SIGNATURES.items():
        function = getattr(layer, op, None)
        if hasattr(layer, "prepare") and op in ("forward", "vjp", "transpose"):
            continue
        try:
            signature = inspect.signature(function) if callable(function) else None
        except (TypeError, ValueError):
            continue
        try:
            if signature is not None:
                signature.bind(*arguments.split(", "))
        except TypeError as error:
            code = getattr(inspect.unwrap(function), "__code__", None)  # type: ignore[arg-type]
            place = f" (at {code.co_filename}:{code.co_firstlineno})" if code else ""
            got, todo = f"{op}{signature}{place}", f"it is called as {op}({arguments}): {error}"
            raise AdapterError(Violation("backend/signature", name, got, f"{op}({arguments})", todo=todo)) from error


def _instance(name: str, layer: type) -> Any:
    try:
        return layer()
    except Exception as error:
        got = f"{type(error).__name__}: {error}"
        raise AdapterError(
            Violation("backend/construct", name, got, "a class that is built without arguments")
        ) from error
