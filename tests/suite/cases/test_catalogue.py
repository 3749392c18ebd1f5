"""The catalogue keeps its own rules, and SPEC.md and the catalogue cite each other without gaps."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.core.padding import PADDING_RULES
from lcl_ref.suite.adapter import OPERANDS
from lcl_ref.suite.cases.case import Case
from lcl_ref.suite.cases.catalogue import BY_ID, CASES, EXTENSION_CASES, REFUSALS, select
from lcl_ref.suite.cases.tiers import TIERS
from lcl_ref.suite.golden import fixtures, regenerate, results, store, values
from tests.support.paths import ROOT
from tools import clauses

SPEC = (ROOT / "SPEC.md").read_text(encoding="utf-8")

EXACT = [case for case in CASES if case.values == "exact" and not (case.generated or case.operands)]
ROUNDED = [case for case in CASES if case.values == "rounded" and not case.operands]
NONFINITE = [case for case in CASES if case.values == "nonfinite"]
EIGHT_AXES = "degenerate: eight weight axes; those of one kind differ"
LARGEST_WEIGHT = {("exact", 3): 12000, ("rounded", 1): 2000, ("rounded", 2): 1500, ("rounded", 3): 2600}
"""(values, rank) -> stored elements of a weight; 6000 where nothing is said. The golden data stays small by it."""

each_case = pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])


@cache
def operands(case: Case) -> dict[str, np.ndarray]:
    return results.exact_operands(case)


def degenerate(case: Case) -> list[str]:
    return [tag for tag in case.tags if tag.startswith("degenerate")]


def tiles(case: Case) -> bool:
    sizes = zip(case.spec.output_size, case.spec.kernel_size, strict=True)
    tiled = case.spec.input_size == tuple(o * k for o, k in sizes)
    return case.spec.rank > 0 and case.spec.stride == case.spec.kernel_size and tiled


def repeated(lengths: tuple[int, ...]) -> bool:
    return len(set(lengths)) < len(lengths)


def told_apart(case: Case) -> bool:
    """Whether all axes of each tensor differ in length; axes of 1 that sharing or a kernel of 1 makes are exempt."""
    spec = case.spec
    positions = [size for size, shared in zip(spec.output_size, spec.shared, strict=True) if not shared]
    taps = [size for size in spec.kernel_size if size > 1]
    weight = (*positions, *taps, spec.group_channels, spec.out_channels)
    return not any(map(repeated, (spec.x_shape(case.batch), spec.y_shape(case.batch), weight)))


# --- entries ----------------------------------------------------------------------------------------------------------


def test_ids_are_unique_paths() -> None:
    ids = [entry.id for entry in (*CASES, *REFUSALS, *EXTENSION_CASES)]
    assert [name for name, count in Counter(ids).items() if count > 1] == []
    assert set(ids) == BY_ID.keys() | {case.id for case in EXTENSION_CASES}
    word = r"[a-z0-9]+(-[a-z0-9]+)*"
    assert [name for name in ids if not re.fullmatch(rf"([0-3]d|refused|extension)/{word}/{word}", name)] == []


def test_ids_say_the_rank() -> None:
    assert [case.id for case in CASES if not case.id.startswith(f"{case.spec.rank}d/")] == []


def test_reasons_are_one_short_sentence() -> None:
    entries = (*BY_ID.values(), *EXTENSION_CASES)
    assert [entry.id for entry in entries if not 10 < len(entry.why) <= 110 or entry.why.endswith(".")] == []


def test_no_two_cases_ask_the_same() -> None:
    asked = Counter((case.spec, case.batch, case.values, case.operands, case.bits) for case in CASES)
    assert [question for question, count in asked.items() if count > 1] == []


def test_refusals_can_be_written_as_json() -> None:
    for refusal in REFUSALS:
        again = json.loads(json.dumps({"arguments": dict(refusal.arguments), "arrays": refusal.arrays}))
        with pytest.raises(lcl.LclError):
            _attempt(again)


def _attempt(refusal: dict) -> None:
    spec, shapes = lcl.Spec(**refusal["arguments"]), refusal["arrays"]
    arrays = {name: None if shape is None else np.ones(shape) for name, shape in shapes.items()}
    operation = lcl.vjp if "dy" in arrays else lcl.forward
    operation(spec, *(arrays[name] for name in ("x", "weight", "bias", "dy") if name in arrays))


# --- what a case must be able to see ----------------------------------------------------------------------------------


@each_case
def test_axes_of_a_tensor_differ_in_length_unless_the_case_says_why(case: Case) -> None:
    spec = case.spec
    plain = told_apart(case) and spec.in_channels >= 3 and case.batch != 1
    shapes = f"x {spec.x_shape(case.batch)}, weight {spec.weight_shape}, y {spec.y_shape(case.batch)}"
    assert plain != bool(degenerate(case)), f"{shapes}: a degenerate case must say so, and only a degenerate case may"
    assert all(len(tag) > len("degenerate: ") for tag in degenerate(case))


@pytest.mark.parametrize("case", [case for case in CASES if EIGHT_AXES in case.tags], ids=lambda case: case.id)
def test_rank_3_axes_of_one_kind_differ(case: Case) -> None:
    spec = case.spec
    taps = tuple(size for size in spec.kernel_size if size > 1)
    positions = tuple(size for size, shared in zip(spec.output_size, spec.shared, strict=True) if not shared)
    kinds = (positions, taps, (spec.group_channels, spec.out_channels))
    assert not any(map(repeated, (spec.x_shape(case.batch), spec.y_shape(case.batch), *kinds)))


def test_tags_follow_from_the_case() -> None:
    for case in CASES:
        facts = {"empty-batch": case.batch == 0, "nonfinite": case.values == "nonfinite", "tiling": tiles(case)}
        facts["subnormal"] = case.operands.startswith("subnormal")
        tags = {tag for tag in case.tags if not tag.startswith("degenerate")}
        assert tags == {tag for tag, is_so in facts.items() if is_so}, case.id


def test_weights_stay_small() -> None:
    sizes = {case: math.prod(case.spec.weight_shape) for case in CASES if not case.generated}
    assert [
        case.id for case, size in sizes.items() if size > LARGEST_WEIGHT.get((case.values, case.spec.rank), 6000)
    ] == []


@pytest.fixture(params=["core", pytest.param("full", marks=pytest.mark.slow)])
def exact(request: pytest.FixtureRequest) -> list[Case]:
    """Exact cases of a tier whose operands are drawn for them."""
    return [case for case in EXACT if TIERS[request.param](case)]


def test_no_two_positions_have_the_same_weights(exact: list[Case]) -> None:
    for case in exact:
        blocks = operands(case)["weight"].reshape(math.prod(case.spec.weight_size), -1)
        assert len({block.tobytes() for block in blocks}) == len(blocks), case.id


def test_no_operand_is_zero_and_bias_differs_per_position(exact: list[Case]) -> None:
    for case in exact:
        assert all(operand.all() for operand in operands(case).values()), case.id
        if case.spec.bias == "position" and math.prod(case.spec.output_size) > 1:
            rows = operands(case)["bias"].reshape(-1, case.spec.out_channels)
            assert len(np.unique(rows, axis=0)) > 1, case.id


def test_nearly_all_exact_cases_are_exact_in_every_format(exact: list[Case]) -> None:
    peaks = {case.id: max(results.certificate(case, operands(case)).values()) for case in exact}
    assert sum(peak <= 2**8 for peak in peaks.values()) >= len(exact) - 3
    assert max(peaks.values()) <= 2**11


@pytest.mark.parametrize("case", NONFINITE, ids=lambda case: case.id)
def test_nonfinite_cases_have_both_kinds_of_outputs(case: Case) -> None:
    arrays = results.compute(case)
    assert np.isinf(arrays["x"]).sum() == 2
    assert np.isnan(arrays["x"]).sum() == 1
    reached = ~np.isfinite(arrays["y"])
    assert reached.any()
    assert reached.mean() <= 0.25


def test_nonfinite_elements_lie_in_gaps_too() -> None:
    """At least one case plants an inf or NaN where no window reads."""
    unread = [case for case in NONFINITE if not np.isnan(results.compute(case)["y"]).any()]
    assert {case.spec.rank for case in unread} >= {1, 2}


# --- operands and golden results (SPEC 11, 12.7) --------------------------------------------------------------


def test_operands_are_drawn_from_a_stream_of_their_own() -> None:
    key = int.from_bytes(hashlib.sha256(b"1d/plain/odd-kernel:weight").digest()[:16], "little")
    stream = np.random.Philox(key=key).random_raw(420)
    drawn = np.array([number % 6 for number in stream.tolist()]) - 3
    want = np.where(drawn >= 0, drawn + 1, drawn).reshape(7, 3, 4, 5)
    assert np.array_equal(operands(BY_ID["1d/plain/odd-kernel"])["weight"], want)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_reals_of_rounded_cases_stay_clear_of_underflow_and_overflow(dtype: str) -> None:
    for case in ROUNDED:
        for tensor, shape in case.spec.operand_shapes(case.batch).items():
            if math.prod(shape) <= 2000:
                whole = values.significands(case.id, f"{dtype}/{tensor}", shape, dtype)
                size = np.abs(whole.astype(object)) / 2 ** values.real_scale(dtype)
                assert 1 / 8 <= size.min() <= size.max() < 2


@pytest.mark.parametrize("name", ["0d/rounded/many-terms", "1d/rounded/whole-windows"])
def test_rounded_golden_results_are_the_nearest_float64(name: str) -> None:
    case = BY_ID[name]
    arrays = results.compute(case)
    for dtype in ("float32", "float64"):
        stored = {key.split("/")[1]: array for key, array in arrays.items() if key.startswith(f"{dtype}/")}
        exact = {key: np.vectorize(Fraction, otypes=[object])(stored[key].astype(np.float64)) for key in OPERANDS}
        dx, dw, db = lcl.vjp(case.spec, exact["x"], exact["weight"], exact["bias"], exact["dy"])
        y = lcl.forward(case.spec, exact["x"], exact["weight"], exact["bias"])
        for result, want in {"y": y, "dx": dx, "dw": dw, "db": db}.items():
            assert np.array_equal(stored[result], np.vectorize(float, otypes=[float])(want)), (dtype, result)


def test_golden_data_regenerates_and_a_changed_byte_is_named(tmp_path: Path) -> None:
    files = regenerate.build(select(["0d/linear/*", "1d/nonfinite/gaps", "0d/rounded/few-terms"]))
    assert files == regenerate.build(select(["1d/nonfinite/gaps", "0d/*/few-terms", "0d/linear/*"]))
    files[store.SUMS] = store.sums(files)
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    assert len(fixtures.verify(tmp_path).entries) == 11
    damaged = bytearray(files["0d-linear.safetensors"])
    damaged[-1] ^= 1
    (tmp_path / "0d-linear.safetensors").write_bytes(damaged)
    with pytest.raises(lcl.FixtureError, match=r"0d-linear.safetensors, array 0d/linear/"):
        fixtures.verify(tmp_path)


# --- SPEC.md ----------------------------------------------------------------------------------------------------------


def test_clauses_are_numbered_in_order() -> None:
    numbers = [tuple(map(int, number.split("."))) for number in clauses.clauses(SPEC)]
    assert numbers == sorted(set(numbers))
    chapters = {chapter: [below for above, below in numbers if above == chapter] for chapter, _ in numbers}
    gaps = [chapter for chapter, below in chapters.items() if below != list(range(1, len(below) + 1))]
    assert gaps == [], "clauses of a chapter are numbered 1, 2, 3, without a gap"
    last = max(chapters)
    assert list(chapters) == [number for number in range(last + 1) if number != int(clauses.OPEN_CHAPTER)]
    assert last > int(clauses.OPEN_CHAPTER), "extensions come after what is open"


def test_every_clause_has_a_case_or_a_stated_reason_and_every_case_a_clause() -> None:
    numbers, cited = set(clauses.clauses(SPEC)), set(clauses.citations())
    excused = {number for number, held in clauses.HELD.items() if held.reason}
    untested, needless = sorted(numbers - cited - excused), sorted(excused & cited)
    assert untested == [], (
        "no case cites these clauses: cite them in one, or name tests and a reason in HELD of tools/clauses.py"
    )
    assert needless == [], "cases cite these clauses, so HELD of tools/clauses.py must give no reason why none does"
    unknown = {number: clauses.citations()[number] for number in cited - numbers}
    assert unknown == {}, "cases cite clauses that SPEC.md does not have"
    assert [entry.id for entry in BY_ID.values() if not entry.clauses] == []
    assert set(clauses.HELD) <= numbers


def test_named_test_modules_exist() -> None:
    named = {name for held in clauses.HELD.values() for name in held.tests}
    assert all(held.tests for held in clauses.HELD.values())
    assert [name for name in named if not (ROOT / "tests" / name).is_file()] == []


def test_the_index_names_every_case_of_every_clause_and_the_specification_none() -> None:
    lines = clauses.index(SPEC).splitlines()
    for number in clauses.clauses(SPEC):
        (line,) = [line for line in lines if line.startswith(f"**{number}** ")]
        cases = line.partition(" Tests: ")[0]
        assert re.findall(r"`([^`]+)`", cases) == clauses.citations().get(number, [])
    assert [entry for entry in BY_ID if f"`{entry}`" in SPEC] == []
    parts = re.split(r"^## Part ", SPEC, flags=re.MULTILINE)
    assert [part.count("](docs/clauses.md)") for part in parts] == [0, 1, 1, 1, 1]


BINDING = re.compile(r"\b(MUST|SHOULD|MAY)\b")


def test_clauses_of_the_layer_and_of_refusals_bind_or_say_that_they_do_not() -> None:
    assert not BINDING.search("a port must, should or may")
    ports = [number for number in clauses.clauses(SPEC) if int(number.split(".")[0]) <= 10]
    texts = clauses.bodies(SPEC)
    free = [number for number in ports if not BINDING.search(texts[number])]
    assert [number for number in free if not texts[number].startswith(f"**{number}** *Informative")] == []


def test_a_clause_without_a_case_and_an_unknown_clause_are_noticed() -> None:
    extended = SPEC.replace("**1.7** ", "**1.8** A clause nobody tests.\n\n**1.7** ", 1)
    assert set(clauses.clauses(extended)) - set(clauses.citations()) - set(clauses.HELD) == {"1.8"}
    shortened = SPEC.replace("**1.7** ", "", 1)
    assert set(clauses.citations()) - set(clauses.clauses(shortened)) == {"1.7"}


def test_padding_table_is_what_the_rules_give() -> None:
    for name, rule in PADDING_RULES.items():
        row = next(line for line in SPEC.splitlines() if line.startswith(f"| `{name}` |"))
        lo, hi, positions = map(int, re.search(r"\((\d+), (\d+)\), (\d+) positions", row).groups())
        assert (lo, hi) == rule(9, 4, 3)
        assert positions == (9 + lo + hi - 4) // 3 + 1


def test_rules_of_refusals_are_named_in_their_chapter() -> None:
    chapter = SPEC[SPEC.index("## 10 ") : SPEC.index("## 11 ")]
    for refusal in REFUSALS:
        rule = refusal.rule.split("/")[1]
        family = "<array>" if refusal.arrays else "<field>"
        known = {refusal.rule, f"{family}/{rule}"} & set(re.findall(r"`([^`]+)`", chapter))
        axis = refusal.arrays is not None and rule in {"ci", "co", "cg", "iy", "ix", "oy", "ox", "ky", "kx", "n"}
        assert known or axis, refusal.rule


RULES = {"2.3": "valid", "2.4": "same_upper", "2.5": "same_lower", "2.6": "same_keras_local", "2.7": "causal"}
"""Clause -> the name of padding that it is about."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_clause_about_a_name_is_cited_only_where_the_name_is_written(case):
    """Programs are asked these cases as they are written (`describe/layers`); pairs alone say nothing about names."""
    padding = case.written.get("padding", "valid")
    names = {entry for entry in (padding if isinstance(padding, list) else [padding]) if isinstance(entry, str)}
    assert {RULES[clause] for clause in case.clauses if clause in RULES} <= names
    assert "2.2" not in case.clauses or names
    assert "2.8" not in case.clauses or isinstance(padding, list)
