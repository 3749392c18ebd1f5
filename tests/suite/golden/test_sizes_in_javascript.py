"""A port in another language makes the operands of cases of sizes, and checks its own answers, from the index alone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from lcl_ref.suite.golden.fixtures import default_root
from tests.support.paths import ROOT

JS = ROOT / "examples" / "js"
STARTS = ("0d/sizes/batch-3", "1d/sizes/depthwise-16", "2d/sizes/window-x", "3d/sizes/axis-z-65")


def checked(folder: Path) -> list[str]:
    command = ["node", str(folder / "sizes.js"), str(default_root()), *STARTS]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_the_layer_of_the_port_is_right() -> None:
    lines = checked(JS)
    assert {line.split()[1] for line in lines} == {"y", "dx", "dw", "db"}
    assert [line for line in lines if not line.endswith(" right")] == []
    assert {line[0] for line in lines} == {"0", "1", "2", "3"}


def test_a_mistake_in_it_is_noticed(tmp_path: Path) -> None:
    shutil.copytree(JS, tmp_path / "js")
    layer = tmp_path / "js" / "layer.js"
    source = layer.read_text()
    layer.write_text(source.replace("y[iy] += x[ix] * weight[iw]", "y[iy] += x[ix] * weight[iw] * (ix !== 7)"))
    assert layer.read_text() != source
    wrong = [line.split()[1] for line in checked(tmp_path / "js") if line.endswith(" wrong")]
    assert wrong
    assert set(wrong) == {"y"}
