"""The one way to write: what is refused before the work, and what stands there whatever happens on the way."""

import contextlib
import errno
import os
import random
import resource
import signal
import subprocess
import sys
import time

import pytest

from lcl_ref.errors import FileError
from lcl_ref.outside import writing
from lcl_ref.outside.writing import check_folder, check_target, replacing, write_folder, write_text
from tests.support.programs import python

MOVES = """
import os, signal, sys
from pathlib import Path
from lcl_ref.outside.writing import replacing, write_folder
first, second = Path(sys.argv[1]), Path(sys.argv[2])
honest = {name: getattr(Path, name) for name in ("rename", "replace")}
moves = 0
def counted(name):
    def move(self, to):
        global moves
        moves += 1
        if sys.argv[3] == "before" and moves == int(sys.argv[4]): os.kill(os.getpid(), signal.SIGINT)
        moved = honest[name](self, to)
        if sys.argv[3] == "after" and moves == int(sys.argv[4]): os.kill(os.getpid(), signal.SIGINT)
        return moved
    return move
for name in honest: setattr(Path, name, counted(name))
if first.is_dir():
    write_folder(first, [("a", b"new")])
else:
    with replacing(first, second) as paths:
        for path in paths: path.write_text("new")
"""
"""A program that presses Ctrl-C before or after the n-th time that it moves something."""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("move", [1, 2])
def test_an_interruption_between_two_moves_leaves_the_old_or_the_new_and_nothing_else(tmp_path, when, move):
    folder, one, other = tmp_path / "folder", tmp_path / "one", tmp_path / "other"
    folder.mkdir()
    for path in (folder / "a", one, other):
        path.write_text("old")
    for pair in ((folder, folder), (one, other)):
        done = python("-c", MOVES, *pair, when, move)
        assert "KeyboardInterrupt" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "one", "other"]
    assert (folder / "a").read_text() in ("old", "new")
    assert one.read_text() == other.read_text()


TRIES = """
import os, signal, sys
from pathlib import Path
from lcl_ref.outside.writing import check_target
honest = os.close
def close(handle):
    os.kill(os.getpid(), signal.SIGINT)
    honest(handle)
os.close = close
check_target(Path(sys.argv[1]))
"""
"""A program that presses Ctrl-C while it tries whether a place can be written."""


def test_an_interruption_of_the_check_leaves_nothing(tmp_path):
    assert "KeyboardInterrupt" in python("-c", TRIES, tmp_path / "file").stderr
    assert list(tmp_path.iterdir()) == []


def test_a_pair_of_which_one_is_new_is_undone_together(tmp_path):
    done = python("-c", MOVES, tmp_path / "one", tmp_path / "other", "after", 1)
    assert "KeyboardInterrupt" in done.stderr
    assert list(tmp_path.iterdir()) == []


