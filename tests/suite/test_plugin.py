"""The suite in other people's repositories: three lines in a test file, or `pytest --pyargs lcl_ref.suite`."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from lcl_ref.errors import LclError
from lcl_ref.suite.adapter import Capabilities
from lcl_ref.suite.run.in_process import InProcess
from lcl_ref.testing import conformance_tests
from tests.support.paths import EXAMPLES
from tests.support.programs import FOREGROUND, python

WHOLE = """
import my_layer
from lcl_ref.testing import conformance_tests
test_conformance = conformance_tests(my_layer{arguments})
"""

DOUBLED = """
import lcl_ref
from lcl_ref.testing import conformance_tests

def layer(spec, x, weight, bias):
    y = lcl_ref.forward(spec, x, weight, bias)
    return 2 * y if spec.groups == 2 else y

test_conformance = conformance_tests(layer, cases=["0d/*"]{arguments})
"""


def run(folder, *arguments):
    """Run pytest in `folder` as its owner would."""
    return python("-m", "pytest", "-p", "no:cacheprovider", "-q", *arguments, cwd=folder)


def counts(done):
    """Return pytest's last line as a mapping of words to numbers."""
    return {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", done.stdout.splitlines()[-1])}


@pytest.fixture
def repository(tmp_path):
    """Give a function that writes somebody's test file beside their layer."""
    shutil.copy(EXAMPLES / "my_layer.py", tmp_path)

    def write(text, arguments=""):
        (tmp_path / "test_theirs.py").write_text(text.format(arguments=arguments))
        return tmp_path

    return write


def test_three_lines_are_enough(repository):
    done = run(repository(WHOLE), "--lcl-tier", "core")
    found = counts(done)
    assert done.returncode == 0, done.stdout
    assert set(found) == {"passed", "deselected"}
    assert min(found.values()) > 50


def test_tests_bear_the_name_of_the_layer_and_the_cell(repository):
    done = run(repository(WHOLE), "--collect-only", "--lcl-tier", "smoke", "--lcl-dtype", "float32")
    assert "test_theirs.py::test_conformance[my_layer-2d/plain/tall-kernel-forward-float32]" in done.stdout
    assert "float64" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "options", "expected"),
    [
        pytest.param(', tier="smoke"', (), "smoke", marks=pytest.mark.slow),
        (', tier="smoke"', ("--lcl-tier", "full"), "full"),
        (', cases=["2d/plain/*"]', ("--lcl-case", "2d/plain/square"), "one case"),
    ],
)
def test_options_choose_among_the_tests(repository, arguments, options, expected):
    listed = run(repository(WHOLE, arguments), "--collect-only", *options).stdout
    cases = {match[1] for match in re.finditer(r"\[my_layer-(.*?)-(forward|vjp)-", listed)}
    assert {"smoke": 3 < len(cases) < 20, "full": len(cases) > 100, "one case": cases == {"2d/plain/square"}}[expected]


def test_a_wrong_cell_fails_its_test_with_the_element(repository):
    done = run(repository(DOUBLED), "--lcl-dtype", "float32")
    assert (done.returncode, counts(done)["failed"]) == (1, 2)
    assert "layer-0d/groups/two-forward-float32" in done.stdout
    assert re.search(r"fail: y: \[n=\d, co=\d\] got .*, expected .*every bit must agree", done.stdout)


def test_fresh_layers_are_tests_too(repository):
    done = run(repository(DOUBLED, ", fresh=40, seed=1"), "--lcl-case", "fresh/1/*", "--lcl-dtype", "float32")
    assert (done.returncode, counts(done)["passed"] > 5) == (1, True)
    assert re.search(r"FAILED .*layer-fresh/1/\d+-forward-float32", done.stdout)


def test_an_expected_failure_is_no_failure(repository):
    done = run(
        repository(DOUBLED, ', expected_failures={"0d/*two*-forward-*": "bug 12"}'), "-rx", "--lcl-dtype=float32"
    )
    assert counts(done)["xfailed"] >= 1
    assert "bug 12 (fail: y: " in done.stdout


def test_a_stale_expected_failure_is_an_error(repository):
    done = run(repository(DOUBLED, ', expected_failures={"0d/linear/no-bias-*": "bug 12"}'), "-k", "no-bias")
    assert (done.returncode, counts(done)["failed"]) == (1, 2)
    assert "it passes, so the expected failure is stale: bug 12" in done.stdout


def test_an_expected_failure_of_nothing_is_an_error(repository):
    done = run(repository(DOUBLED, ', expected_failures={"3d/*": "bug 12"}'))
    assert done.returncode == 2
    assert "expected_failures: got '3d/*'" in done.stdout


