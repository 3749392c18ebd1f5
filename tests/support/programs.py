"""How tests start programs."""

import sys

FOREGROUND = [
    sys.executable,
    "-c",
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])",
]
"""Starts a program that heeds Ctrl-C even where the tests themselves are a background job, which ignores it."""
