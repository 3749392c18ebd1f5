"""A worker process (``python -m lcl_ref.suite.run.worker``): jobs from stdin, one backend each, messages back.

A message is a line of JSON, with as many bytes behind it as it announces.

Whatever the layer prints goes to stderr, and its stdin is empty: the pipes to the host are private duplicates at
descriptors of their own, which no child inherits, and no lock is held while a layer is asked, so that it may fork.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.metadata
import importlib.util
import json
import os
import queue
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cache
from typing import Any

from lcl_ref.errors import LclError
from lcl_ref.suite.adapter import Adapter
from lcl_ref.suite.exec.adapter import ExecAdapter, Limits
from lcl_ref.suite.exec.program import kill_running
from lcl_ref.suite.judge.outcome import Fault
from lcl_ref.suite.run.channel import Sender, moved_away
from lcl_ref.suite.run.loading import BackendRef, Loaded, load

JOBS = "lcl_ref.suite."
"""Where the modules of jobs lie: each has a function ``serve(loaded, send, **arguments)``."""


def main() -> None:
    """Serve one job after the other; end at once when the host closes the pipe or goes away."""
    given, out = moved_away(0), moved_away(1)
    with open(os.devnull) as empty:  # noqa: PTH123 -- not a path of anybody's
        os.dup2(empty.fileno(), 0)
    os.dup2(2, 1)
    jobs: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=_receive, args=(given, jobs), daemon=True).start()
    send = Sender(out, jobs.get())
    while True:
        serve(json.loads(jobs.get()), send)


def _receive(given: int, jobs: queue.Queue[bytes]) -> None:
    """Pass on lines, read without a lock that a forked child would find held."""
    rest = b""
    while chunk := os.read(given, 1 << 16):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            jobs.put(line)
    kill_running()
    os._exit(1)


def serve(job: dict[str, Any], send: Sender) -> None:
    """Load the backend of `job` and hand it to the job's own module."""
    ref = BackendRef(**job["backend"])
    try:
        adapter = load(ref, Limits(**job["limits"]))
    except Fault as fault:
        send("broken", message=str(fault), error_kind=fault.kind)
        return
    except LclError as error:
        send("refused", message=str(error), violations=[asdict(violation) for violation in error.violations])
        return
    os.environ.update(adapter.declaration.environment)
    state, message = availability(adapter.declaration.modules, adapter.declaration.without)
    if state != "present":
        send(state, message=message)
        return
    send("loaded", **_identity(adapter))
    if not job["module"].startswith(JOBS):
        raise ValueError(f"no module of {JOBS}: {job['module']}")
    importlib.import_module(job["module"]).serve(Loaded(ref, adapter), send, **job["arguments"])
    if isinstance(adapter, ExecAdapter):
        adapter.close()
    send("done")


def availability(modules: Sequence[str], without: Sequence[str] = ()) -> tuple[str, str]:
    """Return ``present``, ``missing`` (not installed) or ``broken`` (fails to import), with the reason.

    The modules of `without` are hidden from those that are imported.
    """
    for module in modules:
        if importlib.util.find_spec(module.split(".")[0]) is None:
            return "missing", f"{module} is not installed"
        if module in sys.modules:
            continue  # by a backend before; what its layers left behind is still to be collected
        try:
            with _hidden(without), _uncollected():
                importlib.import_module(module)
        except Exception as error:  # noqa: BLE001 -- an import may raise anything
            return "broken", f"import {module} raises {type(error).__name__}: {error}"
    return "present", ""


@contextlib.contextmanager
def _hidden(modules: Sequence[str]) -> Iterator[None]:
    """Let imports of these modules fail in a block, where nothing has imported them before."""
    hidden = {module for module in modules if module not in sys.modules}
    for module in hidden:
        sys.modules[module] = None  # type: ignore[assignment]  # so the import system marks what is not there
    try:
        yield
    finally:
        for module in hidden:
            del sys.modules[module]


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Collect no garbage in a block: looking for it takes a quarter of an import, which makes next to none."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _identity(adapter: Adapter) -> dict[str, Any]:
    framework = adapter.declaration.framework
    version = adapter.version if isinstance(adapter, ExecAdapter) else framework_version(framework)
    accumulation = dict(adapter.declaration.capabilities.accumulation)
    return {"framework": framework, "version": version, "accumulation": accumulation}


@cache
def framework_version(framework: str) -> str:
    """Return the installed version of a distribution, under whichever name it was built; an empty string for none."""
    if not framework:
        return ""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(framework)
    others = importlib.metadata.packages_distributions().get(framework, [])  # reads every installed distribution
    return importlib.metadata.version(others[0]) if others else ""


if __name__ == "__main__":
    main()
