"""The layout catalogue against loops written from each source's documented formula, not from transposes."""

import itertools
import json
import math
from dataclasses import dataclass

import ml_dtypes
import numpy as np
import pytest
from click.testing import CliRunner

import lcl_ref as lcl
from lcl_ref.cli.layouts import layouts as command
from lcl_ref.layouts import LAYOUTS, bias_shape, explain, fitting, get, weight_shape
from tests.support.marks import quick
from tests.support.tables import table

FAMILY = "jax/local/"
NAMES = [name for name in LAYOUTS if not name.startswith(FAMILY)]

FORMULAS = table(__file__, "formulas.toml")
WEIGHT, KINDS = FORMULAS["weight"], FORMULAS["kinds"]


def flat(index, sizes):
    """Horner: the place of an index in C order."""
    place = 0
    for i, size in zip(index, sizes, strict=True):
        place = place * size + i
    return place


@dataclass(frozen=True)
class Element:
    """One weight (or, without tap and channel, one bias value) of a layer, and the lengths of its axes."""

    spec: lcl.Spec
    o: tuple
    k: tuple = ()
    c: int = 0
    f: int = 0
    zero, one = 0, 1

    output_size = property(lambda e: e.spec.output_size)
    filters = property(lambda e: e.spec.out_channels)
    groups = property(lambda e: e.spec.groups)
    per_group = property(lambda e: e.filters // e.groups)
    positions = property(lambda e: math.prod(e.output_size))
    taps = property(lambda e: math.prod(e.spec.kernel_size))
    blocks = property(lambda e: e.positions * e.groups)
    rows = property(lambda e: e.positions * e.filters)

    position = property(lambda e: flat(e.o, e.output_size))
    tap = property(lambda e: flat(e.k, e.spec.kernel_size))
    group = property(lambda e: e.f // e.per_group)
    in_group = property(lambda e: e.f % e.per_group)
    block = property(lambda e: e.position * e.groups + e.group)
    row = property(lambda e: e.position * e.filters + e.f)
    column = property(lambda e: flat((*e.site, e.c), (*e.spec.input_size, e.spec.group_channels)))
    channel_last_patch = property(lambda e: e.tap * e.spec.group_channels + e.c)
    channel_major_patch = property(lambda e: e.c * e.taps + e.tap)
    position_then_patch = property(lambda e: (e.position * e.spec.group_channels + e.c) * e.taps + e.tap)
    row_then_patch = property(lambda e: (e.row * e.spec.group_channels + e.c) * e.taps + e.tap)

    @property
    def flipped(self):
        return tuple(size - 1 - k for k, size in zip(self.k, self.spec.kernel_size, strict=True))

    @property
    def site(self):
        axes = zip(self.o, self.k, self.spec.stride, self.spec.dilation, self.spec.padding, strict=True)
        return tuple(o * step + k * spread - lo for o, k, step, spread, (lo, _) in axes)


def elements(spec):
    """Every element of the canonical weight, channels fastest."""
    counts = (*spec.weight_size, *spec.kernel_size, spec.group_channels, spec.out_channels)
    for index in itertools.product(*map(range, counts)):
        yield Element(spec, index[: spec.rank], index[spec.rank : 2 * spec.rank], index[-2], index[-1])


def in_words(words, values):
    """Return the attributes that words name, one after the other; a tuple gives all its numbers."""
    found = (getattr(values, word) for word in words.split())
    return tuple(itertools.chain.from_iterable(part if isinstance(part, tuple) else (part,) for part in found))


def documented_bias(name, spec):
    """Return the shape of the stored bias per position, and for (o, f) its place in memory."""
    shapes, lengths = FORMULAS["bias"], Element(spec, (0,) * spec.rank)
    if name in shapes["position_major"]:
        return (lambda e: e.row), in_words(shapes["position_major"][name], lengths)
    shape = shapes["channel_major"].get(name, "filters output_size")
    return (lambda e: e.f * e.positions + e.position), in_words(shape, lengths)


def sparse(name, spec, weight):
    """tf_keras implementation=3: one loop nest, skipping taps that fall on padding."""
    first = name.endswith("first")
    values = []
    outer = [range(spec.out_channels)] if first else []
    outer += [range(size) for size in spec.output_size] + ([] if first else [range(spec.out_channels)])
    for out in itertools.product(*outer):
        f, o = (out[0], out[1:]) if first else (out[-1], out[:-1])
        inner = [range(size) for size in spec.kernel_size]
        inner = [range(spec.in_channels), *inner] if first else [*inner, range(spec.in_channels)]
        for inside in itertools.product(*inner):
            c, k = (inside[0], inside[1:]) if first else (inside[-1], inside[:-1])
            if is_live(Element(spec, o, k)):
                values.append(weight[(*o, *k, c, f)])
    return np.array(values)


def is_live(element):
    return all(0 <= i < size for i, size in zip(element.site, element.spec.input_size, strict=True))


def specs(name):
    """Layers a layout can hold, in every rank it has: uneven geometry, unequal axis lengths, groups if it has them."""
    layout = get(name)
    convolution = name in KINDS["one_kernel"]
    paddings = [[()], [((0, 0),), ((2, 1),)], [((0, 0),) * 2, ((1, 2), (2, 0))], [((1, 0), (0, 2), (1, 1))]]
    for rank in layout.ranks:
        arguments = {
            "input_size": (7, 9, 6)[:rank],
            "kernel_size": (2, 4, 3)[:rank],
            "stride": (3, 2, 1)[:rank] if rank < 3 else (3, 3, 2),
            "out_channels": 6,
            "in_channels": 1 if name in ("local_linear", "eir") else 4,
        }
        for padding in paddings[rank]:
            if name in KINDS["channelwise"]:
                arguments |= {"in_channels": 5, "out_channels": 5}
            for groups in (5,) if name in KINDS["channelwise"] else (1, 2) if layout.groups else (1,):
                yield lcl.Spec(padding=padding, groups=groups, shared=convolution, **arguments)
            if layout.shared and not convolution and rank == 2:
                yield lcl.Spec(padding=padding, shared=(True, False), **arguments)


def with_bias(spec, bias):
    return lcl.Spec.from_dict({**spec.to_dict(), "bias": bias})


ALL = [(name, spec) for name in NAMES for spec in specs(name)]
IDS = [f"{name}-{spec.rank}d-{number}" for number, (name, spec) in enumerate(ALL)]


def integers(shape, seed=0, start=-(2**20)):
    """Distinct integers in a shuffled order, so that no permutation goes unseen."""
    values = np.arange(start, start + math.prod(shape))
    return np.random.default_rng(seed).permutation(values).reshape(shape)


def into(name, spec, weight, bias):
    return lcl.layouts.convert(spec, weight, bias, source="canonical", target=name)


def back_from(name, spec, weight, bias):
    return lcl.layouts.convert(spec, weight, bias, source=name, target="canonical")


def dense_or_live(name):
    return get(name).form != "taps"


def test_every_layout_has_a_documented_formula():
    sparse_names = {f"{prefix}/impl3/channels_{end}" for prefix in ("keras2", "neurite") for end in ("first", "last")}
    assert set(WEIGHT) | sparse_names == set(NAMES)


@pytest.mark.parametrize(("name", "spec"), ALL, ids=IDS)
def test_weight_stands_where_the_documented_formula_says(name, spec):
    weight = integers(spec.weight_shape)
    spec = with_bias(spec, "none")
    stored, _ = into(name, spec, weight, None)
    assert stored.shape == weight_shape(name, spec)
    if "impl3" in name:
        np.testing.assert_array_equal(stored, sparse(name, spec, weight))
        return
    seen, dense = np.zeros(stored.shape, int), get(name).form == "dense"
    for e in elements(spec):
        if dense and not is_live(e):
            continue
        index = in_words(WEIGHT[name], e)
        assert len(index) == stored.ndim
        assert stored[index] == weight[(*e.o, *e.k, e.c, e.f)]
        seen[index] += 1
    if dense:
        np.testing.assert_array_equal(stored[seen == 0], 0)
        assert seen.max() == 1
    else:
        np.testing.assert_array_equal(seen, 1)


@pytest.mark.parametrize(("name", "spec"), ALL, ids=IDS)
def test_bias_stands_where_the_documented_formula_says(name, spec):
    weight = np.zeros(spec.weight_shape, np.int8)
    if name in KINDS["bias_per_channel_only"]:
        per_channel = with_bias(spec, "channel")
        bias = integers((spec.out_channels,))
        stored = into(name, per_channel, weight, bias)[1]
        np.testing.assert_array_equal(stored, bias)
        return
    bias = integers(spec.bias_shape)
    stored = into(name, spec, weight, bias)[1]
    place, shape = documented_bias(name, spec)
    assert stored.shape == shape == bias_shape(name, spec)
    memory = stored.ravel()
    for index in np.ndindex(spec.bias_shape):
        assert memory[place(Element(spec, index[:-1], f=index[-1]))] == bias[index]


@pytest.mark.parametrize("kind", quick(["position", "channel", "none"], "position"))
@pytest.mark.parametrize(("name", "spec"), ALL, ids=IDS)
def test_round_trip_is_exact_or_loses_what_the_layout_says(name, spec, kind):
    spec = with_bias(spec, kind)
    weight = integers(spec.weight_shape)
    bias = None if kind == "none" else integers(spec.bias_shape, 1)
    if kind == "position" and name in KINDS["bias_per_channel_only"]:
        bias = np.broadcast_to(integers((spec.out_channels,)), spec.bias_shape)
    stored, stored_bias = into(name, spec, weight, bias)
    back, bias_back = back_from(name, spec, stored, stored_bias)
    expected = weight.copy()
    if dense_or_live(name):
        for e in elements(spec):
            if not is_live(e):
                expected[(*e.o, *e.k, e.c, e.f)] = 0
        assert "Dense entries" in get(name).loses or "Taps that fall on padding" in get(name).loses
    np.testing.assert_array_equal(back, expected)
    np.testing.assert_array_equal(bias_back, bias)


@pytest.mark.parametrize(("name", "spec"), ALL, ids=IDS)
def test_file_to_canonical_to_file_is_exact_but_for_dense_entries(name, spec):
    spec = with_bias(spec, "none")
    stored = integers(weight_shape(name, spec))
    canonical, _ = back_from(name, spec, stored, None)
    again, _ = into(name, spec, canonical, None)
    if get(name).form == "dense":
        ones, _ = into(name, spec, np.ones(spec.weight_shape, int), None)
        np.testing.assert_array_equal(again, stored * ones)
    else:
        np.testing.assert_array_equal(again, stored)


@pytest.mark.parametrize("end", ["first", "last"])
@pytest.mark.parametrize("implementation", [2, 3])
def test_what_is_lost_never_reaches_an_output(implementation, end):
    spec = lcl.Spec(
        input_size=(5, 4), in_channels=2, out_channels=3, kernel_size=(3, 2), stride=(2, 1), padding="same_keras_local"
    )
    name = f"keras2/impl{implementation}/channels_{end}"
    weight, bias, x = integers(spec.weight_shape), integers(spec.bias_shape), integers(spec.x_shape(2))
    stored = into(name, spec, weight, bias)
    back = back_from(name, spec, *stored)
    assert not np.array_equal(back[0], weight)
    np.testing.assert_array_equal(lcl.forward(spec, x, *back), lcl.forward(spec, x, weight, bias))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_rhs_spec_of_jax_is_the_documented_one(rank):
    letters = {1: "W", 2: "HW", 3: "DHW"}[rank]
    sizes = {"input_size": (5, 6, 8)[:rank], "kernel_size": (2, 3, 4)[:rank], "stride": (2, 1, 3)[:rank]}
    spec = lcl.Spec(**sizes, in_channels=2, out_channels=4, bias="none")
    weight = integers(spec.weight_shape)
    for arrangement in itertools.permutations("OI" + letters):
        rhs_spec = "".join(arrangement)
        stored, _ = into(FAMILY + rhs_spec, spec, weight, None)
        order = [letter for letter in rhs_spec if letter not in "OI"]
        for e in elements(spec) if rank < 3 else itertools.islice(elements(spec), 0, None, 97):
            o, k = dict(zip(letters, e.o, strict=True)), dict(zip(letters, e.k, strict=True))
            size = dict(zip(letters, spec.kernel_size, strict=True))
            patch = flat(
                [e.c, *(k[letter] for letter in order)], [e.spec.group_channels, *(size[letter] for letter in order)]
            )
            place = {"O": e.f, "I": patch, **o}
            assert stored[tuple(place[letter] for letter in rhs_spec)] == weight[(*e.o, *e.k, e.c, e.f)]
        back, _ = back_from(FAMILY + rhs_spec, spec, stored, None)
        np.testing.assert_array_equal(back, weight)


ARGUMENTS = {"input_size": (5, 4), "in_channels": 2, "out_channels": 3, "kernel_size": (3, 2), "stride": (2, 1)}
SPEC = lcl.Spec(**ARGUMENTS)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "complex64", "int8", "uint64"])
def test_every_bit_and_the_dtype_survive(dtype):
    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    size = math.prod(SPEC.weight_shape)
    weight = np.random.default_rng(3).bytes(size * kind.itemsize)
    weight = np.frombuffer(weight, kind).reshape(SPEC.weight_shape)
    bias = np.zeros(SPEC.bias_shape, kind)
    stored, stored_bias = into("theano", SPEC, weight, bias)
    back, _ = back_from("theano", SPEC, stored, stored_bias)
    assert stored.dtype == back.dtype == stored_bias.dtype == kind
    assert back.tobytes() == weight.tobytes()


