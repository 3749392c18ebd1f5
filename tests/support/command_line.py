"""The command line in the process of the tests, which is quicker than a program."""

import subprocess

import pytest

from lcl_ref import cli


def lcl(*words, capsys):
    """Run `lcl` and return what became of it as a program would."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["lcl", *map(str, words)])
        capsys.readouterr()
        status = cli._status()
    out, err = capsys.readouterr()
    return subprocess.CompletedProcess(words, status, out, err)
