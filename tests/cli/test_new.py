"""What `lcl new` writes is run as it is written, and nothing is written over."""

import shutil
import tomllib

import pytest

from lcl_ref.suite.cases.loader import case_of
from lcl_ref.suite.cases.tables import Table
from lcl_ref.suite.run.loading import BackendRef, load
from lcl_ref.testing import judge
from tests.support import command_line
from tests.support.paths import ROOT
from tests.support.programs import python


@pytest.fixture
def lcl(tmp_path, monkeypatch, capsys):
    """Give a function that runs `lcl new` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: command_line.lcl("new", *words, capsys=capsys)


def test_a_new_layer_conforms(lcl, tmp_path):
    done = lcl("layer", "mine.py")
    assert done.stdout.endswith("Next: lcl run -b mine.py\n"), done.stderr
    judgement = judge(str(tmp_path / "mine.py"), tier="smoke", in_process=True)
    assert judgement.conforms
    assert any(outcome.state == "pass" for outcome in judgement.outcomes)


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_a_new_adapter_conforms_and_keeps_the_house_style(framework, lcl, tmp_path):
    folder = tmp_path / "backends" / "lcl_backends" / framework
    folder.mkdir(parents=True)
    assert lcl("adapter", f"{framework}.mine").returncode == 0
    path = folder / "mine.py"
    place = ["--stdin-filename", path.relative_to(tmp_path), "-"]
    for rule in (["check"], ["format", "--check"]):
        done = python("-m", "ruff", *rule, *place, input=path.read_text(), cwd=ROOT)
        assert done.returncode == 0, done.stdout + done.stderr
    made = load(BackendRef("mine", "file", str(path), "Adapter"))
    assert made.declaration.name == f"{framework}.mine"
    judgement = judge(made, tier="smoke", in_process=True)
    assert judgement.conforms
    assert any(outcome.state == "pass" for outcome in judgement.outcomes)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_new_case_is_one(rank, lcl, tmp_path):
    topic = f"{rank}d/padding"
    path = tmp_path / "lcl_ref" / "suite" / "cases" / f"{topic}.toml"
    path.parent.mkdir(parents=True)
    shutil.copy(ROOT / path.relative_to(tmp_path), path)
    before = path.read_text()
    assert lcl("case", f"{topic}/mine").returncode == 0
    assert path.read_text().startswith(before)
    case = case_of(Table(topic, "mine", tomllib.loads(path.read_text())["mine"]))
    assert case.spec.rank == rank
    assert "already" in lcl("case", f"{topic}/mine").stderr


def test_nothing_is_written_over_and_a_wrong_place_is_said(lcl, tmp_path):
    (tmp_path / "mine.py").write_text("precious")
    assert "nothing is written over" in lcl("layer", "mine.py").stderr
    assert (tmp_path / "mine.py").read_text() == "precious"
    for words in (("adapter", "torch.mine"), ("case", "2d/padding/mine")):
        assert "in the root of a checkout" in lcl(*words).stderr
    for words in (("adapter", "mxnet.mine"), ("case", "5d/padding/mine")):
        assert "is not" in lcl(*words).stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]