def test_python_integers_and_lists_are_taken():
    weight = (integers(SPEC.weight_shape).astype(object) * 2**100).tolist()
    bias = integers(SPEC.bias_shape).tolist()
    stored, _ = into("chainer", SPEC, weight, bias)
    assert stored.dtype == object
    assert stored[2, 1, 0, 1, 2, 0] == weight[1][0][2][0][1][2]


@pytest.mark.parametrize("name", ["canonical", "keras2/impl1/channels_last", "flax/conv_local", "cuda_convnet"])
def test_results_never_share_memory_with_operands(name):
    weight, bias = integers(SPEC.weight_shape), integers(SPEC.bias_shape)
    stored, stored_bias = into(name, SPEC, weight, bias)
    assert not np.shares_memory(stored, weight)
    assert not np.shares_memory(stored_bias, bias)


def test_fortran_layout_is_column_major_in_memory():
    spec = lcl.Spec(input_size=9, in_channels=2, out_channels=3, kernel_size=2, stride=2)
    weight = integers(spec.weight_shape)
    stored, _ = into("neural_fortran", spec, weight, integers(spec.bias_shape))
    assert stored.flags.f_contiguous
    memory = stored.ravel(order="K")
    filters, width, channels = 3, 4, 2
    for o, k, c, f in np.ndindex(4, 2, 2, 3):
        assert memory[f + filters * (o + width * (c + channels * k))] == weight[o, k, c, f]


