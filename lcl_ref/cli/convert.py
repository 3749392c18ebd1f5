"""``lcl convert``, ``lcl inspect`` and ``lcl verify-port``: weight files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from lcl_ref.cli.console import Rows, console, say, working
from lcl_ref.cli.options import json_option
from lcl_ref.errors import FileError, Violation
from lcl_ref.files import STORED, WeightFile, convert_file, limits, open_weights, specs
from lcl_ref.files.converting import check_source
from lcl_ref.files.describing.candidates import Candidate, candidates, skeleton
from lcl_ref.files.describing.checking import Known, layout_that_computes
from lcl_ref.suite.port_check import network, verify
from lcl_ref.suite.port_check.code import answers
from lcl_ref.suite.port_check.verify import Finding

_FILE = click.Path(path_type=Path, dir_okay=False)
_SOURCE = click.Path(path_type=Path)
_SPEC_HELP = "JSON of one specification or of all layers; for .weights the network's .cfg."


def _from_option(file: str, default: str) -> Callable[[Any], Any]:
    """Return the option that names the layout of a file: never guessed, at most taken from what the file states."""
    text = f"Layout in {file}; {STORED}: as {file} itself states."
    return click.option("--from", "from_layout", default=default, metavar="LAYOUT", help=text)


def _limits(ctx: click.Context, _param: click.Parameter, factor: float) -> None:
    ctx.with_resource(limits.raised(factor))


_limits_option = click.option(
    "--limits",
    type=click.FloatRange(1),
    default=1.0,
    expose_value=False,
    callback=_limits,
    help="Limits on what a file may expand to, times this: for a file of which you know where it comes from.",
)


@click.command()
@click.argument("source", metavar="IN", type=_SOURCE)
@click.argument("target", metavar="OUT", type=_FILE)
@_from_option("IN", "")
@click.option("--to", "to_layout", required=True, metavar="LAYOUT", help="Layout in OUT (lcl layouts lists them).")
@click.option("--spec", type=_FILE, metavar="F", help=_SPEC_HELP)
@click.option("--layer", default="", metavar="NAME", help="Convert this layer only.")
@_limits_option
@click.option(
    "--check", "pair", nargs=2, type=_FILE, metavar="X Y", help="Prove --from, or find it, by .npy of input and output."
)
@click.option(
    "--check-code", "code", default="", metavar="F.py:NAME", help="Prove --from, or find it, by the layer's own code."
)
def convert(
    source: Path,
    target: Path,
    from_layout: str,
    to_layout: str,
    spec: Path | None,
    layer: str,
    pair: tuple[Path, Path] | None,
    code: str,
) -> None:
    """Move the locally connected layers of a weight file to another layout.

    LAYOUT is a name, or a pattern of your own: "1 co ci o* (k*) | 1 co o*" is weight and bias, slowest axis first, of
    positions o*, taps k*, input channels ci and output channels co.

    The content of IN and the suffix of OUT tell the formats: .h5, .keras, .safetensors, .npz, .weights, .pt. All other
    arrays are carried along untouched; the specification of every layer is written beside OUT. The layers alone go into
    .onnx, .tflite and saved_model (also NAME.saved_model), with --to canonical.
    """
    known: Known | None = answers(source, spec, layer, code) if code else pair
    if known and not from_layout:
        from_layout = layout_that_computes(source, spec, layer, known)
    _check_named(source, spec, layer, from_layout)
    report = convert_file(source, target, source=from_layout, target=to_layout, spec=spec, layer=layer, known=known)
    if known:
        told = f"compute what {code} computes" if code else f"take {pair[0].name} to {pair[1].name}" if pair else ""
        say(f"proved     {report.layers[0].name}: its old arrays, read as {from_layout}, {told}")
    for converted in report.layers:
        say(f"converted  {converted.name} ({converted.weight}) to {converted.layout}")
    if report.carried:
        say(f"carried    {_others(len(report.carried))}")
    for word, lines in (("left", report.left), ("lost", report.loses), ("note", report.notes)):
        for line in lines:
            say(f"{word:<10} {line}")
    say(f"wrote      {target} and {specs.beside(target)}")


def _check_named(source: Path, spec: Path | None, layer: str, layout: str) -> None:
    """Where the user named no layout, say which ones there are: what the file states, or what its arrays fit."""
    if layout:
        return
    with open_weights(source, spec, layer) as file:
        check_source(file.layers, layout)
    todo = "write --from LAYOUT (lcl layouts lists them), and describe the layers with --spec"
    raise FileError(Violation("file/layout", "--from", "nothing", f"the layout of the layers in {source}", todo=todo))


@click.command()
@click.argument("file", metavar="FILE", type=_SOURCE)
@click.option("--spec", type=_FILE, metavar="F", help=_SPEC_HELP)
@_from_option("FILE", STORED)
@click.option("--layer", default="", metavar="NAME", help="The layer that one specification is for.")
@click.option("--skeleton", "as_skeleton", is_flag=True, help="Print a description to complete, for --spec.")
@_limits_option
@json_option()
def inspect(file: Path, spec: Path | None, from_layout: str, layer: str, as_skeleton: bool, as_json: bool) -> None:
    """List the locally connected layers of a weight file, and what else is in it.

    Of arrays that no description says anything about: which layouts they fit, and a description to complete.
    """
    with open_weights(file, spec, layer, "" if from_layout == STORED else from_layout) as opened:
        check_source(opened.layers, from_layout)
        facts = _facts(opened)
        perhaps = [] if opened.layers else candidates(opened)
        text = skeleton(opened, perhaps)
    if as_skeleton:
        say(text)
        return
    facts["candidates"] = {one.name: {name: dict(axes) for name, (_, axes) in one.readings.items()} for one in perhaps}
    if as_json:
        say(json.dumps(facts, indent=1))
        return
    say(f"{file.name}: {facts['form']}")
    table = Rows("layer", "layout", "input", "output", "kernel", "stride", "padding", "weight")
    for found in facts["layers"][:_MOST_LAYERS]:
        table.add_row(*(escape(_short(found[key])) for key in _COLUMNS))
    out = console()
    out.print(table)
    if len(facts["layers"]) > _MOST_LAYERS:
        out.print(f"... {len(facts['layers']) - _MOST_LAYERS} more layers (--json lists all)", highlight=False)
    out.print(f"{_others(len(facts['other']))}, {facts['bytes'] / 1e6:.1f} MB in all", highlight=False)
    for name in facts["other"][:_MOST_OTHERS]:
        out.print(escape(f"  {name} {facts['shapes'][name]}"), highlight=False)
    if len(facts["other"]) > _MOST_OTHERS:
        out.print(f"  ... {len(facts['other']) - _MOST_OTHERS} more (--json lists all)", highlight=False)
    for word in ("left", "notes"):
        for line in facts[word]:
            out.print(escape(f"{'left' if word == 'left' else 'note'}: {line}"), highlight=False)
    _print_candidates(file, perhaps, text)


def _print_candidates(file: Path, found: Sequence[Candidate], text: str) -> None:
    """Say what arrays without a description could be, and print one to complete."""
    for one in found:
        say(f"perhaps    {one.name} ({one.weight}), if stored as {', '.join(one.readings)}")
    if found:
        beside = specs.beside(file).name
        say(f"to use it  complete this description in {beside} (inspect --skeleton prints it alone):\n{text}")


def _others(count: int) -> str:
    return f"{count} other array" if count == 1 else f"{count} other arrays"


_MOST_LAYERS = 200
"""Layers that are listed on a terminal."""

_MOST_OTHERS = 12
"""Arrays beside the layers that are listed on a terminal."""

_COLUMNS = ("name", "layout", "input", "output", "kernel_size", "stride", "padding", "weight")


def _short(value: Any) -> str:
    return str(value).replace(" ", "") if isinstance(value, list) else str(value)


def _facts(file: WeightFile) -> dict[str, Any]:
    """Return what there is to say about an open file, JSON-ready."""
    own = {name for layer in file.layers for name in (layer.weight, layer.bias)}
    layers = [
        specs.as_dict(layer)
        | {
            "input": [*layer.spec.input_size, layer.spec.in_channels],
            "output": [*layer.spec.output_size, layer.spec.out_channels],
            "kernel_size": list(layer.spec.kernel_size),
            "stride": list(layer.spec.stride),
            "padding": [list(pair) for pair in layer.spec.padding],
        }
        for layer in file.layers
    ]
    return {
        "file": file.path.name,
        "form": file.form,
        "layers": layers,
        "other": [name for name in file.tensors if name not in own],
        "shapes": {name: f"{tensor.dtype} {tensor.shape}" for name, tensor in file.tensors.items()},
        "bytes": sum(tensor.nbytes for tensor in file.tensors.values()),
        "left": list(file.left),
        "notes": list(file.notes),
    }


@click.command("verify-port")
@click.argument("old", metavar="OLD", type=_SOURCE)
@click.argument("new", metavar="NEW", type=_SOURCE)
@click.option("-b", "--backend", default="numpy.matmul", show_default=True, help="Who computes with the new weights.")
@click.option("--spec", type=_FILE, metavar="F", help=f"Of OLD: {_SPEC_HELP}")
@_from_option("OLD", STORED)
@click.option("--layer", "layers", multiple=True, metavar="NAME", help="Only this layer; may be repeated.")
@click.option("--model", "code", default="", metavar="F.py:NAME", help="The whole network: a function that makes it.")
@_limits_option
@json_option()
def verify_port(
    old: Path,
    new: Path,
    backend: str,
    spec: Path | None,
    from_layout: str,
    layers: tuple[str, ...],
    code: str,
    as_json: bool,
) -> int:
    """Hold a converted file against the old one: same inputs, forward and gradient, error / limit per layer.

    With --model, activations of the whole network instead: NAME is given the path of NEW and returns a model filled
    from it, or takes nothing and returns a model that is filled by names. Both sides compute in float64.

    Exit status: 0 all hold, 1 something does not, 2 wrong input, 3 nothing is wrong, but nobody computed with a layer.
    """
    with working("opening both files") as status:
        told = lambda step: status.update(escape(step))  # noqa: E731
        if code:
            findings = network.verify_network(old, new, code, progress=told)
        else:
            findings = verify.verify_port(old, new, backend, spec, source=from_layout, layers=layers, progress=told)
    if as_json:
        say(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        _print(findings)
    if any(finding.state == "fail" for finding in findings):
        return 1
    idle = [] if code and any(finding.state == "pass" for finding in findings) else _never_computed(findings)
    if idle:
        say(f"nobody computed with {', '.join(idle)}: another --backend may support it", err=True)
    return 3 if idle else 0


def _never_computed(findings: list[Finding]) -> list[str]:
    """Return the layers of which only the arrays were compared."""
    computed = {finding.layer for finding in findings if finding.op and finding.state != "not_run"}
    return [name for name in dict.fromkeys(finding.layer for finding in findings) if name not in computed]


def _print(findings: list[Finding]) -> None:
    table = Rows("layer", "side", "op", "verdict", "error / limit", "", right=("error / limit",))
    for finding in findings:
        colour = {"pass": "green", "fail": "red"}.get(finding.state, "yellow")
        ratio = "" if finding.error_ratio is None else f"{finding.error_ratio:.3f}"
        verdict = f"[{colour}]{finding.state.replace('_', ' ')}[/]"
        table.add_row(escape(finding.layer), finding.side, finding.op, verdict, ratio, escape(finding.message))
    console().print(table)
