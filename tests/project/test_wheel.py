"""The wheel: what is in it, and that it works where only it and its dependencies are."""

import os
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.programs import python
from tools.long_description import absolute


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Unpack the wheel into a folder of its own, as pip would, and return it."""
    folder = tmp_path_factory.mktemp("site")
    wheel.extractall(folder)
    return folder


def run(folder, *arguments):
    """Run Python with `folder` in front of everything else, far from the checkout."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}
    return python(*arguments, cwd=folder, env=environment)


def metadata_folder(names):
    (folder,) = {name.partition("/")[0] for name in names if ".dist-info/" in name}
    return folder


def test_top_level_names_are_exactly_the_two_packages(wheel):
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert tops == {"lcl_ref", "lcl_backends", metadata_folder(wheel.namelist())}


@pytest.mark.parametrize(("package", "source"), [("lcl_ref", "lcl_ref"), ("lcl_backends", "backends/lcl_backends")])
def test_every_source_file_is_in_it_and_nothing_else(wheel, package, source):
    on_disk = {
        path.relative_to(ROOT / source).as_posix()
        for path in (ROOT / source).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    packed = {name.removeprefix(f"{package}/") for name in wheel.namelist() if name.startswith(f"{package}/")}
    assert {name for name in packed if not name.startswith("_conformance_data/")} == on_disk
    assert "py.typed" in packed


def test_the_golden_data_is_in_it_byte_for_byte(wheel):
    on_disk = {path.name: path.read_bytes() for path in (ROOT / "conformance_data").iterdir()}
    prefix = "lcl_ref/_conformance_data/"
    packed = {name.removeprefix(prefix): wheel.read(name) for name in wheel.namelist() if name.startswith(prefix)}
    assert {"index.json", "SHA256SUMS", "README.md"} <= set(packed)
    assert packed.keys() == on_disk.keys()
    assert [name for name, data in packed.items() if data != on_disk[name]] == []


def test_metadata(wheel):
    folder = metadata_folder(wheel.namelist())
    text = wheel.read(f"{folder}/METADATA").decode()
    assert "Requires-Python: >=3.11\n" in text
    assert "License-Expression: Apache-2.0\n" in text
    extras = {line.partition(": ")[2] for line in text.splitlines() if line.startswith("Provides-Extra: ")}
    assert extras >= {"torch", "jax", "mlx", "keras", "h5", "pytest", "all"}
    assert wheel.read(f"{folder}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert "](" not in text.replace("](http", ""), "a relative link is dead on a package index"
    points = wheel.read(f"{folder}/entry_points.txt").decode()
    assert "lcl = lcl_ref.cli:main" in points
    assert "numpy = lcl_backends.numpy:adapters" in points


def test_links_of_the_long_description_point_into_the_repository_where_it_is_known():
    text = "[SPEC.md](SPEC.md), [a site](https://example.org) and `code`"
    assert absolute(text, None, "0.1.0") == "SPEC.md, [a site](https://example.org) and `code`"
    linked = absolute(text, "https://example.org/lcl-ref/", "0.1.0")
    assert absolute("pip install .    # in a clone\nmake", "https://example.org", "1") == "pip install lcl-ref\nmake"
    assert linked.startswith(
        "[SPEC.md](https://example.org/lcl-ref/blob/v0.1.0/SPEC.md), [a site](https://example.org)"
    )


def test_the_unpacked_wheel_is_what_is_imported(installed):
    done = run(installed, "-c", "import lcl_ref, lcl_backends; print(lcl_ref.__file__, lcl_backends.__file__)")
    assert done.returncode == 0, done.stderr
    assert [Path(word).parents[1] for word in done.stdout.split()] == [installed, installed]


def test_the_unpacked_wheel_finds_its_own_golden_data(installed):
    done = run(installed, "-m", "lcl_ref", "fixtures", "verify")
    assert done.returncode == 0, done.stderr
    assert str(installed / "lcl_ref" / "_conformance_data") in done.stdout


def test_the_unpacked_wheel_runs_the_suite(installed):
    done = run(installed, "-m", "lcl_ref", "run", "-b", "numpy.loop", "-c", "0d/*")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "numpy.loop" in done.stdout


def test_an_editable_install_leaves_no_copy_of_the_golden_data_behind():
    import lcl_ref

    copies = [path for entry in sys.path for path in Path(entry).glob("lcl_ref/_conformance_data")]
    assert Path(lcl_ref.__file__).is_relative_to(ROOT)
    assert copies == []