def test_unknown_name_lists_the_nearest():
    with pytest.raises(lcl.LayoutError, match="keras2/impl1/channels_first") as caught:
        get("keras2/imp1/chanels_first")
    assert caught.value.rule == "layout/name"
    with pytest.raises(lcl.LayoutError, match="flax/conv_local"):
        get("flax")


@pytest.mark.parametrize("rhs_spec", ["", "OI", "HWI", "HWIOO", "XYIO", "hwio", "NHWIO", "DHWTIO"])
def test_malformed_rhs_spec_is_refused(rhs_spec):
    with pytest.raises(lcl.LayoutError, match="arrangement of OIW, OIHW or OIDHW"):
        get(FAMILY + rhs_spec)


def test_wrong_length_names_the_axis_with_its_arithmetic():
    weight, bias = np.zeros((6, 12, 4)), np.zeros(SPEC.bias_shape)
    with pytest.raises(lcl.LayoutError) as caught:
        back_from("keras2/impl1/channels_first", SPEC, weight, bias)
    assert (caught.value.axis, caught.value.got) == ("co", "4 elements")
    weight = np.zeros((6, 13, 3))
    with pytest.raises(lcl.LayoutError, match=r"12 = 2\*3\*2 \(cg\*ky\*kx\)"):
        back_from("keras2/impl1/channels_first", SPEC, weight, bias)


