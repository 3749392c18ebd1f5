"""Compiles `src/kernel.c` into the package when a wheel is built; as a script, `python compile.py OUTPUT [FLAG]...`."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path(__file__).resolve().parent

FLAGS = ("-std=gnu11", "-O2", "-ftree-vectorize", "-ffp-contract=fast", "-fPIC", "-shared", "-pthread")


def compiled(output: Path, *more: str) -> Path:
    """Return the shared library, made by the compiler that the environment names (``CC``), ``cc`` if none."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    command = [*compiler, *FLAGS, *more, "-o", str(output), str(HERE / "src/kernel.c"), *for_jax()]
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError:
        sys.exit(
            f"lcl-ref-kernel: no C compiler {command[0]!r}: install one, name one by CC=..., or do without the kernel"
        )
    return output


def for_jax() -> list[str]:
    """Return what adds the doors for JAX, whose header comes with it; nothing where it is not installed."""
    try:
        import jax.ffi
    except ModuleNotFoundError:
        return []
    return [str(HERE / "src/jax.c"), f"-I{jax.ffi.include_dir()}"]


class CustomBuildHook(BuildHookInterface[Any]):
    """Puts the library into the wheel, whose tag names the platform but no version of Python."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile."""
        compiled(HERE / "lcl_ref_kernel/liblclkernel.so")
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"
        build_data["pure_python"] = False


if __name__ == "__main__":
    compiled(Path(sys.argv[1]), *sys.argv[2:])
