"""State of the process that a layer must leave alone, and the check that it does (SPEC clause 8.8)."""

from __future__ import annotations

import gc
import locale
import logging
import os
import random
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from lcl_ref.suite.adapter import Unsupported
from lcl_ref.suite.checks.subject import Deviates, Subject, one_by_one
from lcl_ref.suite.checks.variants import Asked
from lcl_ref.suite.judge.ask import answers_of
from lcl_ref.suite.judge.tasks import Task


@dataclass(frozen=True)
class Surrounding:
    """One part of the state of a process.

    Parameters
    ----------
    what : str
        What it is, in words.
    read : callable
        Returns it, as values that can be compared.
    write : callable
        Sets it to what `read` gave.
    others : callable
        From what it is now to the values under which a layer is asked: a layer that sets it to one value at every call
        is seen under another.
    prepares : bool
        Whether preparing a layer must leave it alone too.
    """

    what: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    others: Callable[[Any], Sequence[Any]]
    prepares: bool = True


def _unchanged(now: Any) -> Sequence[Any]:
    return [now]


def _write_environment(values: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(values)


def _read_random() -> tuple[Any, ...]:
    name, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002 -- the global one is what it is about
    torch = sys.modules.get("torch")
    bits = torch.random.get_rng_state().numpy().tobytes() if torch else b""
    return random.getstate(), (name, np.asarray(keys).tobytes(), *rest), bits


def _write_random(state: tuple[Any, ...]) -> None:
    python, (name, keys, *rest), bits = state
    random.setstate(python)
    np.random.set_state((name, np.frombuffer(keys, np.uint32), *rest))  # noqa: NPY002 -- see above
    if bits:
        torch = sys.modules["torch"]
        torch.random.set_rng_state(torch.frombuffer(bytearray(bits), dtype=torch.uint8))


def _other_random(now: tuple[Any, ...]) -> Sequence[Any]:
    """Return a state that no seed of a program gives."""
    drawn = random.Random("lcl").getstate()  # noqa: S311 -- no secret
    name, keys, *rest = now[1]
    return [(drawn, (name, keys[::-1], *rest), now[2])]


def _read_dtypes() -> dict[str, Any]:
    torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
    found = {"torch": torch.get_default_dtype()} if torch else {}
    if jax:
        found["jax"] = jax.config.jax_enable_x64
    return found | {name: sys.modules[name].backend.floatx() for name in _keras()}


def _write_dtypes(values: dict[str, Any]) -> None:
    for name, value in values.items():
        if name == "torch":
            sys.modules[name].set_default_dtype(value)
        elif name == "jax":
            sys.modules[name].config.update("jax_enable_x64", value)
        else:
            sys.modules[name].backend.set_floatx(value)


def _keras() -> list[str]:
    return [name for name in ("keras", "tf_keras") if hasattr(sys.modules.get(name), "backend")]


def _read_grad_mode() -> bool | None:
    torch = sys.modules.get("torch")
    return torch.is_grad_enabled() if torch else None


def _write_grad_mode(value: bool | None) -> None:
    if value is not None:
        sys.modules["torch"].set_grad_enabled(value)


def _torch_dtypes(now: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """Return what it is, and torch with its other default."""
    if "torch" not in now:
        return [now]
    torch = sys.modules["torch"]
    return [now, now | {"torch": torch.float32 if now["torch"] is torch.float64 else torch.float64}]


def _other_grad_modes(now: bool | None) -> Sequence[bool | None]:
    return [now] if now is None else [True, False]


LOGGERS = ("root", "absl", "jax", "keras", "tensorflow", "torch")


def _read_settings() -> dict[str, Any]:
    torch, known = sys.modules.get("torch"), logging.root.manager.loggerDict
    loggers = {name: logging.getLogger(name) for name in LOGGERS if name == "root" or name in known}
    return {
        "the recursion limit": sys.getrecursionlimit(),
        "garbage collection": gc.isenabled(),
        "sys.path": tuple(sys.path),
        "the locale": locale.setlocale(locale.LC_ALL),
        "what signals do": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "how NumPy prints": np.get_printoptions(),
        "levels of loggers": {name: logger.level for name, logger in loggers.items()},
        "threads of torch": torch.get_num_threads() if torch else None,
    }


def _write_settings(values: dict[str, Any]) -> None:
    sys.setrecursionlimit(values["the recursion limit"])
    (gc.enable if values["garbage collection"] else gc.disable)()
    sys.path[:] = values["sys.path"]
    locale.setlocale(locale.LC_ALL, values["the locale"])
    for number, handler in zip((signal.SIGINT, signal.SIGTERM), values["what signals do"], strict=True):
        if signal.getsignal(number) is not handler:  # no thread but the main one may set it, to the same either
            signal.signal(number, handler)
    np.set_printoptions(**values["how NumPy prints"])
    for name, level in values["levels of loggers"].items():
        logging.getLogger(name).setLevel(level)
    if values["threads of torch"]:
        sys.modules["torch"].set_num_threads(values["threads of torch"])


def _other_settings(now: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """Return numbers and levels that no program sets."""
    levels = {name: level + 1 for name, level in now["levels of loggers"].items()}
    prints = now["how NumPy prints"] | {"linewidth": 97, "precision": 5}
    limit = now["the recursion limit"] + 1
    changed = {"levels of loggers": levels, "how NumPy prints": prints, "the recursion limit": limit}
    return [now | changed | {"garbage collection": not now["garbage collection"]}]


def _write_filters(listed: list[Any]) -> None:
    warnings.resetwarnings()
    warnings.filters[:] = listed  # type: ignore[index]


def _other_filters(_now: list[Any]) -> Sequence[list[Any]]:
    """Return a filter of no program, behind which every new one stands."""
    return [[("default", None, UserWarning, None, 1 << 30)]]


def _error_modes(_now: Any) -> Sequence[Any]:
    kinds = ("divide", "over", "under", "invalid")
    return [(dict.fromkeys(kinds, mode), None) for mode in ("ignore", "warn")]


def _write_error_mode(mode: tuple[Any, Any]) -> None:
    np.seterr(**mode[0])
    np.seterrcall(mode[1])


SURROUNDINGS = {
    "error-mode": Surrounding(
        "NumPy's handling of floating-point errors",
        lambda: (np.geterr(), np.geterrcall()),
        _write_error_mode,
        _error_modes,
    ),
    "warning-filters": Surrounding(
        "the filters of warnings", lambda: list(warnings.filters), _write_filters, _other_filters
    ),
    "random-state": Surrounding(
        "the random state of random, NumPy or torch", _read_random, _write_random, _other_random, prepares=False
    ),
    "environment": Surrounding("os.environ", lambda: dict(os.environ), _write_environment, _unchanged),
    "default-dtype": Surrounding("the default dtype of a framework", _read_dtypes, _write_dtypes, _torch_dtypes),
    "grad-mode": Surrounding("torch's grad mode", _read_grad_mode, _write_grad_mode, _other_grad_modes),
    "settings": Surrounding(
        "settings of Python, NumPy, loggers or torch", _read_settings, _write_settings, _other_settings
    ),
    "folder": Surrounding("the current folder", os.getcwd, os.chdir, lambda _: [os.sep, tempfile.gettempdir()]),
}
"""Name -> what is to be left alone."""

AT_LOAD = ("error-mode", "environment", "default-dtype", "grad-mode", "folder")
"""Those that nothing but the layer changes in a process of its own."""


def state_at_load() -> dict[str, Any]:
    """Return what the process is like before a layer is first asked."""
    return {name: SURROUNDINGS[name].read() for name in AT_LOAD}


def left_alone(name: str) -> Callable[[Subject, Sequence[Asked], str], None]:
    """Return the check of one surrounding."""
    surrounding = SURROUNDINGS[name]

    def about(subject: Subject, asked: Asked, op: str) -> None:
        if name in subject.at_load:
            _compare(surrounding, subject.at_load[name], surrounding.read(), "a call before this one")
        for number, other in enumerate(surrounding.others(surrounding.read())):
            with _under(surrounding, other) as before:
                _ask(subject, asked.task, op, surrounding, before, number)
                _compare(surrounding, before, surrounding.read(), op)

    return one_by_one(about)


def _ask(subject: Subject, task: Task, op: str, surrounding: Surrounding, before: Any, number: int) -> None:
    """Prepare a layer and ask it; what it raises is for its cells to say."""
    try:
        given, layer = subject.held(task, tag=number)
        if not surrounding.prepares:
            surrounding.write(before)
        answers_of(layer, op, given)
    except Unsupported:
        raise
    except Exception:  # noqa: BLE001, S110 -- the layer under test may raise anything
        pass


LONGEST = 200
"""Characters of a value that a message shows."""


def _compare(surrounding: Surrounding, before: Any, after: Any, op: str) -> None:
    """Refuse a layer after which a part of the state is another."""
    if before == after:
        return
    changed = f"from {before!r} to {after!r}"
    if isinstance(before, dict):
        names = [name for name in before | after if before.get(name) != after.get(name)]
        changed = ", ".join(f"{name} from {before.get(name)!r} to {after.get(name)!r}" for name in names)
    raise Deviates(f"{op} changed {surrounding.what}" + (f": {changed}" if len(changed) < LONGEST else ""))


@contextmanager
def _under(surrounding: Surrounding, other: Any) -> Iterator[Any]:
    """Set a part of the state for a block; yield what it reads as then."""
    usual = surrounding.read()
    if other != usual:
        surrounding.write(other)
    try:
        yield surrounding.read()
    finally:
        if surrounding.read() != usual:
            surrounding.write(usual)