def test_wrong_rank_lists_the_layouts_that_the_array_fits():
    weight, bias = np.zeros((2, 3, 12, 3)), np.zeros(SPEC.bias_shape)
    with pytest.raises(lcl.LayoutError, match="flax/conv_local, jax/local/HWIO") as caught:
        back_from("keras2/impl1/channels_last", SPEC, weight, bias)
    assert caught.value.rule == "weight/axes"
    with pytest.raises(lcl.LayoutError, match="this is the shape of keras2/impl1/channels_last"):
        back_from("keras2/impl3/channels_last", SPEC, np.zeros((6, 12, 3)), bias)


def test_fitting_lists_every_layout_of_that_shape_and_only_those():
    names = fitting(SPEC, (6, 12, 3))
    assert {"keras2/impl1/channels_last", "keras2/impl1/channels_first", "dl4j/nhwc"} <= set(names)
    assert all(weight_shape(name, SPEC) == (6, 12, 3) for name in names)
    assert fitting(SPEC, (6, 12, 5)) == []
    sparse_and_flat = ["keras2/impl3/channels_last", "keras2/impl3/channels_first", "darknet"]
    assert fitting(SPEC, (math.prod(SPEC.weight_shape),)) == sparse_and_flat


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("chainer", {"input_size": 5, "kernel_size": 3, "stride": 1}, "it has rank 2, the layer has rank 1"),
        ("keras2/impl1/channels_last", {"in_channels": 4, "out_channels": 6, "groups": 2}, "has no groups"),
        ("flax/conv_local", {"shared": (True, False)}, "one kernel per position, none shared"),
        ("torch/conv", {}, "a convolution has one kernel for all positions"),
        ("megengine", {"channel_table": [[0, 1], [1, 0], [0, 1]]}, "no connection table"),
        ("lasagne/channelwise", {}, "groups = in_channels = out_channels"),
    ],
)
def test_a_layer_that_a_layout_cannot_hold_is_refused_with_the_reason(name, change, reason):
    spec = lcl.Spec(**ARGUMENTS | change)
    weight, bias = np.zeros(spec.weight_shape), np.zeros(spec.bias_shape)
    for source, target in ((name, "canonical"), ("canonical", name)):
        with pytest.raises(lcl.LayoutError, match=reason):
            lcl.layouts.convert(spec, weight, bias, source=source, target=target)
    with pytest.raises(lcl.LayoutError, match=reason):
        weight_shape(name, spec)
    with pytest.raises(lcl.LayoutError, match=reason):
        bias_shape(name, spec)


