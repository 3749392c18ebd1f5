"""How tests start programs."""

import atexit
import io
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from lcl_ref.cli import COMMANDS, main

FOREGROUND = [
    sys.executable,
    "-c",
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])",
]
"""Starts a program that heeds Ctrl-C even where the tests themselves are a background job, which ignores it."""

LCL = [sys.executable, "-m", "lcl_ref"]


def run(*command, check=False, timeout=300, **options):
    """Run a program to its end and return what became of it, its output as text."""
    words = [*map(str, command)]
    return subprocess.run(words, capture_output=True, text=True, check=check, timeout=timeout, **options)


def python(*words, **options):
    """Run a program in this Python, likewise."""
    return run(sys.executable, *words, **options)


def lcl(*words, check=False, timeout=300, cwd=None, env=None):
    """Run `lcl` in a process of its own, likewise; it is forked from one that has imported the command line."""
    command = [*map(str, words)]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("stdout", "stderr")]
        for file in files:
            file.touch()
        where, around = os.fspath(cwd or Path.cwd()), dict(env or os.environ)
        child = _forking().Process(target=_command, args=(command, where, around, *map(str, files)))
        child.start()
        child.join(timeout)
        if child.exitcode is None:
            child.kill()
            raise subprocess.TimeoutExpired(command, timeout)
        output, errors = (file.read_text() for file in files)
    done = subprocess.CompletedProcess(command, child.exitcode, output, errors)
    if check:
        done.check_returncode()
    return done


def _forking():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lcl_ref.cli", *COMMANDS.values()])
    return context


def _command(words, folder, environment, output, errors):
    """Be the command, in the process that was forked for it."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate((os.devnull, output, errors)):
        os.dup2(os.open(path, os.O_RDWR), number)
    sys.stdout, sys.stderr = (io.TextIOWrapper(io.FileIO(number, "w", closefd=False)) for number in (1, 2))
    sys.argv[:] = ["lcl", *words]
    try:
        main()
    finally:
        atexit._run_exitfuncs()
