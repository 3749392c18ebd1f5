"""From the words after ``-b`` to adapters: registered names, files, modules, programs.

`resolve` runs in the host and imports nothing; `load` runs in the worker process.
"""

from __future__ import annotations

import difflib
import fnmatch
import importlib
import importlib.util
import re
import shlex
import shutil
import sys
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from lcl_ref.errors import AdapterError, Violation
from lcl_ref.outside.nearest import nearest_file
from lcl_ref.outside.text import shown
from lcl_ref.suite.adapter import Adapter
from lcl_ref.suite.exec.adapter import ExecAdapter, Limits
from lcl_ref.suite.run.channel import Sender
from lcl_ref.suite.run.registered import Registered, families, family_of, registered
from lcl_ref.suite.run.user_layer import as_adapter

Kind = Literal["registered", "file", "module", "exec"]

EXEC = "exec:"
_FILE = re.compile(r"(?P<path>.+\.py)(?::(?P<attribute>[\w.]+))?$")


@dataclass(frozen=True)
class BackendRef:
    """Where a backend is to be found.

    Parameters
    ----------
    name : str
        What the report calls it.
    kind : str
        ``registered`` (entry point), ``file`` (a Python file), ``module`` or ``exec`` (a program).
    target : str
        Registered name, path, dotted module, or command.
    attribute : str
        Name inside the file or module, or empty; of a registered adapter, ``module:name`` of its class.
    """

    name: str
    kind: Kind
    target: str
    attribute: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return the fields as JSON-ready values."""
        return asdict(self)

    @property
    def files(self) -> list[Path]:
        """The files that it is made of, as far as its words name them."""
        if self.kind == "exec":
            return [Path(word) for word in shlex.split(self.target)]
        return [Path(self.target)] if self.kind == "file" else []


Send = Sender
"""Sends a message to the host: its event, and facts by name."""


@dataclass(frozen=True)
class Loaded:
    """A backend in the worker process that loaded it."""

    ref: BackendRef
    adapter: Adapter


def resolve(words: list[str]) -> list[BackendRef]:
    """Return the backends that `words` name; all registered ones for no words.

    A name selects itself and its variants (``keras.local1`` also ``keras.local1.channels_first``); globs are allowed.
    What declares `by_name` is selected by its own name only.

    Raises
    ------
    AdapterError
        If a word names nothing; the error offers the nearest known names.
    """
    refs: dict[str, BackendRef] = {}
    for word in words or ["*"]:
        for ref in _resolve(word):
            refs.setdefault(f"{ref.kind} {ref.target}:{ref.attribute}", ref)
    return list(refs.values())


def _resolve(word: str) -> list[BackendRef]:
    if word.startswith(EXEC):
        return [_exec_ref(word)]
    file = _FILE.match(word)
    if file:
        return [_file_ref(word, Path(file["path"]), file["attribute"] or "")]
    chosen = _registered_as(word)
    if chosen:
        return chosen
    module, _, attribute = word.partition(":")
    if attribute or _is_other_module(module):
        return [BackendRef(word, "module", module, attribute)]
    near = difflib.get_close_matches(word, registered(), 3, 0.4)
    todo = f"nearest known: {', '.join(near)}" if near else "see `lcl backends`"
    expected = "a registered name or glob, FILE.py, FILE.py:NAME, MODULE:NAME or exec:COMMAND"
    raise AdapterError(Violation("backend/unknown", "backend", repr(word), expected, todo=todo))


def _registered_as(word: str) -> list[BackendRef]:
    """Return the registered backends that a name, an alias or a glob selects.

    No glob matches an alias, nor what is to be asked by its own name only.
    """
    known = registered(family_of(word))
    chosen = [one for name, one in known.items() if fnmatch.fnmatchcase(name, word) or name.startswith(f"{word}.")]
    chosen = [one for one in chosen if one.name == word or not (one.readable and one.declaration.by_name)]
    called = chosen or [one for one in known.values() if word in one.aliases]
    return [BackendRef(one.name if chosen else word, "registered", one.name, one.location) for one in called]


def _exec_ref(word: str) -> BackendRef:
    command = word.removeprefix(EXEC).strip()
    try:
        argv = shlex.split(command)
    except ValueError as error:
        raise AdapterError(Violation("backend/command", "backend", f"{word!r}: {error}", "a shell command")) from error
    if not argv or shutil.which(argv[0]) is None:
        got = f"{argv[0] if argv else command!r}: no such program"
        raise AdapterError(Violation("backend/command", "backend", got, "exec:COMMAND, with a program that can be run"))
    return BackendRef(word, "exec", command)


def _file_ref(word: str, path: Path, attribute: str) -> BackendRef:
    if not path.is_file():
        got, todo = f"{word!r}: no such file", nearest_file(path)
        raise AdapterError(Violation("backend/missing-file", "backend", got, "a Python file", todo=todo))
    return BackendRef(word, "file", str(path.resolve()), attribute)


def _is_other_module(module: str) -> bool:
    """Return whether `module` can be found; families of registered names are not searched, which would import them."""
    if not re.fullmatch(r"[A-Za-z_][\w.]*", module) or family_of(module) in families():
        return False
    here = str(Path.cwd())
    sys.path.append(here)  # after ours: what the user names may be there, and nothing else is looked for
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
    finally:
        sys.path.remove(here)


def load(ref: BackendRef, limits: Limits = Limits()) -> Adapter:  # noqa: B008 -- frozen
    """Import or start what `ref` names and return its adapter; `limits` bind programs only.

    Raises
    ------
    AdapterError
        If it does not import, or holds no layer.
    Fault
        If it is a program and does not start.
    """
    if ref.kind == "exec":
        return ExecAdapter(ref.name, shlex.split(ref.target), limits)
    if ref.kind == "registered":
        return Registered(ref.target, ref.attribute).load()()
    module = _import_file(ref) if ref.kind == "file" else _import_module(ref)
    thing: Any = module
    for name in ref.attribute.split(".") if ref.attribute else ():
        if not hasattr(thing, name):
            public = [name for name in vars(module) if not name.startswith("_")]
            near = difflib.get_close_matches(name, public, 1)
            todo = f"did you mean {near[0]}?" if near else ""
            raise AdapterError(Violation("backend/attribute", ref.name, f"no {name!r} in it", "a layer", todo=todo))
        thing = getattr(thing, name)
    return as_adapter(ref.name, thing)


def _import_file(ref: BackendRef) -> ModuleType:
    path = Path(ref.target)
    name = _module_name(path.stem)
    sys.path.append(str(path.parent))  # after ours
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise AdapterError(Violation("backend/file", ref.name, "a file Python cannot load", "a Python file"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _does_not_import(ref, error) from error
    return module


def _module_name(stem: str) -> str:
    """Return the name that a user's file gets: its own, unless a module that somebody else imports has it."""
    taken = stem in sys.modules or not stem.isidentifier() or importlib.util.find_spec(stem) is not None
    return f"_layer_{stem}" if taken else stem


def _import_module(ref: BackendRef) -> ModuleType:
    sys.path.append(str(Path.cwd()))
    try:
        return importlib.import_module(ref.target)
    except (Exception, SystemExit) as error:
        raise _does_not_import(ref, error) from error


def _does_not_import(ref: BackendRef, error: BaseException) -> AdapterError:
    frames = traceback.extract_tb(error.__traceback__)
    place = f" (at {frames[-1].filename}:{frames[-1].lineno})" if frames and frames[-1].filename[:1] != "<" else ""
    got = f"{type(error).__name__} while importing it: {shown(error)}{place}"
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    todo = f"install what provides {missing!r} into {sys.prefix}, or mend the name" if missing else ""
    return AdapterError(Violation("backend/import", ref.name, got, "a module that imports", todo=todo))