def test_a_connection_table_stays_canonical():
    spec = lcl.Spec(**ARGUMENTS, channel_table=[[0], [1], [0]])
    weight, bias = integers(spec.weight_shape), integers(spec.bias_shape)
    stored, _ = into("canonical", spec, weight, bias)
    np.testing.assert_array_equal(stored, weight)


def test_a_bias_that_differs_between_positions_does_not_fit_a_shared_one():
    bias = np.broadcast_to(np.arange(3.0), SPEC.bias_shape).copy()
    weight = np.zeros(SPEC.weight_shape)
    _, stored = into("dl4j/nchw", SPEC, weight, bias)
    np.testing.assert_array_equal(stored, np.arange(3.0))
    bias[1, 2, 0] = -0.0  # equal to 0.0, but not the same bits
    with pytest.raises(lcl.LayoutError, match=r"between positions \(0, 0\) and \(1, 2\)"):
        into("dl4j/nchw", SPEC, weight, bias)


@pytest.mark.parametrize("name", KINDS["bias_of_either_kind"])
def test_a_bias_per_channel_is_stored_as_such_where_the_source_does(name):
    spec = with_bias(next(iter(specs(name))), "channel")
    assert bias_shape(name, spec) == (spec.out_channels,)


def test_bias_must_be_there_exactly_where_the_layer_has_one():
    weight = np.zeros(SPEC.weight_shape)
    with pytest.raises(lcl.LayoutError, match="got None, expected an array"):
        into("chainer", SPEC, weight, None)
    bare = with_bias(SPEC, "none")
    with pytest.raises(lcl.LayoutError, match=r"expected None \(spec.bias is 'none'\)"):
        into("chainer", bare, weight, np.zeros(3))


def test_wrong_bias_shape_names_the_axes():
    with pytest.raises(lcl.LayoutError, match=r"got 2 axes of shape \(6, 3\), expected 3 axes, co, oy, ox"):
        back_from("chainer", SPEC, np.zeros(weight_shape("chainer", SPEC)), np.zeros((6, 3)))


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_printed_recipe_computes_the_layout(name):
    from lcl_ref.layouts.example import example_spec

    text = explain(name)
    assert text.startswith(name + "\n")
    spec = example_spec(get(name))
    w = integers(spec.weight_shape)
    bias = np.zeros(spec.bias_shape)
    stored, _ = into(name, spec, w, bias)
    recipes = [line.strip() for line in text.splitlines() if ".transpose(" in line]
    assert len(recipes) == (0 if dense_or_live(name) else 1)
    for recipe in recipes:
        np.testing.assert_array_equal(eval(recipe, {"np": np, "w": w}), stored)  # noqa: S307  the text under test


def test_command_lists_all_layouts_as_table_and_json():
    table = CliRunner().invoke(command, [])
    assert table.exit_code == 0
    assert all(name in table.output for name in LAYOUTS)
    rows = json.loads(CliRunner().invoke(command, ["--json"]).output)
    assert [row["name"] for row in rows] == list(LAYOUTS)
    assert rows[1]["weight"] == "(o*) (k* cg) co"


def test_command_explains_one_layout_and_refuses_an_unknown_one():
    result = CliRunner().invoke(command, ["explain", "jax/local/WIHO"])
    assert result.output == explain("jax/local/WIHO")
    refused = CliRunner().invoke(command, ["explain", "chainr"])
    assert isinstance(refused.exception, lcl.LayoutError)
    assert "chainer" in str(refused.exception)