def test_capabilities_are_declared_in_their_code(repository):
    arguments = ', capabilities=Capabilities(ranks=(1,), dilation=False, dtypes=("float32",), ops=("forward",))'
    text = WHOLE.replace("import conformance_tests", "import Capabilities, conformance_tests")
    listed = run(repository(text, arguments), "--collect-only").stdout
    tests = re.findall(r"\[my_layer-(\d)d/(\S+?)/.*-(\w+)-(\w+)\]", listed)
    assert {(rank, op, dtype) for rank, _, op, dtype in tests} == {("1", "forward", "float32")}
    assert "dilation" not in {topic for _, topic, _, _ in tests}
    assert len(tests) > 30


@pytest.mark.slow
def test_the_same_tests_run_on_several_processes(repository):
    folder = repository(WHOLE, ', tier="smoke"')
    alone, together = counts(run(folder)), counts(run(folder, "-n", "2"))
    assert alone["passed"] == together["passed"] > 10


def test_the_installed_suite_takes_their_file_and_a_tier(repository):
    done = run(repository(""), "--pyargs", "lcl_ref.suite", "--lcl-backend", "my_layer.py", "--lcl-tier", "smoke")
    assert done.returncode == 0, done.stdout
    assert counts(done)["passed"] > 10
    assert "skipped" not in counts(done)
    assert re.search(r"lcl: \d+ cells are declared unsupported", done.stdout)


def test_the_installed_suite_without_a_layer_says_how_one_is_named(repository):
    done = run(repository(""), "--pyargs", "lcl_ref.suite")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--lcl-backend my_layer.py" in done.stdout + done.stderr


SUITE = ("--pyargs", "lcl_ref.suite", "--lcl-backend", "my_layer.py", "--lcl-tier", "smoke")


@pytest.fixture
def noted(repository):
    """Give somebody's folder, and a function that lists the processes which have imported their layer."""
    folder = repository("")
    notes = folder / "imports.txt"
    with (folder / "my_layer.py").open("a") as file:
        file.write(f"\nimport os\nwith open({str(notes)!r}, 'a') as notes:\n    print(os.getpid(), file=notes)\n")
    return folder, lambda: [int(line) for line in notes.read_text().splitlines()] if notes.exists() else []


@pytest.mark.parametrize(
    ("options", "imports"), [pytest.param((), 4, marks=pytest.mark.slow), (("--dist", "loadfile"), 3)]
)
def test_every_process_of_xdist_asks_their_layer_in_one_of_its_own(noted, options, imports):
    """Each also asks once, while it collects, what the layer declines."""
    folder, imported = noted
    done = run(folder, *SUITE, "-n", "2", *options)
    assert done.returncode == 0, done.stdout
    assert counts(done)["passed"] > 10
    assert len(imported()) == imports


NARROW = """
import lcl_ref
forward = lcl_ref.forward

def supports(spec, dtype, op):
    return True if spec.rank == 1 and spec.stride == (3,) else "stride 3 of one axis"
"""


@pytest.mark.parametrize("options", [(), pytest.param(("-n", "1"), marks=pytest.mark.slow)])
def test_the_last_lines_say_how_much_a_narrow_layer_was_asked(repository, options):
    folder = repository("")
    (folder / "narrow.py").write_text(NARROW)
    done = run(folder, "--pyargs", "lcl_ref.suite", "--lcl-backend", "narrow.py", "--lcl-tier", "core", *options)
    assert done.returncode == 0, done.stdout
    assert re.search(r"lcl: narrow.py: asked \d+ of \d+ cells", done.stdout)


@pytest.mark.slow
def test_an_interrupt_of_several_processes_leaves_none_behind(noted):
    folder, imported = noted
    with (folder / "my_layer.py").open("a") as file:
        file.write("\nimport time\ntime.sleep(60)\n")
    command = [*FOREGROUND, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *SUITE, "-n", "2"]
    program = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    until(imported)
    program.send_signal(signal.SIGINT)
    output, _ = program.communicate(timeout=60)
    assert program.returncode == pytest.ExitCode.INTERRUPTED, output
    until(lambda: not any(map(is_running, imported())))


def until(holds):
    """Wait until something holds, for a minute at most."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(process):
    """Return whether there is a process of this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_word_is_a_layer_too():
    test = conformance_tests("numpy.loop", tier="smoke")
    (mark,) = test.pytestmark
    assert {cell.backend for cell in mark.args[1]} == {"numpy.loop"}


def test_a_layer_that_is_none_is_refused():
    with pytest.raises(LclError, match="no function `forward`"):
        conformance_tests(re)
    with pytest.raises(LclError, match="nearest known"):
        conformance_tests("numpy.lop")
    with pytest.raises(LclError, match="lcl cases"):
        conformance_tests("numpy.loop", cases=["9d/*"])


def test_declared_capabilities_also_set_the_limits_of_error():
    sums = Capabilities(dtypes=("float16",), accumulation={"float16": "float16"})
    test = conformance_tests("numpy.loop", capabilities=sums, cases=["0d/rounded/*"])
    (asked,) = [cell.cell_contents for cell in test.__closure__ if isinstance(cell.cell_contents, InProcess)]
    assert asked.adapter.declaration.capabilities is sums
