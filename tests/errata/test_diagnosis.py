"""Layers as printed are wrong, and `lcl diagnose` names what is wrong with them."""

import pytest

from lcl_ref.suite.cases import select
from lcl_ref.suite.diagnose import diagnose
from lcl_ref.suite.fixtures import default_root
from lcl_ref.suite.store import Store
from lcl_ref.suite.user_layer import as_adapter
from tests.errata import printed_layers

STORE = Store(default_root())


@pytest.mark.parametrize(
    ("layer", "globs", "mistake"),
    [
        (printed_layers.MaskedLinear, ["0d/*"], "nonfinite/masked-dense"),
        (printed_layers.SqueezedConv, ["0d/*"], "output/squeezed"),
        (printed_layers.ChannelsBeforeTaps, ["1d/plain/*", "1d/tiling/*", "1d/stride/*"], "patch/channel-major"),
        (printed_layers.LinearOfTwoDFC, ["*/kernel/whole-input", "*/rounded/*"], "weights/read-as-ohwi"),
        (printed_layers.KerasBias, ["1d/plain/*", "1d/stride/*", "2d/plain/*"], "bias/reshaped"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_mistake_is_named(layer, globs, mistake):
    diagnosis = diagnose(as_adapter("printed", layer()), STORE, [case.id for case in select(globs)])
    named = [name for finding in diagnosis.findings for name in finding.deviations]
    alike = [name for finding in diagnosis.findings for name in finding.same]
    assert mistake in named + alike, (diagnosis.line, diagnosis.findings)
    assert diagnosis.counts["fail"] + diagnosis.counts["error"] > 0
