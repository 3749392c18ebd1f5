"""What a machine offers to a run: the resources by which Dask chooses who answers which backends."""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lcl_ref.outside import processes
from lcl_ref.outside.text import shown
from lcl_ref.suite.adapter import Declaration
from lcl_ref.suite.run.process_sharing import IN_EVERY_WORKER
from lcl_ref.suite.run.registry import readable_declarations

LCL = "LCL"
"""What every machine offers that `lcl worker` started, and no other."""

IMPORT_SECONDS = 120.0


def needs(declarations: Iterable[Declaration]) -> set[str]:
    """Return the frameworks that backends need, by the names of their top-level modules."""
    modules = {name.partition(".")[0] for one in declarations for name in one.modules}
    return modules - IN_EVERY_WORKER


def offered(only: Sequence[str] = (), tell: Callable[[str], object] = lambda _: None) -> list[str]:
    """Return what this machine offers: `LCL`, frameworks that import, its Python, and `GPU`, `METAL` or `TPU`.

    Parameters
    ----------
    only : sequence of str
        Frameworks to offer; every one that imports, without.
    tell : callable
        Called with a sentence for each that is installed and does not import.
    """
    known = sorted(needs(readable_declarations()))
    asked = [name for name in known if (not only or name in only) and importlib.util.find_spec(name) is not None]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        wrong = dict(zip(asked, pool.map(_why_not, asked), strict=True))
    for name, why in wrong.items():
        if why:
            tell(f"{name} is not offered: `import {name}` {why}")
    found = [name for name, why in wrong.items() if not why]
    return [LCL, f"PYTHON-{sys.version_info.major}.{sys.version_info.minor}", *_hardware(), *found]


def _why_not(module: str) -> str:
    """Return why a module does not import, in a process of its own; nothing where it does."""
    try:
        done = subprocess.run(  # noqa: S603 -- our own interpreter, and a name that an adapter declares
            [sys.executable, "-P", "-c", f"import {module}"],
            env=processes.environment(),
            capture_output=True,
            timeout=IMPORT_SECONDS,
            check=False,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        return f"takes more than {IMPORT_SECONDS:g} s"
    return f"fails: {shown(done.stderr.strip().rpartition(chr(10))[2])}" if done.returncode else ""


def _hardware() -> list[str]:
    """Return the accelerators by the files that their drivers make, and Metal by the system."""
    seen = {"GPU": Path("/dev/nvidia0"), "TPU": Path("/dev/accel0")}
    metal = ["METAL"] if (platform.system(), platform.machine()) == ("Darwin", "arm64") else []
    return [name for name, device in seen.items() if device.exists()] + metal