WRITES = """
import sys
from pathlib import Path
from lcl_ref.outside.interrupts import raise_when_ended
from lcl_ref.outside.writing import write_folder, write_text
raise_when_ended()
print("ready", flush=True)
for n in range(10**6):
    write_text(Path(sys.argv[1]), str(n % 10) * 50_000)
    write_folder(Path(sys.argv[2]), [(name, str(n % 10).encode() * 50_000) for name in "abc"])
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.slow
def test_a_program_that_is_ended_at_any_moment_leaves_something_whole(tmp_path, number):
    file, folder = tmp_path / "file", tmp_path / "folder"
    moments = random.Random(1)  # noqa: S311 -- no secret
    for _ in range(34):
        with subprocess.Popen([sys.executable, "-c", WRITES, file, folder], stdout=subprocess.PIPE) as program:
            program.stdout.readline()
            time.sleep(moments.random() / 20)
            program.send_signal(number)
        left = {path.name for path in tmp_path.iterdir()} - {"file", "folder"}
        assert len(left) <= (2 if number == signal.SIGKILL else 0)  # a half-written one, and the old one
        write_folder(folder, [(name, b"9" * 50_000) for name in "abc"]) if not folder.exists() else None
        for path in (file, *(folder / name for name in "abc")):
            assert not path.exists() or (len(path.read_bytes()), len(set(path.read_bytes()))) == (50_000, 1)
    write_text(file, "x")
    write_folder(folder, [])
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}


def test_what_a_killed_run_left_is_removed_and_an_old_folder_put_back(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    stem = writing._stem(tmp_path / "data")
    half, old, another = (
        tmp_path / name for name in (f"{stem}{gone.pid}-ab", f"{stem}{gone.pid}-ab-old", ".data.mine")
    )
    for path in (half, old):
        path.mkdir()
    (old / "precious").write_text("kept")
    another.write_text("not ours")
    write_text(tmp_path / "other", "x")
    assert half.exists()  # another target's
    with pytest.raises(RuntimeError):
        write_folder(tmp_path / "data", (pytest.fail if name else _raise() for name in [""]))
    assert (tmp_path / "data" / "precious").read_text() == "kept"
    assert not half.exists()
    assert another.exists()


def _raise():
    raise RuntimeError


def test_targets_that_cannot_be_written_are_refused_before_the_work_with_what_to_do(tmp_path):
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    refused = {
        tmp_path / "no" / "such" / "file": "make it with: mkdir -p .*/no/such$",
        tmp_path: "got a folder",
        tmp_path / "pipe": "device or pipe",
        tmp_path / "file" / "below": "is no folder",
        tmp_path / ("x" * 256): "File name too long",
        tmp_path / "loop": "a path that leads somewhere",
        tmp_path / "/".join(["y" * 200] * 30): "File name too long",
    }
    for path, words in refused.items():
        with pytest.raises(FileError, match=words):
            check_target(path)
    with pytest.raises(FileError, match="the same file for two results"):
        check_target(tmp_path / "a", tmp_path / "." / "a")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "loop", "pipe"]


def test_a_folder_of_another_is_not_replaced(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("precious")
    with pytest.raises(FileError, match="nothing of it was touched"):
        check_folder(tmp_path / "thesis", lambda _: False, "golden data")
    check_folder(tmp_path / "thesis", lambda _: True, "golden data")
    (tmp_path / "empty").mkdir()
    check_folder(tmp_path / "empty", lambda _: False, "golden data")


def test_permissions_are_those_of_the_umask_or_of_the_old_file(tmp_path):
    old = os.umask(0o027)
    try:
        write_text(tmp_path / "new", "x")
        write_folder(tmp_path / "folder", [("a", b"x")])
    finally:
        os.umask(old)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("new", "folder")] == [0o640, 0o750]
    (tmp_path / "new").chmod(0o600)
    write_text(tmp_path / "new", "y")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600


def test_a_link_goes_on_leading_to_the_file(tmp_path):
    (tmp_path / "link").symlink_to("file")
    write_text(tmp_path / "link", "x")
    assert (tmp_path / "file").read_text() == "x"
    assert (tmp_path / "link").is_symlink()


def test_no_room_is_called_so_and_leaves_the_old_file(tmp_path):
    write_text(tmp_path / "file", "old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(FileError, match="files may not be so long"):
            write_text(tmp_path / "file", "new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (tmp_path / "file").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1
    full = writing.refusal("x", OSError(errno.ENOSPC, "No space left on device"))
    assert full.got == "the disk is full"


def test_an_error_in_the_block_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a", tmp_path / "b"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_what_was_made_a_folder_is_moved_or_removed_as_one(tmp_path):
    for fails in (True, False):
        with pytest.raises(ZeroDivisionError) if fails else contextlib.nullcontext():  # noqa: SIM117
            with replacing(tmp_path / "a") as (made,):
                made.unlink()
                made.mkdir()
                (made / "inside").write_text("x")
                assert 1 / (not fails)
        assert [path.name for path in tmp_path.rglob("*")] == ([] if fails else ["a", "inside"])
