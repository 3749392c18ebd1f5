"""The golden data of the extensions, asked of their functions on arrays of torch and JAX, with autodiff behind them."""

import re

import numpy as np
import pytest

from lcl_ref.extensions import adaptive, borders, low_rank, pruned, quantised, regions, transposed, unequal
from lcl_ref.suite.cases.catalogue import EXTENSION_CASES
from lcl_ref.suite.cases.extensions import KINDS
from lcl_ref.suite.golden.extensions import compute
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.identities.identity import system
from tests.extensions.arrays import FRAMEWORKS, IDS, applied
from tests.support.paths import ROOT

STORE = Store(default_root())
each_framework = pytest.mark.parametrize("framework", FRAMEWORKS, ids=IDS)


def cases(*kinds, values="exact"):
    chosen = [case for case in EXTENSION_CASES if case.kind in kinds and case.values == values]
    return pytest.mark.parametrize("case", chosen, ids=lambda case: case.id)


def pairs(*kinds):
    """Each exact case with each framework; of those that compile, the first of two kinds are quick."""
    quick = [next(case for case in EXTENSION_CASES if case.kind == kind) for kind in ("pruned", "regions")]
    chosen = [case for case in EXTENSION_CASES if case.kind in kinds and case.values == "exact"]
    return [
        pytest.param(
            *(case, framework),
            id=f"{case.id}-{framework.name}",
            marks=[] if framework.name == "torch" or case in quick else pytest.mark.slow,
        )
        for case in chosen
        for framework in FRAMEWORKS
    ]


def golden(case):
    arrays = STORE.arrays(case.id)
    return {name: array if case.kind == "quantised" else array.astype(np.float64) for name, array in arrays.items()}


def plain(spec, mask=None):
    """The layer in any framework: the connections that are kept, gathered."""
    table = pruned.keep(spec, np.ones(spec.weight_shape, bool) if mask is None else mask.astype(bool))
    return lambda x, weight, bias=None: pruned.forward(table, x, pruned.pack(table, weight), bias)


def layer_of(case, arrays):
    """The extension as a function of its operands, and their names; the results are y and a gradient of each."""
    spec, bias = case.spec, ["bias"] if "bias" in arrays else []
    if case.kind == "pruned":
        return plain(spec, arrays["mask"]), ["x", "weight", *bias]
    if case.kind == "adaptive":
        inner = plain(spec)
        return (lambda x, w, z, b=None: inner(x, adaptive.weight(spec, w, z), b)), ["x", "weight", "radius", *bias]
    if case.kind == "low-rank":
        return (lambda x, m, k, b=None: low_rank.forward(spec, x, m, k, b)), ["x", "mixing", "kernels", *bias]
    if case.kind == "borders":
        return (lambda x, w, b=None: borders.forward(spec, x, w, b, case.settings["rule"])), ["x", "weight", *bias]
    if case.kind == "regions":
        where = case.settings["regions"]
        return (lambda x, k, b=None: regions.forward(spec, where, x, k, b)), ["x", "kernels", *bias]
    blocks = unequal.Blocks(case.settings["sizes"])
    return (lambda x, w, b: unequal.forward(blocks, x, w, b)), ["x", "weight", "bias"]


GRADIENTS = {"x": "dx", "weight": "dw", "bias": "db", "radius": "dradius", "mixing": "dmixing", "kernels": "dkernels"}


@pytest.mark.parametrize("case", EXTENSION_CASES, ids=lambda case: case.id)
def test_numpy_gives_the_golden_results(case):
    for name, array in compute(case).items():
        np.testing.assert_array_equal(array, STORE.arrays(case.id)[name])


@pytest.mark.parametrize(
    ("case", "framework"), pairs("pruned", "adaptive", "low-rank", "borders", "unequal", "regions")
)
def test_frameworks_give_the_golden_results(case, framework):
    arrays = golden(case)
    layer, names = layer_of(case, arrays)
    operands = [arrays[name] for name in names]
    np.testing.assert_array_equal(applied(framework, layer, *operands), arrays["y"])
    found = framework.pull_back(layer, operands, arrays["dy"])
    for name, gradient in zip(names, found, strict=True):
        np.testing.assert_array_equal(gradient, arrays[GRADIENTS[name]])


