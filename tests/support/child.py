"""Programs that a test runs in a Python of their own, such as those on Keras, which fixes its backend at its import."""

import os
import subprocess
import sys


def run(*words, backend=None, program=None):
    """Run a script with its words, or the text of a program, to its end; what it printed, or a failure."""
    variables = {} if backend is None else {"KERAS_BACKEND": backend}
    command = [sys.executable, *(("-c", program) if program else words)]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
