"""Processes: no code of the current folder runs in them, and none outlives its host."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import pytest

from lcl_ref.outside import processes, scratch
from tests.support.programs import FOREGROUND, LCL, python, run

BIN = Path(sys.executable).parent
SHADOWING = ("base64", "json", "queue", "random", "selectors", "safetensors", "numpy", "h5py")


@pytest.mark.parametrize("program", [[BIN / "lcl"], LCL], ids=["lcl", "python -m lcl_ref"])
def test_a_model_in_a_folder_of_python_files_runs_none_of_them(tmp_path, program):
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file["x"] = [1.0]
    for name in SHADOWING:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r})")
    done = run(*program, "inspect", "model.h5", cwd=tmp_path, env=os.environ | {"PYTHONPATH": ""})
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists()


def test_the_path_of_a_child_has_no_current_folder(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", ".", "mine"]))
    assert processes.environment()["PYTHONPATH"] == str(Path("mine").absolute())
    assert "-P" in processes.command("x")


def test_a_layer_beside_files_with_names_of_modules_is_loaded_and_they_are_not(tmp_path):
    for name in SHADOWING:
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('loaded')")
    (tmp_path / "own_helper.py").write_text("from lcl_ref import forward")
    for name in ("layer", "queue"):
        (tmp_path / f"{name}.py").write_text("import own_helper\nforward = own_helper.forward\n")
    words = ("-c", "0d/linear/no-bias", "--dtype", "float32", "--op", "forward")
    done = run(BIN / "lcl", "run", "-b", "layer.py", "-b", "queue.py", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


HOST = """
import os, sys, subprocess, time
from lcl_ref.outside import processes, scratch
busy = "import re; re.match('(a+)+$', 'a' * 60 + 'b')"
folder = scratch.new_folder()
child = subprocess.Popen([sys.executable, "-c", busy], start_new_session=True)
left = subprocess.Popen(["sleep", "60"], start_new_session=True, env=os.environ | {"TMPDIR": str(folder / "below")})
processes.look_after(child.pid, folder)
print(child.pid, left.pid, folder, flush=True)
time.sleep(60)
"""


def ends(pid, seconds):
    """Return whether a process is gone, or only waits to be asked for its status, after at most so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_a_child_in_c_code_ends_soon_after_its_host_was_killed_and_its_folder_goes_with_the_next_run():
    with subprocess.Popen([sys.executable, "-c", HOST], stdout=subprocess.PIPE, text=True) as host:
        pid, left, folder = host.stdout.readline().split()
        host.kill()
    assert ends(int(pid), 60)
    assert ends(int(left), 60)
    assert Path(folder).parent.is_dir()
    done = python("-c", "from lcl_ref.outside import scratch; print(scratch.new_folder())", check=True)
    assert not Path(folder).parent.exists()
    assert not Path(done.stdout.strip()).exists()


def test_a_folder_in_use_is_left_alone():
    with scratch.folder() as mine:
        python("-c", "from lcl_ref.outside import scratch; scratch.new_folder()", check=True)
        assert mine.is_dir()
    assert not mine.exists()


SLEEPS = """
import os, pathlib, time
def forward(*_):
    pathlib.Path({began!r}).write_text(str(os.getpid()))
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_run_that_is_ended_leaves_no_process_and_no_folder(tmp_path, number):
    layer, began, temporary = tmp_path / "layer.py", tmp_path / "began", tmp_path / "temporary"
    layer.write_text(SLEEPS.format(began=str(began)))
    temporary.mkdir()
    command = [*FOREGROUND, *LCL, "run", "-b", layer, "-c", "0d/linear/no-bias"]
    options = {"env": os.environ | {"TMPDIR": str(temporary)}, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **options) as program:
        while not (began.exists() and began.read_text()):
            time.sleep(0.05)
        program.send_signal(number)
        program.communicate(timeout=300)
    assert program.returncode == (130 if number == signal.SIGINT else 128 + number)
    assert ends(int(began.read_text()), 60)
    assert list(temporary.iterdir()) == []
