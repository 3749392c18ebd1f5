"""What a worker does before it asks a layer: import its modules, without those that are only in the way."""

import gc
import sys

import pytest

from lcl_ref.suite.run.worker import availability

CURIOUS = """
try:
    import wave
except ImportError:
    FOUND = False
else:
    FOUND = True
import gc
COLLECTING = gc.isenabled()
"""


@pytest.fixture
def curious(tmp_path, monkeypatch):
    """Offer a module that imports another where it finds it."""
    (tmp_path / "lcl_curious.py").write_text(CURIOUS)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("lcl_curious", "wave"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return "lcl_curious"


def test_modules_are_imported_without_others_and_without_collecting_garbage(curious):
    assert availability([curious], without=["wave", "wave"]) == ("present", "")
    assert not sys.modules[curious].FOUND
    assert not sys.modules[curious].COLLECTING
    assert gc.isenabled()


def test_afterwards_the_others_are_there(curious):
    availability([curious], without=["wave"])
    assert availability(["wave"]) == ("present", "")


def test_what_was_imported_before_stays(curious):
    import wave

    availability([curious], without=["wave"])
    assert sys.modules["wave"] is wave
    assert sys.modules[curious].FOUND


def test_missing_and_broken_modules(tmp_path, monkeypatch):
    assert availability(["lcl_no_such_module"]) == ("missing", "lcl_no_such_module is not installed")
    (tmp_path / "lcl_broken_module.py").write_text("raise OSError('no such library')\n")
    monkeypatch.syspath_prepend(tmp_path)
    state, message = availability(["lcl_broken_module"], without=["wave"])
    assert state == "broken"
    assert message == "import lcl_broken_module raises OSError: no such library"
    assert gc.isenabled()
    assert None not in sys.modules.values()
