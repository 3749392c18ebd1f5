"""Two ports in other languages, written from SPEC.md alone: they keep to the protocol and conform in every cell."""

import shlex
import shutil

import pytest

from lcl_ref.suite.cases.tiers import in_tier
from lcl_ref.suite.diagnosis.diagnose import diagnose
from lcl_ref.suite.exec.adapter import Limits
from lcl_ref.suite.exec.protocol_check import Checker
from lcl_ref.suite.golden.fixtures import default_root, verify
from lcl_ref.suite.judge.outcome import Outcome
from lcl_ref.suite.run.cells import make_plan
from lcl_ref.suite.run.loading import EXEC, load, resolve
from lcl_ref.suite.run.matrix import MatrixRun
from lcl_ref.suite.run.settings import Settings
from tests.support.paths import EXAMPLES
from tests.support.programs import lcl

MISTAKES = {
    "js": ("layer.js", " - padding[axis][0]);", ");", "padding/ignored"),
    "c": ("layer.c", "+ tap * l->", "+ (l->kernel[a] - 1 - tap) * l->", "taps/flipped"),
}
"""Port -> file, a piece of it, the same with a mistake, and the name of the mistake."""


def run(word, globs=(), **choice):
    """Return all outcomes of a backend."""
    plan = make_plan(resolve([word]), verify(default_root()), globs, **choice)
    with MatrixRun(plan, Settings(default_root(), 1, 60.0)) as matrix:
        return [event for event in matrix if isinstance(event, Outcome)]


def test_port_keeps_to_the_protocol(port, build):
    findings = list(Checker(shlex.split(build(port).removeprefix(EXEC)), Limits()).findings())
    assert [finding for finding in findings if not finding.kept] == []
    assert len(findings) >= 12


@pytest.mark.parametrize(("tier", "least"), [("core", 200), pytest.param("full", 1000, marks=pytest.mark.slow)])
def test_port_conforms(port, tier, least, build):
    outcomes = run(build(port), in_tier(tier), dtypes=["float32", "float64"])
    assert [outcome for outcome in outcomes if outcome.state != "pass"] == []
    assert len(outcomes) > least


def test_port_declares_what_it_lacks(port, build):
    outcomes = run(build(port), ["1d/plain/odd-kernel"], ops=["forward"])
    assert {(outcome.dtype, outcome.state) for outcome in outcomes} == {
        ("float16", "unsupported"),
        ("bfloat16", "unsupported"),
        ("float32", "pass"),
        ("float64", "pass"),
    }


@pytest.fixture
def mistaken(port, build, tmp_path):
    """Build a copy of the port with a mistake in it; also give the mistake's name."""
    file, right, wrong, name = MISTAKES[port]
    copy = tmp_path / port
    shutil.copytree(EXAMPLES / port, copy)
    text = (copy / file).read_text()
    assert text.count(right) == 1
    (copy / file).write_text(text.replace(right, wrong))
    return build(port, copy), name


def test_a_mistake_in_a_port_is_named_through_the_protocol(mistaken):
    word, name = mistaken
    (ref,) = resolve([word])
    adapter = load(ref)
    (finding,) = diagnose(adapter, verify(default_root()), in_tier("core")).findings
    adapter.close()
    assert finding.deviations == (name,)
    assert set(finding.ops) == {"forward", "vjp", "transpose"}


def test_smoke_tells_a_deviating_layer_from_a_broken_program(mistaken, tmp_path):
    word, _ = mistaken
    assert "it works, but the layer deviates" in smoke(word)
    assert "lcl diagnose -b" in smoke(word)
    missing = f"{EXEC}node '{tmp_path / 'no-such-port.js'}'" if "node" in word else f"{EXEC}false"
    assert "it is broken; it does not start" in smoke(missing)


def smoke(word):
    done = lcl("smoke", "-b", word)
    assert done.returncode == 1
    return " ".join(done.stdout.split())


DESCRIBED = ["describe/layers", "describe/refusals"]

BLIND = {
    "names mixed up": (
        "[total >> 1, total - (total >> 1)]",
        "[total - (total >> 1), total >> 1]",
        "describe/layers",
        "expected [[0, 1]]",
    ),
    "no default": ("stride: 1, padding", "stride: 2, padding", "describe/layers", "stride: got [2], expected [1]"),
    "refuses nothing": (
        "    if (error instanceof Refused) return { refused: error.message };\n    throw error;",
        "    return { spec: written };",
        "describe/refusals",
        "are not refused",
    ),
}
"""A mistake in describe.js: a piece of it, the same with the mistake, the check that fails, words of its message."""


def test_port_describes_layers_and_refuses_what_is_none(port, build):
    assert {outcome.case: outcome.state for outcome in run(build(port), DESCRIBED)} == dict.fromkeys(DESCRIBED, "pass")


@pytest.mark.parametrize("name", BLIND)
def test_a_port_that_takes_layers_for_others_fails(name, build, tmp_path):
    right, wrong, check, words = BLIND[name]
    copy = tmp_path / "js"
    shutil.copytree(EXAMPLES / "js", copy)
    text = (copy / "describe.js").read_text()
    assert text.count(right) == 1
    (copy / "describe.js").write_text(text.replace(right, wrong))
    found = {outcome.case: outcome for outcome in run(build("js", copy), DESCRIBED)}
    assert found[check].state == "fail"
    assert found[check].diagnosis == check
    assert words in found[check].message


def test_a_program_before_the_command_is_told_what_was_not_asked(port, build, tmp_path):
    copy = tmp_path / port
    shutil.copytree(EXAMPLES / port, copy)
    (file,) = copy.glob("port.*")
    text = file.read_text()
    old = text.replace(" describes: true,", "").replace('\\"describes\\":true,', "")
    assert old != text
    file.write_text(old)
    for outcome in run(build(port, copy), [*DESCRIBED, "1d/plain/odd-kernel"], dtypes=["float32"]):
        described = outcome.case in DESCRIBED
        assert outcome.state == ("unsupported" if described else "pass"), outcome
        assert not described or "not asked: the program does not say" in outcome.message
