"""``lcl new``: working files to start from."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from string import Template

import click

from lcl_ref.cli.console import say
from lcl_ref.cli.options import TargetFile
from lcl_ref.outside.writing import check_target, write_text

FRAMEWORKS = ("torch", "jax")
"""Frameworks of which an adapter is written; backends/README.md says what another needs."""

CHECKOUT = "run it in the root of a checkout of lcl-ref"


@click.group()
def new() -> None:
    """Write a working skeleton: a layer anywhere, an adapter or a case in a checkout. Nothing is written over."""


@new.command()
@click.argument("file", type=TargetFile(), default="my_layer.py")
def layer(file: Path) -> None:
    """Write a layer in NumPy to FILE (my_layer.py), to be replaced by yours."""
    _write(file, _filled("layer", file=file))
    say(f"{file}: a layer that conforms; put yours into `forward`. Next: lcl run -b {file}")


@new.command()
@click.argument("name", metavar="FRAMEWORK.ROUTE")
def adapter(name: str) -> None:
    """Write the adapter of another route of torch or JAX; the checkout finds it by its place."""
    framework, _, route = name.partition(".")
    folder = Path("backends", "lcl_backends", framework)
    if framework not in FRAMEWORKS or not route.isidentifier():
        known = " or ".join(FRAMEWORKS)
        raise click.BadParameter(f"{name!r} is not {known}, a dot and a word; backends/README.md is about others")
    if not folder.is_dir():
        raise click.UsageError(f"there is no folder {folder}; {CHECKOUT}")
    path = folder / f"{route}.py"
    _write(path, _filled(framework, name=name))
    say(f"{path}: an adapter that conforms. Next: lcl run -b {name} --tier smoke; backends/README.md lists the rest")


@new.command()
@click.argument("case_id", metavar="RANKd/TOPIC/NAME")
def case(case_id: str) -> None:
    """Append a case of a 1-D, 2-D or 3-D layer to the file of its topic."""
    topic, _, name = case_id.rpartition("/")
    path = Path("lcl_ref", "suite", "cases", f"{topic}.toml")
    rank = {"1d": 1, "2d": 2, "3d": 3}.get(topic.partition("/")[0])
    if rank is None or not name:
        raise click.BadParameter(f"{case_id!r} is not like 2d/padding/my-case")
    if not path.is_file():
        raise click.UsageError(f"there is no file {path}; {CHECKOUT}, and name a topic that is there")
    text = path.read_text(encoding="utf-8")
    if name in tomllib.loads(text):
        raise click.BadParameter(f"{path} has a case [{name}] already")
    sizes = {"input_size": [7, 8, 6][:rank], "kernel_size": [2, 3, 2][:rank], "in_channels": 3, "out_channels": 5}
    lines = "\n".join(f"{setting} = {value}" for setting, value in sizes.items())
    write_text(path, text.rstrip("\n") + "\n" + _filled("case", name=name, sizes=lines))
    say(f"{path}: [{name}] added; say what it catches, and set what shows it. Next: CONTRIBUTING.md, Add a case")


def _filled(skeleton: str, **words: object) -> str:
    text = files("lcl_ref.cli").joinpath("skeletons", f"{skeleton}.txt").read_text("utf-8")
    return Template(text).substitute(words)


def _write(path: Path, text: str) -> None:
    """Write a file that is not there yet."""
    check_target(path)
    if path.exists():
        raise click.UsageError(f"{path} is there already, and nothing is written over; name another")
    write_text(path, text)
