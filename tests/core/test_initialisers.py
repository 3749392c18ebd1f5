"""Initial weights: draws that are the same bits everywhere, fans and moments compared with the live frameworks."""

from __future__ import annotations

import hashlib
import math
import os
import statistics
import subprocess
import sys

import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.initialisers import SCHEMES, portable_random
from lcl_ref.layouts import LAYOUTS, convert
from tests.support.tables import table

IMAGE = lcl.Spec(input_size=(16, 16), in_channels=3, out_channels=8, kernel_size=3)
SMALL = lcl.Spec(input_size=(8, 7), in_channels=3, out_channels=4, kernel_size=(3, 2), padding="same_keras_local")
LINE = lcl.Spec(input_size=40, in_channels=3, out_channels=5, kernel_size=4, stride=2)
VOLUME = lcl.Spec(input_size=(4, 5, 6), in_channels=2, out_channels=3, kernel_size=(2, 3, 2))
BLOCKS = lcl.Spec(input_size=24, in_channels=3, out_channels=4, kernel_size=4, stride=4)

SIGMAS = 6
"""How far a measured standard deviation may lie from the right one, in its own standard deviations."""

DIGESTS = {
    "canonical/lecun_uniform": "169a8be49521f2b177390f79814f0959598159959cdffed5a3843e0b75425e58",
    "canonical/lecun_normal": "3b8826773a4210dfd6f45116c73cc5a7ba3be72c6497cf1432f9bd4ddaa5fb00",
    "megengine/normal": "5a39a351c428136499bff9164dd93302a22ac2fb31c9d7da9c0e87c36c3294f7",
    "torch7/spatial_convolution_local/uniform": "addfae65af2b1c28f5cdcf5d03021390122c00a5498877746e77eb08d74c446b",
    "keras2/impl3/glorot_uniform": "de4d749431aee6d58e07715a19f91d77cc8bc12ede31bc3f4527837d33d546c9",
}
"""SHA-256 of weight and bias for seed 7: the numbers of SPEC 14.7 do not change."""


def layer_of(name):
    """Return a layer that the scheme's layout holds."""
    layout = LAYOUTS[SCHEMES[name].layout]
    return next(spec for spec in (SMALL, LINE, BLOCKS, VOLUME) if layout.refusal(spec) is None)


def assert_deviation(values, deviation):
    """Check the standard deviation of a sample of numbers around 0, as far as its size allows."""
    values = np.asarray(values, np.float64).reshape(-1)
    # The variance of a sample variance is at most 2*sigma^4/N for the normal, less for the others.
    measured = math.sqrt((values**2).mean()) / deviation
    assert abs(measured**2 - 1) <= SIGMAS * math.sqrt(2 / values.size)
    assert abs(values.mean()) <= SIGMAS * deviation / math.sqrt(values.size)


# --- draws ------------------------------------------------------------------------------------------------------------


def test_quantiles_are_those_of_the_standard_library_to_the_last_bits():
    share = np.concatenate(
        [portable_random.uniform("share", (3000,)), [2.0**-53, 1e-12, 1e-5, 0.075, 0.5, 0.925, 1 - 2.0**-53]]
    )
    want = np.array([statistics.NormalDist().inv_cdf(value) for value in share])
    assert (np.abs(portable_random.quantile(share) - want) <= 8 * np.spacing(np.abs(want))).all()
    assert np.array_equal(portable_random.quantile(1 - share[:100]), -portable_random.quantile(share[:100]))


def test_logarithms_are_exact_to_the_last_bits():
    values = np.concatenate(
        [portable_random.uniform("log", (3000,)), 2.0 ** -np.arange(1, 60), [1.0, 0.7, 0.71, 1e-300]]
    )
    want = np.array([math.log(value) for value in values])
    assert (np.abs(portable_random.log(values) - want) <= 2 * np.spacing(np.maximum(np.abs(want), 2.0**-4))).all()


def test_uniform_numbers_are_those_of_the_stream():
    key = int.from_bytes(hashlib.sha256(b"name").digest()[:16], "little")
    raw = np.random.Philox(key=key).random_raw(5)
    assert portable_random.uniform("name", (5,)).tolist() == [
        (2 * (number // 2**12) + 1) / 2**53 for number in raw.tolist()
    ]
    assert 0 < portable_random.uniform("name", (10_000,)).min() < portable_random.uniform("name", (10_000,)).max() < 1


@pytest.mark.parametrize(
    ("draw", "deviation"),
    [(portable_random.normal, 1.0), (portable_random.truncated_normal, 1.0), (portable_random.uniform, None)],
)
def test_moments_of_the_draws(draw, deviation):
    values = draw("moments", (200_000,))
    if deviation is None:
        values, deviation = 2 * values - 1, 1 / math.sqrt(3)
    assert_deviation(values, deviation)
    if draw is portable_random.truncated_normal:
        assert np.abs(values).max() <= 2 / portable_random.TRUNCATED_DEVIATION


def test_constants_of_the_truncated_normal():
    normal = statistics.NormalDist()
    assert normal.cdf(-2) == portable_random.TRUNCATED_BELOW
    cut = 1 - 2 * normal.cdf(-2)
    assert abs(portable_random.TRUNCATED_DEVIATION**2 - (1 - 4 * normal.pdf(2) / cut)) <= 2.0**-50


# --- the same bits ----------------------------------------------------------------------------------------------------

PRINT_DIGESTS = """
import hashlib, lcl_ref as lcl
from lcl_ref.layouts import LAYOUTS
spec = lcl.Spec(input_size=(8, 7), in_channels=3, out_channels=4, kernel_size=(3, 2), padding="same_keras_local")
for name in NAMES:
    weight, bias = lcl.init(spec, name, 7)
    print(name, hashlib.sha256(weight.tobytes() + bias.tobytes()).hexdigest())
"""


@pytest.mark.parametrize("surroundings", ["as they are", "no vector units"])
def test_numbers_are_frozen(surroundings):
    """The same bytes as ever, with NumPy's vector units and without."""
    found = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    environment = {"NPY_DISABLE_CPU_FEATURES": " ".join(found)} if surroundings == "no vector units" else {}
    program = PRINT_DIGESTS.replace("NAMES", repr(list(DIGESTS)))
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    assert dict(line.split() for line in done.stdout.splitlines()) == DIGESTS


def test_schemes_of_one_distribution_differ_by_a_factor():
    standard = 2 * portable_random.uniform("lcl-init/1:3:weight", SMALL.weight_shape) - 1
    for name in ("canonical/he_uniform", "keras2/impl1/glorot_uniform", "torch/ptrblck/xavier_uniform"):
        weight, _ = lcl.init(SMALL, name, 3, np.float64)
        assert np.array_equal(weight, SCHEMES[name].spread(SMALL) * standard)
        assert np.array_equal(lcl.init(SMALL, name, 3)[0], weight.astype(np.float32))


def test_seeds_and_tensors_have_streams_of_their_own():
    weight, bias = lcl.init(SMALL, "torch/ptrblck/randn", 1, np.float64)
    assert not np.array_equal(weight, lcl.init(SMALL, "torch/ptrblck/randn", 2, np.float64)[0])
    assert np.array_equal(weight, lcl.init(SMALL, "torch/ptrblck/randn", np.int64(1), np.float64)[0])
    assert not set(bias.reshape(-1)) & set(weight.reshape(-1))


# --- every scheme -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEMES)
def test_a_scheme_fills_a_layer_with_its_spread(name):
    scheme, spec = SCHEMES[name], layer_of(name)
    weights = np.concatenate([lcl.init(spec, name, seed, np.float64)[0].reshape(-1) for seed in range(20)])
    filled = weights[weights != 0]
    assert_deviation(filled, scheme.standard_deviation(spec))
    if scheme.distribution == "uniform":
        assert 0.99 * scheme.spread(spec) < np.abs(filled).max() < scheme.spread(spec)
    _, bias = lcl.init(spec, name, 0, np.float64)
    assert (scheme.bias == "zeros") == (not bias.any())


@pytest.mark.parametrize("name", SCHEMES)
def test_the_layout_of_a_scheme_holds_what_it_draws(name):
    spec = layer_of(name)
    weight, _ = lcl.init(spec, name, 5)
    bias = None
    spec = lcl.Spec.from_dict(spec.to_dict() | {"bias": "none"})
    stored, _ = convert(spec, weight, bias, source="canonical", target=SCHEMES[name].layout)
    back, _ = convert(spec, stored, bias, source=SCHEMES[name].layout, target="canonical")
    assert np.array_equal(back, weight)


def test_darknet_fills_the_first_position_only():
    weight, _ = lcl.init(SMALL, "darknet/uniform", 1)
    blocks = weight.reshape(math.prod(SMALL.output_size), -1)
    assert blocks[0].all()
    assert not blocks[1:].any()


@pytest.mark.parametrize(("name", "measured"), table(__file__, "worked.toml")["deviations"].items())
def test_deviations_of_the_usual_layer(name, measured):
    """16 x 16 x 3 to 14 x 14 x 8, kernel 3: one layer, nine starts."""
    assert round(SCHEMES[name].standard_deviation(IMAGE), 4) == measured


def test_three_implementations_of_one_layer_start_at_three_scales():
    spec = lcl.Spec(input_size=(14, 12), in_channels=6, out_channels=8, kernel_size=3)
    per_patch = SCHEMES["canonical/glorot_uniform"].spread(spec)
    shares = [round(SCHEMES[f"keras2/impl{n}/glorot_uniform"].spread(spec) / per_patch, 3) for n in (1, 2, 3)]
    assert shares == [0.130, 0.024, 0.035]


def test_groups_and_strides_count_where_the_source_counts_them():
    grouped = lcl.Spec(input_size=(6, 5), in_channels=4, out_channels=6, kernel_size=(3, 2), groups=2, stride=(2, 1))
    assert SCHEMES["canonical/lecun_uniform"].spread(grouped) == math.sqrt(3 / 12)
    assert SCHEMES["megengine/normal"].spread(grouped) == math.sqrt(1 / 24)
    plain = lcl.Spec(input_size=(6, 5), in_channels=4, out_channels=6, kernel_size=(3, 2), stride=(2, 1))
    assert SCHEMES["dl4j/nchw/xavier"].spread(plain) == math.sqrt(1 / ((24 + 36 / 2) / 2))


def test_neural_fortran_and_the_mlx_issue_have_rules_of_their_own():
    assert SCHEMES["neural_fortran/randn"].spread(LINE) == 1 / 16
    assert SCHEMES["mlx/issue1881/randn"].spread(BLOCKS) == math.sqrt(1 / 3)


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_what_a_scheme_cannot_fill_is_refused():
    grouped = lcl.Spec(input_size=6, in_channels=4, out_channels=6, kernel_size=3, groups=2)
    with pytest.raises(lcl.LayoutError, match="no groups"):
        lcl.init(grouped, "keras2/impl1/glorot_uniform", 1)
    with pytest.raises(lcl.LclError, match="keras2/impl1/glorot_uniform"):
        lcl.init(LINE, "keras2/impl1/glorot", 1)
    with pytest.raises(lcl.LclError, match="expected an integer"):
        lcl.init(LINE, "canonical/he_normal", 1.5)


def test_a_layer_without_bias_has_none():
    spec = lcl.Spec(input_size=6, in_channels=4, out_channels=6, kernel_size=3, bias="none")
    assert lcl.init(spec, "canonical/he_normal", 1)[1] is None
