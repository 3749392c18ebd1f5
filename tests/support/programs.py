"""How tests start programs."""

import subprocess
import sys

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


def lcl(*words, **options):
    """Run `lcl` as a user does, likewise."""
    return run(*LCL, *words, **options)
