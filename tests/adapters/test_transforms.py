"""The checks of transforms reach the rules that a framework is given: a wrong one fails its check alone."""

import pytest
import torch

from lcl_backends.support import Capabilities
from lcl_backends.support.torch import TorchLayer, declared
from lcl_ref.layers.engines.torch import local
from lcl_ref.suite.checks.catalogue import CHECKS
from lcl_ref.suite.checks.examiner import Examiner
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.outcome import Cell
from lcl_ref.suite.run.loading import load, resolve

# torch 2.13 warns of what it does itself.
pytestmark = pytest.mark.filterwarnings("ignore:.*(is deprecated|should not be instantiated):DeprecationWarning")

STORE = Store(default_root())


class Same(torch.autograd.Function):
    """The identity, with every rule that torch asks for."""

    @staticmethod
    def forward(y):
        return y.clone()

    @staticmethod
    def setup_context(_ctx, _inputs, _output):
        pass

    @staticmethod
    def backward(_ctx, dy):
        return dy

    @staticmethod
    def jvp(_ctx, y_dot):
        return y_dot.clone()

    @staticmethod
    def vmap(_info, in_dims, y):
        return y.clone(), in_dims[0]


class DoublesForwards(Same):
    @staticmethod
    def jvp(_ctx, y_dot):
        return 2 * y_dot


class StopsTheSecondTime(Same):
    @staticmethod
    def backward(_ctx, dy):
        return dy.detach() + 0 * dy


class MapsBackwards(Same):
    @staticmethod
    def vmap(_info, in_dims, y):
        return y.flip(in_dims[0]), in_dims[0]


def layer(change):
    """Return an adapter whose y goes through a function of torch."""

    class Adapter:
        declaration = declared(
            name="torch.changed", summary="A layer.", layout="canonical", capabilities=Capabilities(channel_table=True)
        )

        def prepare(self, spec, weight, bias, _dtype):
            words = spec.to_json()
            return TorchLayer(spec, lambda _, *operands: change(local(words, *operands)), weight, bias)

    return Adapter()


def failing(adapter, checks):
    """Return the checks that an adapter does not pass."""
    examiner = Examiner(adapter, STORE, 0, alone=False)
    found = [examiner.judge(Cell("layer", name, op, "float32")) for name in checks for op in CHECKS[name].ops]
    assert not [outcome.message for outcome in found if outcome.state == "error"]
    return {outcome.case for outcome in found if outcome.state == "fail"}


QUICK = ("transform/jvp", "transform/second-derivative", "transform/vmap")


@pytest.mark.parametrize(
    ("change", "name"),
    [(DoublesForwards.apply, QUICK[0]), (StopsTheSecondTime.apply, QUICK[1]), (MapsBackwards.apply, QUICK[2])],
    ids=QUICK,
)
def test_a_wrong_rule_fails_its_check(change, name):
    assert failing(layer(change), [name]) == {name}


def test_right_rules_pass():
    assert failing(layer(Same.apply), QUICK) == set()


def test_what_torch_cannot_see_through_is_declared():
    examiner = Examiner(load(resolve(["torch.loop"])[0]), STORE, 0, alone=False)
    found = [examiner.judge(Cell("torch.loop", name, CHECKS[name].ops[0], "float32")) for name in QUICK]
    assert {outcome.state for outcome in found} == {"unsupported"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["transform/compiled", "transform/exported"])
def test_a_compiler_that_is_answered_otherwise_fails_its_check(name):
    def change(y):
        exporting = torch.compiler.is_exporting()
        seen = exporting if name == "transform/exported" else torch.compiler.is_compiling() and not exporting
        return y + 1 if seen else y

    checks = ("transform/compiled", "transform/exported")
    assert failing(layer(change), checks) == {name}
