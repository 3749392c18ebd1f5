"""The wheel, which several tests of the project look into."""

import zipfile

import pytest

from tests.support.paths import ROOT
from tests.support.programs import python


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """Build the wheel once and return it as an open archive."""
    out = tmp_path_factory.mktemp("wheel")
    done = python("-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive
