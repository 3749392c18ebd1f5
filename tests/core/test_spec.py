"""`Spec`: normalised once, derived sizes, and every broken rule in one error."""

import json
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcl_ref import Spec, SpecError
from lcl_ref.core import dense_oracle
from tests.support.tables import table

PLAIN = {"input_size": (9, 8), "in_channels": 6, "out_channels": 4, "kernel_size": (3, 2)}


def make(**changes):
    return Spec(**(PLAIN | changes))


def broken(**changes):
    """Return {rule: violation} of the error that these arguments must raise."""
    with pytest.raises(SpecError) as caught:
        make(**changes)
    return {violation.rule: violation for violation in caught.value.violations}


def test_the_example_of_the_docs():
    spec = Spec(
        input_size=(9, 8), in_channels=5, out_channels=7, kernel_size=(3, 2), stride=2, padding="same_upper", dilation=1
    )
    assert spec.output_size == (5, 4)
    assert spec.weight_shape == (5, 4, 3, 2, 5, 7)
    assert spec.bias_shape == (5, 4, 7)
    assert (spec.x_shape(3), spec.y_shape(3)) == ((3, 9, 8, 5), (3, 5, 4, 7))
    assert spec.fan_in == 3 * 2 * 5
    assert spec.parameter_count == 5 * 4 * 3 * 2 * 5 * 7 + 5 * 4 * 7


def test_scalars_serve_every_axis_and_sequences_become_tuples():
    spec = make(stride=2, dilation=[1, 3], padding=1, shared=[True, False])
    assert (spec.stride, spec.dilation, spec.padding, spec.shared) == ((2, 2), (1, 3), ((1, 1), (1, 1)), (True, False))
    assert spec == make(stride=(2, 2), dilation=np.array([1, 3]), padding=((1, 1), [1, 1]), shared=(True, False))


def test_a_scalar_input_size_is_rank_1_and_an_empty_one_rank_0():
    assert Spec(input_size=5, in_channels=1, out_channels=1, kernel_size=2).rank == 1
    linear = Spec(input_size=(), in_channels=6, out_channels=4, kernel_size=(), groups=2)
    assert (linear.rank, linear.output_size, linear.weight_shape, linear.bias_shape) == (0, (), (3, 4), (4,))
    assert (linear.fan_in, linear.connection_count) == (3, 12)


def test_numpy_integers_are_integers():
    spec = make(in_channels=np.int64(6), stride=np.uint8(2))
    assert spec == make(in_channels=6, stride=2)
    assert type(spec.in_channels) is int
    assert type(spec.stride[0]) is int


def test_padding_of_one_axis_may_be_a_name_an_int_or_a_pair():
    assert make(padding=("same_upper", (0, 3))).padding == ((1, 1), (0, 3))
    assert make(padding=(2, "causal")).padding == ((2, 2), (1, 0))


def test_specifications_are_values():
    assert make() == make()
    assert hash(make()) == hash(make(stride=(1, 1)))
    assert make() != make(bias="channel")
    with pytest.raises(FrozenInstanceError):
        make().groups = 2


@pytest.mark.parametrize(
    ("bias", "shape", "count"), [("position", (7, 7, 4), 196), ("channel", (4,), 4), ("none", None, 0)]
)
def test_bias_kinds(bias, shape, count):
    spec = make(bias=bias)
    assert spec.bias_shape == shape
    assert spec.parameter_count == 7 * 7 * 3 * 2 * 6 * 4 + count


def test_shared_axes_have_one_weight():
    assert make(shared=(True, False)).weight_shape == (1, 7, 3, 2, 6, 4)
    assert make(shared=True).parameter_count == 3 * 2 * 6 * 4 + 7 * 7 * 4  # the bias stays one per position


def test_groups_narrow_the_weight_and_say_who_reads_what():
    spec = make(groups=2)
    assert spec.weight_shape == (7, 7, 3, 2, 3, 4)
    assert spec.channels.tolist() == [[0, 1, 2], [0, 1, 2], [3, 4, 5], [3, 4, 5]]


def test_a_connection_table_replaces_groups():
    table = [[0, 1], [5, 0], [2, 3], [4, 1]]
    spec = make(channel_table=table)
    assert spec.weight_shape == (7, 7, 3, 2, 2, 4)
    assert spec.channels.tolist() == table
    assert spec.channel_table == ((0, 1), (5, 0), (2, 3), (4, 1))
    assert Spec.from_json(spec.to_json()) == spec


@given(
    size=st.integers(1, 12),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 3),
    pads=st.tuples(st.integers(0, 4), st.integers(0, 4)),
)
def test_output_size_and_connections_are_what_counting_gives(size, kernel, stride, dilation, pads):
    starts = range(0, size + sum(pads), stride)
    fitting = [start for start in starts if start + dilation * (kernel - 1) < size + sum(pads)]
    arguments = {"input_size": size, "in_channels": 2, "out_channels": 3, "kernel_size": kernel}
    arguments |= {"stride": stride, "dilation": dilation, "padding": (pads,)}
    if not fitting:
        with pytest.raises(SpecError, match="output_size, axis x"):
            Spec(**arguments)
        return
    spec = Spec(**arguments)
    sites = [start + tap * dilation - pads[0] for start in fitting for tap in range(kernel)]
    assert spec.output_size == (len(fitting),)
    assert spec.connection_count == sum(0 <= site < size for site in sites) * 2 * 3


@pytest.mark.parametrize(
    "changes",
    [
        {"padding": "same_lower", "stride": (2, 3), "groups": 2},
        {"padding": ((5, 0), (0, 4)), "dilation": (2, 1), "shared": (True, False)},
        {"channel_table": [[0, 1], [5, 0], [2, 3], [4, 1]], "bias": "none"},
    ],
)
def test_connection_count_is_the_number_of_entries_of_the_layer_as_a_matrix(changes):
    spec = make(**changes)
    assert spec.connection_count == dense_oracle.connectivity(spec).joined.sum()


def test_json_has_pairs_for_names_and_no_empty_table():
    values = json.loads(make(padding="same_upper", stride=2).to_json())
    assert values == {
        "input_size": [9, 8],
        "in_channels": 6,
        "out_channels": 4,
        "kernel_size": [3, 2],
        "stride": [2, 2],
        "padding": [[1, 1], [0, 0]],
        "dilation": [1, 1],
        "groups": 1,
        "shared": [False, False],
        "bias": "position",
    }


def test_from_dict_takes_what_the_constructor_takes():
    assert Spec.from_dict(PLAIN | {"padding": "same_upper"}) == make(padding="same_upper")


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("{", {"json/syntax"}),
        ("[1, 2]", {"json/object"}),
        ('{"input_size": 4}', {"fields/missing"}),
        ('{"input_size": 4, "in_channels": 1, "out_channels": 1, "kernel_size": 2, "strides": 1}', {"fields/unknown"}),
        ('{"input_size": 4, "in_channels": 0, "out_channels": 1, "kernel_size": 2}', {"in_channels/at-least-1"}),
    ],
)
def test_from_json_refuses(text, rules):
    with pytest.raises(SpecError) as caught:
        Spec.from_json(text)
    assert {violation.rule for violation in caught.value.violations} == rules


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        *[(changes, rule) for rule, layers in table(__file__, "worked.toml")["broken"].items() for changes in layers],
        ({"stride": np.array([True, True])}, "stride/integer"),
    ],
)
def test_one_broken_rule_is_reported_alone(changes, rule):
    assert list(broken(**changes)) == [rule]


def test_all_broken_rules_are_reported_at_once():
    rules = broken(kernel_size=(3, 0), stride="2", groups=-1, bias="both", padding="smae_upper")
    names = "kernel_size/at-least-1 stride/integer groups/at-least-1 bias/name padding/name"
    assert set(rules) == set(names.split())


def test_messages_hold_the_axis_and_the_arithmetic():
    window = broken(kernel_size=(10, 2))["output_size/positive"]
    assert window.axis == "y"
    assert "0 = floor((9 + 0 + 0 - 1*(10 - 1) - 1) / 1) + 1" in window.got
    channels = broken(groups=4)["in_channels/divisible"]
    assert "6 = 1*4 + 2" in channels.expected


def test_a_nearly_right_padding_name_is_answered_with_the_right_one():
    assert "'same_upper'" in broken(padding="smae_upper")["padding/name"].todo
    both = broken(padding="SAME")["padding/name"].todo
    assert "same_upper" in both
    assert "same_keras_local" in both


def test_a_bare_pair_for_one_axis_is_answered_with_the_right_spelling():
    with pytest.raises(SpecError) as caught:
        Spec(input_size=9, in_channels=1, out_channels=1, kernel_size=3, padding=(1, 2))
    assert "padding=((1, 2),)" in str(caught.value)
