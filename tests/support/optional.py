"""What machines may lack: tests that need it are not run there, and say why."""

import os
import shutil

import pytest


def absent(reason):
    """Leave the test out; where every commit is tested nothing may be missing, and it fails."""
    assert not os.environ.get("CI"), reason
    pytest.skip(reason)


def tool(name, package):
    """Return the path of a program, which comes with a package of Debian and Ubuntu."""
    return shutil.which(name) or absent(f"{name} is not installed: it is in the Debian package {package}")