@each_framework
@cases("pruned", values="nonfinite")
def test_infinities_and_nans_stand_where_they_must(case, framework):
    arrays = golden(case)
    assert np.isnan(arrays["x"]).any()
    layer, names = layer_of(case, arrays)
    np.testing.assert_array_equal(applied(framework, layer, *(arrays[name] for name in names)), arrays["y"])
    leaking = applied(
        framework,
        plain(case.spec),
        *(arrays[name] * arrays.get("mask", 1) if name == "weight" else arrays[name] for name in names),
    )
    assert np.isnan(leaking).sum() > np.isnan(arrays["y"]).sum(), "a weight of zero lets them through"


@each_framework
@cases("transposed")
def test_frameworks_give_the_golden_results_of_the_transposed_layer(case, framework):
    arrays = golden(case)
    operands = [arrays[name] for name in ("y", "weight", "bias")]

    def layer(y, weight, bias):
        return transposed.forward(case.spec, y, weight, bias)

    np.testing.assert_array_equal(applied(framework, layer, *operands), arrays["z"])
    for name, gradient in zip(("dy", "dw", "db"), framework.pull_back(layer, operands, arrays["dz"]), strict=True):
        np.testing.assert_array_equal(gradient, arrays[name])


@pytest.mark.parametrize("name", ["torch.unfold", "jax.patches", "mlx.windows"])
@cases("adaptive", "low-rank", "transposed")
def test_adapters_give_them_with_the_weight_that_an_extension_is(case, name):
    arrays, spec = golden(case), case.spec
    made = {
        "adaptive": lambda: adaptive.weight(spec, arrays["weight"], arrays["radius"]),
        "low-rank": lambda: low_rank.weight(spec, arrays["mixing"], arrays["kernels"]),
        "transposed": lambda: arrays["weight"],
    }
    bias = (
        None if spec.bias_shape is None else arrays["bias"] if case.kind != "transposed" else np.zeros(spec.bias_shape)
    )
    layer = system(name).prepare(spec, made[case.kind](), bias, "float64")
    if case.kind == "transposed":
        np.testing.assert_array_equal(np.asarray(layer.transpose(arrays["y"])) + arrays["bias"], arrays["z"])
    else:
        np.testing.assert_array_equal(np.asarray(layer.forward(arrays["x"])), arrays["y"])


@each_framework
@cases("quantised")
def test_weights_are_quantised_and_summed_to_the_last_bit(case, framework):
    arrays = golden(case)
    layer = quantised.prepare(case.spec, arrays["weight"], None, case.settings["per"])
    np.testing.assert_array_equal(layer.scale, arrays["scale"])
    np.testing.assert_array_equal(layer.weight, arrays["quantised"])
    sums = np.asarray(quantised.integer_part(layer, framework.enter(arrays["x"])))
    np.testing.assert_array_equal(sums, arrays["sums"])


def test_ties_are_there():
    arrays = STORE.arrays("extension/quantised/ties")
    steps = arrays["weight"] / np.expand_dims(arrays["scale"], (2, 3, 4))
    assert (np.abs(steps % 2) == 0.5).sum() > 50
    assert (np.abs(arrays["sums"]) > 2**15).any()


def test_results_fit_float32_and_every_kind_has_a_case():
    assert {case.kind for case in EXTENSION_CASES} == set(KINDS)
    for case in EXTENSION_CASES:
        entry = STORE.extensions[case.id]
        assert max(entry.get("certificate", {"y": 0}).values()) <= 2**24
        assert case.why.startswith("catches ")


def test_every_case_can_see_the_plain_layer():
    """What is extended must show: where it is left out, the result is another one."""
    for case in EXTENSION_CASES:
        if case.kind in ("pruned", "adaptive", "borders"):
            arrays = golden(case)
            inner = plain(case.spec)(arrays["x"], arrays["weight"], arrays.get("bias"))
            assert not np.array_equal(inner, arrays["y"], equal_nan=True), case.id


def test_the_program_on_the_page_runs():
    page = ROOT / "docs" / "extensions.md"
    (program,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    exec(compile(program, page.name, "exec"), {})  # noqa: S102 -- the program of the page
